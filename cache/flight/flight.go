// Package flight elects, among callers who want the same thing at the same moment, the one that gets it.
package flight

import (
	"fmt"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/singleflight"
)

// Group elects one leader per key and moment. The zero value is ready.
type Group[T any] struct {
	flights singleflight.Group

	mu      sync.Mutex
	running map[string]struct{}
}

// Panicked is the error that everybody gets when the leader's function panicked. The panic itself ends in
// the leader: it must cost one request, not the process and not those who waited.
type Panicked struct {
	Value any
	Stack []byte
}

func (p *Panicked) Error() string { return fmt.Sprintf("panic while filling: %v", p.Value) }

// Do runs run in the calling goroutine unless another caller with the same key is running its own; then it
// waits for that one and returns what it returned. led says which of the two it was.
func (g *Group[T]) Do(key string, run func() (T, error)) (v T, led bool, err error) {
	got, err, _ := g.flights.Do(key, func() (any, error) {
		led = true
		g.begin(key)
		defer g.end(key)
		return guard(run)
	})
	if got != nil {
		v = got.(T)
	}
	return v, led, err
}

// Running reports whether somebody is at it.
func (g *Group[T]) Running(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.running[key]
	return ok
}

func (g *Group[T]) begin(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running == nil {
		g.running = make(map[string]struct{})
	}
	g.running[key] = struct{}{}
}

func (g *Group[T]) end(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, key)
}

func guard[T any](run func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Panicked{Value: p, Stack: debug.Stack()}
		}
	}()
	return run()
}
