package collector

import (
	"context"
	"errors"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 4 << 20: 400, 16 << 20: 200, 32 << 20: 100, 256 << 20: 12, 6 << 30: 12} {
		if got := percent(live); got != want {
			t.Errorf("%d MiB: %d %%, want %d", live>>20, got, want)
		}
	}
}

func TestLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	if got := (Chosen{}).SetLimit(1000<<20, 100<<20, 8<<30); got != 1350<<20 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("got %d", got)
	}
	if got := (Chosen{}).SetLimit(1000<<20, 100<<20, 1<<30); got != (1<<30)/10*9 {
		t.Errorf("with little memory: got %d", got)
	}
	debug.SetMemoryLimit(77 << 20)
	if got := (Chosen{Limit: true}).SetLimit(1000<<20, 0, 8<<30); got != 77<<20 {
		t.Errorf("against the environment: got %d", got)
	}
}

func TestPace(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	current := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	run := func(c Chosen) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if err := c.Pace(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	if run(Chosen{Percent: true}); current() != 100 {
		t.Errorf("against the environment: %d %%", current())
	}
	if run(Chosen{}); current() == 100 {
		t.Error("it was left as it is")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("GOGC", "50")
	t.Setenv("GOMEMLIMIT", "1GiB")
	if got := FromEnvironment(); !got.Percent || !got.Limit {
		t.Errorf("got %+v", got)
	}
}
