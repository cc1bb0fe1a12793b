package cache

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"runtime"
	"testing"
	"testing/quick"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// TestConform: in no stretch of time are more events let through than burst and one per interval.
func TestConform(t *testing.T) {
	f := func(gaps []uint8, burst uint8) bool {
		limit, interval := int(burst%5)+1, 100*time.Millisecond
		var arrival, now time.Duration
		var passed []time.Duration
		for _, g := range gaps {
			now += time.Duration(g) * time.Millisecond
			next, wait := conform(arrival, now, limit, interval)
			if wait > interval || (wait > 0) != (next == max(arrival, now) && wait > 0) {
				return false
			}
			if wait > 0 {
				if _, again := conform(arrival, now+wait, limit, interval); again > 0 {
					return false // what was promised does not hold
				}
				continue
			}
			arrival = next
			passed = append(passed, now)
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if j-i+1 > limit+int((passed[j]-passed[i])/interval) {
					return false
				}
			}
		}
		return true
	}
	if err := quick.Check(f, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestClientsAreAddresses(t *testing.T) {
	seed := maphash.MakeSeed()
	same := func(a, b string) bool {
		return clientHash(seed, netip.MustParseAddr(a)) == clientHash(seed, netip.MustParseAddr(b))
	}
	if !same("2001:db8::1", "2001:db8::ffff:1") || same("2001:db8::1", "2001:db8:0:1::1") {
		t.Error("an IPv6 client is its /64")
	}
	if same("192.0.2.1", "192.0.2.2") || !same("192.0.2.1", "::ffff:192.0.2.1") {
		t.Error("an IPv4 client is its address")
	}
	clientHash(seed, netip.Addr{})
}

var (
	one = netip.MustParseAddr("192.0.2.1")
	two = netip.MustParseAddr("192.0.2.2")
)

func (w *world) write(client netip.Addr, now time.Time) {
	w.c.Written(w.request("/"), client, nil, now)
}

// TestLoopOfWritesCannotHoldTheCacheEmpty, and nothing that was written is forgotten.
func TestLoopOfWritesCannotHoldTheCacheEmpty(t *testing.T) {
	for _, vary := range []string{"X-None: 1", "Vary: X-A"} {
		state := 0
		w := newWorld(t, func(c *RouteConfig) { c.WriteBurst, c.WhileStale = 3, 3600e9 }, func(*Request, field.List) response {
			return ok200(fmt.Sprint(state), "Cache-Control: max-age=600", vary)
		})
		now := t0
		read := func() string { return w.get("/", now).body }
		read()
		for range 3 { // within the burst every write is seen at once
			state++
			w.write(one, now)
			if got := read(); got != fmt.Sprint(state) {
				t.Fatalf("%s: a write was not seen: %s", vary, got)
			}
		}
		asked := w.asked.Load()
		for range 1000 { // 100 writes and reads per second for 10 s
			now = now.Add(10 * time.Millisecond)
			state++
			w.write(one, now)
			read()
		}
		if n := w.asked.Load() - asked; n > 25 {
			t.Errorf("%s: the origin was asked %d times in 10 s", vary, n)
		}
		// The loop ends. Its last write is seen within the interval.
		now = now.Add(time.Second + slack)
		if got := read(); got != fmt.Sprint(state) {
			t.Errorf("%s: the last write was forgotten: %s, want %d", vary, got, state)
		}
		// Another client's writes are its own.
		state++
		w.write(two, now)
		if got := read(); got != fmt.Sprint(state) {
			t.Errorf("%s: another client's write was not seen", vary)
		}
	}
}

// TestDelayedWriteReachesAnAnswerFromBefore: one that was asked for before the write does not live on.
func TestDelayedWriteReachesAnAnswerFromBefore(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.WriteBurst = 1 }, numbered("Cache-Control: max-age=600"))
	asked := time.Now() // fills find out for themselves how late it is
	w.write(one, asked.Add(-2*time.Millisecond))
	w.write(one, asked.Add(-time.Millisecond))
	q := w.request("/")
	res := w.c.Lookup(q, asked)
	w.write(one, asked.Add(time.Millisecond))
	w.c.Begin(q, &res, Head{Status: 200, Fields: list("Cache-Control: max-age=600"), Length: 3}, text("old"), asked, asked.Add(2*time.Millisecond))
	if a := w.get("/", asked.Add(500*time.Millisecond)); a.body != "old" {
		t.Errorf("the cache is held empty: %v", a)
	}
	if a := w.get("/", asked.Add(time.Minute)); a.body == "old" {
		t.Errorf("the write was forgotten: %v", a)
	}
}

