package cache

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

func TestAnswerFromBeforeAWriteIsNotStored(t *testing.T) {
	for _, head := range [][]string{
		{"Cache-Control: max-age=60"},
		{"Cache-Control: max-age=60", "Vary: X-A"},
		{"Cache-Control: no-cache", `ETag: "v1"`},
	} {
		synctest.Test(t, func(t *testing.T) {
			var state atomic.Value
			state.Store("old")
			w := newWorld(t, nil, func(_ *Request, fetch field.List) response {
				now := state.Load().(string)
				time.Sleep(time.Second)
				return ok200(now, head...)
			})
			got := make(chan answer, 1)
			go func() { got <- w.askedNow("/") }()
			time.Sleep(time.Second / 2)
			state.Store("new")
			w.c.Invalidate(w.request("/"), time.Now())
			time.Sleep(time.Millisecond)
			if a := w.askedNow("/"); a.body != "new" {
				t.Errorf("%q: after the write: got %v", head, a)
			}
			if a := <-got; a.body != "old" || a.reason != FillInvalidated {
				t.Errorf("%q: before the write: got %v", head, a)
			}
			if o := w.c.Lookup(w.request("/"), time.Now()).Object; o.Exists() && string(o.Body()) != "new" {
				t.Errorf("%q: %q is stored", head, o.Body())
			}
			if a := w.askedNow("/"); a.body != "new" {
				t.Errorf("%q: later: got %v", head, a)
			}
		})
	}
}

// askedNow is a GET whose origin is asked now and answers when it does.
func (w *world) askedNow(path string) answer {
	q := w.request(path)
	res := w.c.Lookup(q, time.Now())
	switch res.Verdict {
	case Hit:
		return w.fromObject(q, &res, res.Object, time.Now())
	case Follow:
		return w.fromFill(q, &res, res.Fill, time.Now())
	}
	f, turn, err := w.c.Lead(q, &res, func() (*Fill, error) {
		asked := time.Now()
		w.asked.Add(1)
		r := w.origin(q, nil)
		return w.c.Begin(q, &res, r.head, r.body, asked, time.Now()), nil
	})
	if err != nil || f == nil {
		return answer{err: err, turn: turn, reason: res.Reason}
	}
	a := w.fromFill(q, &res, f, time.Now())
	a.turn, a.reason = turn, f.Reason()
	return a
}

// TestCrowdAroundAWrite: who waits from before the write is answered by the old flight, who comes after it
// by one new one.
func TestCrowdAroundAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state atomic.Value
		state.Store("old")
		w := newWorld(t, nil, func(*Request, field.List) response {
			now := state.Load().(string)
			time.Sleep(time.Second)
			return ok200(now, "Cache-Control: max-age=60")
		})
		before, after := make(chan answer, 100), make(chan answer, 100)
		for range 100 {
			go func() { before <- w.askedNow("/") }()
		}
		time.Sleep(time.Second / 2)
		state.Store("new")
		w.c.Invalidate(w.request("/"), time.Now())
		time.Sleep(time.Millisecond)
		for range 100 {
			go func() { after <- w.askedNow("/") }()
		}
		for range 100 {
			if a := <-before; a.body != "old" {
				t.Fatalf("before: got %v", a)
			}
			if a := <-after; a.body != "new" {
				t.Fatalf("after: got %v", a)
			}
		}
		if n := w.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times", n)
		}
		if a := w.askedNow("/"); a.verdict != Hit || a.body != "new" {
			t.Errorf("got %v", a)
		}
	})
}

func TestValidationFromBeforeAWriteIsNotStored(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=10", "Vary: X-A", `ETag: "v1"`))
	w.get("/", t0)
	asked := t0.Add(20 * time.Second)
	q := w.request("/")
	res := w.c.Lookup(q, asked)
	if !res.Validating() {
		t.Fatal(res.Verdict, res.Reason)
	}
	w.c.Invalidate(w.request("/"), asked.Add(time.Second))
	f := w.c.Freshen(q, &res, Head{Status: 304}, asked, asked.Add(2*time.Second))
	if f.State() != Complete || f.Reason() != FillInvalidated || string(f.Object().Body()) != "body 1" || !f.answers(q) {
		t.Errorf("got %s %s %q", f.State(), f.Reason(), f.Object().Body())
	}
	if res := w.c.Lookup(q, asked.Add(2*time.Second)); res.Verdict != Miss || res.Object.Exists() {
		t.Errorf("got %s", res.Verdict)
	}
	if reason := w.c.marks.get(q.hash, 0, asked); reason != "" {
		t.Errorf("marked %s", reason)
	}
}

func TestWrites(t *testing.T) {
	w := &writes{born: t0}
	if w.since(7, t0.Add(-time.Hour)) || w.epoch(7) != 0 {
		t.Error("written before anybody wrote")
	}
	last := w.epoch(7)
	for i, at := range []time.Duration{-time.Second, 0, 0, time.Second, time.Second, -time.Hour} {
		w.note(7, t0.Add(at))
		if e := w.epoch(7); e == last {
			t.Errorf("write %d: the epoch stays %d", i, e)
		}
		last = w.epoch(7)
		if !w.since(7, t0.Add(at)) {
			t.Errorf("write %d is not seen", i)
		}
	}
	if w.since(7, t0.Add(2*time.Second)) {
		t.Error("asked after the last write")
	}
	if w.since(8, t0) || !w.since(7+numWrites, t0) {
		t.Error("wrong cell")
	}
}
