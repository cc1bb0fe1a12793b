package cache

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// crowd sends n requests at once and returns their answers.
func (w *world) crowd(n int, lines ...string) []answer {
	answers := make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i] = w.get("/", time.Now(), lines...) })
	}
	all.Wait()
	return answers
}

// slow is an origin that answers after a while.
func slow(after time.Duration, make func() response) func(*Request, field.List) response {
	return func(*Request, field.List) response {
		time.Sleep(after) // in a bubble
		return make()
	}
}

func (w *world) same(answers []answer, status int, body string) {
	w.t.Helper()
	for i, a := range answers {
		if a.status != status || a.body != body || a.err != nil {
			w.t.Fatalf("request %d: got %v", i, a)
		}
	}
}

func TestThousandRequestsOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(5*time.Second, func() response { return ok200("page", "Cache-Control: max-age=60") }))
		w.same(w.crowd(1000), 200, "page")
		if n := w.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

func TestThousandRequestsShortLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(5*time.Second, func() response { return ok200("page", "Cache-Control: max-age=1") }))
		w.same(w.crowd(1000), 200, "page")
		if n := w.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

func TestThousandRequestsOneError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(time.Second, func() response {
			return response{head: Head{Status: 500, Length: 4}, body: text("oops")}
		}))
		own := 0
		for _, a := range w.crowd(1000) {
			switch {
			case a.status != 500 || a.err != nil || a.reason != FillShared:
				t.Fatalf("got %v", a)
			case a.turn == Led:
				own++
			}
		}
		if own != 1 {
			t.Errorf("%d got the origin's own page", own)
		}
		if n := w.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
		w.get("/", time.Now())
		if n := w.asked.Load(); n != 2 {
			t.Errorf("the error was kept: asked %d times", n)
		}
	})
}

func TestErrorsOfVisitorsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(time.Second, func() response {
			return response{head: Head{Status: 500, Length: 4}, body: text("oops")}
		}))
		w.same(w.crowd(10, "Cookie: a=b"), 500, "oops")
		if n := w.asked.Load(); n != 10 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

func TestPrivateAnswerFreesTheCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(time.Second, func() response { return ok200("mine", "Cache-Control: private") }))
		start := time.Now()
		w.same(w.crowd(1000), 200, "mine")
		if n := w.asked.Load(); n != 1000 {
			t.Errorf("the origin was asked %d times", n)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("the first crowd took %s", d)
		}
		start = time.Now()
		w.crowd(1000)
		if d := time.Since(start); d != time.Second {
			t.Errorf("the second crowd queued: %s", d)
		}
	})
}

func TestPrivateForSomeStaysSharedForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, func(q *Request, _ field.List) response {
			time.Sleep(time.Second)
			if q.Fields.Has("Cookie") {
				return ok200("mine", "Cache-Control: private")
			}
			return ok200("all", "Cache-Control: max-age=60")
		})
		var all sync.WaitGroup
		all.Go(func() { w.same(w.crowd(1, "Cookie: a=b"), 200, "mine") })
		synctest.Wait()
		all.Go(func() { w.same(w.crowd(500), 200, "all") })
		all.Wait()
		if n := w.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

func TestFailedLeaderElectsOneSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := make(chan struct{}, 1)
		first <- struct{}{}
		w := newWorld(t, nil, func(*Request, field.List) response {
			time.Sleep(time.Second)
			select {
			case <-first:
				return response{err: errDown}
			default:
				return ok200("page", "Cache-Control: max-age=60")
			}
		})
		failed := 0
		for _, a := range w.crowd(1000) {
			if a.err != nil {
				failed++
			} else if a.body != "page" {
				t.Fatalf("got %v", a)
			}
		}
		if n := w.asked.Load(); n != 2 || failed != 1 {
			t.Errorf("asked %d times, %d failed", n, failed)
		}
	})
}

func TestTwoLeadersFailThenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, slow(time.Second, func() response { return response{err: errDown} }))
		start := time.Now()
		for _, a := range w.crowd(100) {
			if !errors.Is(a.err, errDown) {
				t.Fatalf("got %v", a)
			}
		}
		if d := time.Since(start); d > 4*time.Second {
			t.Errorf("the crowd was stranded for %s", d)
		}
	})
}

func TestPanickingRunCostsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		w := newWorld(t, nil, func(*Request, field.List) response {
			time.Sleep(time.Second)
			if first {
				first = false
				panic("bug")
			}
			return ok200("page", "Cache-Control: max-age=60")
		})
		failed := 0
		for _, a := range w.crowd(100) {
			if a.err != nil {
				failed++
			}
		}
		if failed != 1 || w.c.Stats().Panics != 1 {
			t.Errorf("%d failed, %d panics", failed, w.c.Stats().Panics)
		}
	})
}

func TestFollowersReadWhileItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := stream()
		w := newWorld(t, nil, func(*Request, field.List) response {
			return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: -1}, body: body}
		})
		go func() {
			for range 10 {
				time.Sleep(time.Second)
				body.pieces <- []byte("0123456789")
			}
			close(body.pieces)
		}()
		leader := make(chan answer)
		go func() { leader <- w.get("/", time.Now()) }()
		synctest.Wait()
		start := time.Now()
		res := w.c.Lookup(w.request("/"), time.Now())
		if res.Verdict != Follow {
			t.Fatalf("got %s %s", res.Verdict, res.Reason)
		}
		r := res.Fill.Reader(nil)
		defer r.Close()
		var b [1]byte
		if _, err := io.ReadFull(r, b[:]); err != nil || time.Since(start) > time.Second {
			t.Errorf("first byte after %s, %v", time.Since(start), err)
		}
		w.same(w.crowd(100), 200, strings.Repeat("0123456789", 10))
		w.same([]answer{<-leader}, 200, strings.Repeat("0123456789", 10))
		if n := w.asked.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}

func TestTruncatedBodyIsAnErrorAndNeverStored(t *testing.T) {
	for _, how := range []string{"reset", "short", "unproven", "less than announced"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil, func(*Request, field.List) response {
				body := stream()
				go func() {
					body.pieces <- []byte("half")
					time.Sleep(time.Second)
					close(body.pieces)
				}()
				switch how {
				case "reset":
					body.err = errors.New("connection reset")
				case "short":
					body.err = io.ErrUnexpectedEOF
				case "unproven":
					body.whole = false
				}
				length := int64(-1)
				if how == "less than announced" {
					length = 5
				}
				return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: length}, body: body}
			})
			for _, a := range w.crowd(100) {
				if !errors.Is(a.err, ErrBroken) || a.body != "half" {
					t.Fatalf("%s: got %v", how, a)
				}
			}
			if n := w.asked.Load(); n != 1 {
				t.Errorf("%s: the origin was asked %d times", how, n)
			}
			if res := w.c.Lookup(w.request("/"), time.Now()); res.Verdict != Miss {
				t.Errorf("%s: got %s", how, res.Verdict)
			}
		})
	}
}

func TestGoneLeaderDoesNotStopTheFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := stream()
		w := newWorld(t, nil, nil)
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		f, turn, err := w.c.Lead(q, &res, func() (*Fill, error) {
			h := Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: 4}
			return w.c.Begin(q, &res, h, body, time.Now(), time.Now()), nil
		})
		if turn != Led || err != nil {
			t.Fatal(turn, err)
		}
		f.Reader(nil).Close()
		body.pieces <- []byte("page")
		close(body.pieces)
		synctest.Wait()
		if a := w.get("/", time.Now()); a.verdict != Hit || a.body != "page" {
			t.Errorf("got %v", a)
		}
		if n := body.closed.Load(); n != 1 {
			t.Errorf("the body was closed %d times", n)
		}
	})
}

func TestAFillIsReadableUntilTheTierShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, numbered("Cache-Control: max-age=60", "Vary: X-A"))
		w.tier.hold = true
		for range 3 {
			if a := w.get("/", time.Now()); a.body != "body 1" {
				t.Fatalf("got %v", a)
			}
		}
		synctest.Wait()
		if a := w.get("/", time.Now()); a.verdict != Hit || w.asked.Load() != 1 {
			t.Errorf("got %v", a)
		}
		w.tier.hold, w.tier.reject = false, true
		w.get("/other", time.Now())
		synctest.Wait()
		if n := w.c.Stats().Dropped; n != 1 {
			t.Errorf("%d dropped", n)
		}
		for i := range w.c.fills.shards {
			if n := len(w.c.fills.shards[i].slots); n != 0 {
				t.Errorf("%d slots left", n)
			}
		}
	})
}

// A request looks into the tier a moment before an object is visible there, and into the table of fills a moment after
// the fill has left it. What it missed came before it and is fresh: it has to be found in the end.
func TestObjectThatSettlesDuringLookupIsFound(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.tier.missed = func() {
		w.get("/page", t0)
		for w.c.fills.find(w.gathered("/page"), &Result{}, t0) != nil {
			runtime.Gosched()
		}
	}
	if a := w.get("/page", t0.Add(time.Second)); a.body != "body 1" || w.asked.Load() != 1 {
		t.Errorf("asked %d times, answered %v", w.asked.Load(), a)
	}
}

// gathered is a request as Lookup has prepared it.
func (w *world) gathered(path string) *Request {
	q := w.request(path)
	q.gather()
	q.buildKey(w.c)
	return q
}

func TestCloseWaitsForFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := stream()
		w := newWorld(t, nil, func(*Request, field.List) response {
			return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: -1}, body: body}
		})
		go w.get("/", time.Now())
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- w.c.Close(t.Context()) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a fill runs")
		default:
		}
		close(body.pieces)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		w.origin = numbered("Cache-Control: max-age=60")
		if a := w.get("/late", time.Now()); a.reason != BypassClosing || a.body == "" {
			t.Errorf("after Close: got %v", a)
		}
		synctest.Wait() // for the first one's reader, which holds what it reads
	})
}