// TestDelayedWriteWhereNothingCanBeStored: a tier without room must not turn a write that counts a little later into one
// that never counts.
func TestDelayedWriteWhereNothingCanBeStored(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.WriteBurst = 1 }, numbered("Cache-Control: max-age=600"))
	w.get("/", t0)
	w.write(one, t0)
	w.get("/", t0.Add(10*time.Millisecond))
	w.tier.mu.Lock()
	w.tier.drop = true
	w.tier.mu.Unlock()
	w.write(one, t0.Add(20*time.Millisecond))
	if got := w.get("/", t0.Add(time.Minute)).body; got != "body 3" {
		t.Errorf("the write was forgotten: %s", got)
	}
}

// TestWritesThatTakeNothingAwayAreFree: most go where nothing is stored.
func TestWritesThatTakeNothingAwayAreFree(t *testing.T) {
	// Keys that share a cell of the table of writes may pass for one another: hence three.
	w := newWorld(t, func(c *RouteConfig) { c.WriteBurst = 3 }, numbered("Cache-Control: max-age=600"))
	for i := range 20 {
		w.c.Written(w.request(fmt.Sprintf("/api/%d", i)), one, list(fmt.Sprintf("Location: /made/%d", i)), t0)
	}
	w.get("/", t0)
	w.write(one, t0)
	if got := w.get("/", t0).body; got != "body 2" {
		t.Errorf("the write was not seen at once: %s", got)
	}
	// Nothing is stored yet, and must be in spite of the loop: an answer takes longer than the loop's turn.
	slow := newWorld(t, func(c *RouteConfig) { c.WriteBurst = 1 }, nil)
	now := time.Now()
	q := slow.request("/")
	res := slow.c.Lookup(q, now)
	for i := range 10 {
		slow.write(one, now.Add(time.Duration(i-5)*time.Millisecond))
	}
	slow.c.Begin(q, &res, Head{Status: 200, Fields: list("Cache-Control: max-age=600"), Length: 4}, text("body"), now, now.Add(5*time.Millisecond))
	if r := slow.c.Lookup(q, now.Add(100*time.Millisecond)); r.Verdict != Hit {
		t.Errorf("the cache is held empty: %s %s", r.Verdict, r.Reason)
	}
}

func TestWritesWithoutABound(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.WriteBurst = 0 }, numbered("Cache-Control: max-age=600"))
	for i := range 100 {
		w.write(one, t0)
		if got := w.get("/", t0).body; got != fmt.Sprintf("body %d", i+1) {
			t.Fatalf("write %d was not seen: %s", i, got)
		}
	}
}

// settle waits until no ended fill answers for its object any more.
func (w *world) settle() {
	for i := range w.c.fills.shards {
		s := &w.c.fills.shards[i]
		for left := 1; left > 0; runtime.Gosched() {
			s.mu.Lock()
			left = len(s.slots)
			s.mu.Unlock()
		}
	}
}

// TestVariantsAreBounded: the one that was stored first makes room, and nothing else goes.
func TestVariantsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.MaxVariants = 3 }, numbered("Cache-Control: max-age=60", "Vary: X-A"))
	a := func(v string) []string { return []string{"X-A: " + v} }
	w.steps(
		step{lines: a("1"), want: "miss 200 body 1", asked: 1},
		step{lines: a("2"), want: "miss 200 body 2", asked: 2},
		step{lines: a("3"), want: "miss 200 body 3", asked: 3},
		step{lines: a("1"), want: "hit 200 body 1", asked: 3},
		step{lines: a("4"), want: "miss 200 body 4", asked: 4},
		step{lines: a("2"), want: "hit 200 body 2", asked: 4},
		step{lines: a("3"), want: "hit 200 body 3", asked: 4},
		step{lines: a("4"), want: "hit 200 body 4", asked: 4},
	)
	w.settle()
	w.steps(step{lines: a("1"), want: "miss 200 body 5", asked: 5})
	for i := range 200 {
		w.get("/", t0, fmt.Sprintf("X-A: x%d", i))
	}
	if n := len(w.tier.m); n != 4 { // the record and three responses
		t.Errorf("%d objects are stored", n)
	}
	// A response that is renewed keeps its place.
	w = newWorld(t, func(c *RouteConfig) { c.MaxVariants = 2 }, numbered("Cache-Control: max-age=60", "Vary: X-A"))
	w.steps(
		step{lines: a("1"), want: "miss 200 body 1", asked: 1},
		step{lines: a("2"), want: "miss 200 body 2", asked: 2},
		step{after: time.Minute, lines: a("1"), want: "miss 200 body 3", asked: 3},
		step{after: time.Minute, lines: a("2"), want: "miss 200 body 4", asked: 4},
		step{after: time.Minute, lines: a("1"), want: "hit 200 body 3", asked: 4},
	)
}
