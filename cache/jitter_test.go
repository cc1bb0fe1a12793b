package cache

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

func TestSpreadKeepsItsBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	lowest, highest := math.Inf(1), math.Inf(-1)
	for range 20000 {
		left := time.Duration(1 + r.Int64N(int64(time.Hour)))
		age := time.Duration(r.Int64N(int64(time.Hour)))
		u, share := r.Float64(), r.Float64()/2
		down := spread(age+left, age, false, share, u) - age
		if down > left || float64(down) < float64(left)*(1-share)-1 {
			t.Fatalf("%s of an origin became %s, at most %g less is allowed", left, down, share)
		}
		both := spread(age+left, age, true, share, u) - age
		if off := math.Abs(float64(both-left)) / float64(left); off > share+1e-6 && left > time.Microsecond {
			t.Fatalf("%s of an operator became %s: %g off, share %g", left, both, off, share)
		}
		by := float64(spread(age+time.Hour, age, true, 0.15, u)-age)/float64(time.Hour) - 1
		lowest, highest = min(lowest, by), max(highest, by)
	}
	if lowest > -0.149 || highest < 0.149 {
		t.Errorf("operator lifetimes vary from %.3f to %.3f, want nearly ±0.15", lowest, highest)
	}
	if spread(time.Minute, 2*time.Minute, false, 0.15, 0.5) != time.Minute {
		t.Error("what is stale already was changed")
	}
}

func TestFractionsDifferByObjectAndSalt(t *testing.T) {
	var sum float64
	same := 0
	for i := range uint64(10000) {
		a, b := fraction(i, 1), fraction(i, 2)
		if a < 0 || a >= 1 {
			t.Fatalf("fraction %g", a)
		}
		if math.Abs(a-b) < 1e-3 {
			same++
		}
		sum += a
		if fraction(i, 1) != a {
			t.Fatal("the same object got two lifetimes")
		}
	}
	if mean := sum / 10000; mean < 0.48 || mean > 0.52 {
		t.Errorf("mean %.3f", mean)
	}
	if same > 60 { // 20 are to be expected
		t.Errorf("%d of 10000 objects have the same lifetime in two processes", same)
	}
}

// What XFetch promises: with the gap of a fetch, the renewal begins in the mean one gap before the end, and not many gaps.
func TestEarlyRenewalFollowsTheFetchTime(t *testing.T) {
	a := rfc9111.Assessment{Date: t0, Lifetime: time.Minute}
	d := draft{id: 1, status: 200, key: []byte("k"), primary: 1, received: t0, judged: &a, lifetime: time.Minute, took: 200 * time.Millisecond}
	blob, _ := d.build(0)
	o := finish(blob, len(blob))
	r := rand.New(rand.NewPCG(3, 4))
	c := &Cache{exponential: r.ExpFloat64}
	p := &Policy{early: 1}
	var sum time.Duration
	const rounds, tick = 2000, 5 * time.Millisecond
	for range rounds {
		left := 4 * time.Second
		x := r.ExpFloat64() // one visitor decides: the chance at a moment is that of the distribution
		c.exponential = func() float64 { return x }
		for ; left > 0 && !c.early(p, o, left); left -= tick {
		}
		sum += left
	}
	if mean := sum / rounds; mean < 180*time.Millisecond || mean > 220*time.Millisecond {
		t.Errorf("renewed %s before the end in the mean, want about 200ms", mean)
	}
	if c.early(&Policy{}, o, time.Nanosecond) {
		t.Error("renewed where the route wants none")
	}
	at := &Policy{refreshAt: 0.9}
	if c.early(at, o, 7*time.Second) || !c.early(at, o, 5900*time.Millisecond) {
		t.Error("refresh_at 0.9 of a minute does not begin six seconds before the end")
	}
}

// However many ask, and however unlikely what one of them draws: a slow page is not fetched again and again.
func TestManyVisitorsDoNotRenewTooEarly(t *testing.T) {
	a := rfc9111.Assessment{Date: t0, Lifetime: time.Minute}
	d := draft{id: 1, status: 200, key: []byte("k"), primary: 1, received: t0, judged: &a, lifetime: time.Minute, took: 5 * time.Second}
	blob, _ := d.build(0)
	o := finish(blob, len(blob))
	c := &Cache{exponential: rand.New(rand.NewPCG(5, 6)).ExpFloat64}
	p := &Policy{early: 1}
	left := time.Minute
	for ; left > 0 && !c.early(p, o, left); left -= 10 * time.Microsecond {
	}
	if left < 14*time.Second || left > 15*time.Second {
		t.Errorf("a hundred thousand requests a second renewed it %s before its end, want 15s", left)
	}
}

func TestEarlyRenewalGoesToTheOriginOnce(t *testing.T) {
	w := newWorld(t, func(r *RouteConfig) { r.RefreshAt = 0.5 }, func(*Request, field.List) response {
		return ok200("body", "Cache-Control: max-age=10")
	})
	w.get("/", t0)
	w.settle()
	if a := w.get("/", t0.Add(4*time.Second)); a.verdict != Hit || w.asked.Load() != 1 {
		t.Fatalf("got %s, the origin was asked %d times", a.verdict, w.asked.Load())
	}
	for range 20 {
		if a := w.get("/", t0.Add(6*time.Second)); a.verdict != Hit {
			t.Fatalf("got %s while it is renewed", a.verdict)
		}
	}
	for end := time.Now().Add(10 * time.Second); w.c.Stats().Refreshing > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.settle()
	if n := w.asked.Load(); n != 2 {
		t.Errorf("the origin was asked %d times, want 2", n)
	}
	if a := w.get("/", t0.Add(15*time.Second)); a.verdict != Hit || a.age != 9*time.Second {
		t.Errorf("got %s, %s old, want what came in the background", a.verdict, a.age)
	}
}
