package flight

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		var runs, led atomic.Int64
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				v, l, err := g.Do("k", func() (int, error) {
					runs.Add(1)
					time.Sleep(time.Second)
					return 42, nil
				})
				if v != 42 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
				if l {
					led.Add(1)
				}
			})
		}
		all.Wait()
		if runs.Load() != 1 || led.Load() != 1 {
			t.Errorf("%d runs, %d led", runs.Load(), led.Load())
		}
	})
}

func TestKeysAreApart(t *testing.T) {
	var g Group[string]
	v, _, err := g.Do("a", func() (string, error) {
		v, led, err := g.Do("b", func() (string, error) { return "b", nil })
		if !led {
			t.Error("b followed a")
		}
		return v, err
	})
	if v != "b" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
}

func TestAPanicIsEverybodysError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[*int]
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				v, _, err := g.Do("k", func() (*int, error) {
					time.Sleep(time.Second)
					panic("bug")
				})
				var p *Panicked
				if v != nil || !errors.As(err, &p) || p.Value != "bug" || len(p.Stack) == 0 {
					t.Errorf("got %v, %v", v, err)
				}
			})
		}
		all.Wait()
		if _, _, err := g.Do("k", func() (*int, error) { return nil, nil }); err != nil {
			t.Errorf("the key is stuck: %v", err)
		}
	})
}
