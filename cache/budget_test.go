package cache

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// begin offers the cache a body for a path, as a leader would.
func (w *world) begin(path string, length int64, body Body) *Fill {
	q := w.request(path)
	res := w.c.Lookup(q, time.Now())
	h := Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: length}
	return w.c.Begin(q, &res, h, body, time.Now(), time.Now())
}

func (w *world) held(most int64) {
	w.t.Helper()
	if n := w.c.held.Load(); n > most || n < 0 {
		w.t.Errorf("%d bytes held, at most %d wanted", n, most)
	}
}

// late is a body that waits until it is aborted.
type late struct {
	content
	gone chan struct{}
}

func (l *late) Read([]byte) (int, error) { <-l.gone; return 0, io.ErrClosedPipe }
func (l *late) Abort()                   { close(l.gone) }

func TestAnnouncedLengthsCountFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		w.c.maxHeld = 4 << 20
		const length = 1000 << 10
		bodies, admitted := []*content{}, 0
		for i := range 50 {
			body := stream()
			f := w.begin("/"+itoa(i), length, body)
			if f.State() == Uncacheable {
				if f.Reason() != BypassMemory {
					t.Fatalf("fill %d: %s", i, f.Reason())
				}
				continue
			}
			admitted++
			f.Reader(nil).Close()
			bodies = append(bodies, body)
		}
		if admitted < 3 || admitted > 4 {
			t.Errorf("%d fills were admitted", admitted)
		}
		w.held(w.c.maxHeld)
		for _, body := range bodies {
			body.pieces <- pattern(0, length)
			close(body.pieces)
		}
		synctest.Wait()
		w.held(0)
		if n := w.c.Stats().Stored; n != uint64(admitted) {
			t.Errorf("%d stored", n)
		}
	})
}

func TestUnknownLengthsGrowWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		w.c.maxHeld = 4 << 20
		got := make(chan bool, 20)
		sizes, bodies := []int{}, []*content{}
		for i := range 20 {
			body := stream()
			f := w.begin("/"+itoa(i), -1, body)
			if f.State() == Uncacheable {
				break
			}
			size := 900 << 10
			if i%2 == 1 {
				size = 60 << 10
			}
			bodies, sizes = append(bodies, body), append(sizes, size)
			r := f.Reader(nil)
			go func() {
				defer r.Close()
				b, err := io.ReadAll(r)
				got <- err == nil && bytes.Equal(b, pattern(0, size))
			}()
		}
		if n := len(bodies); n < 8 || n > 4<<20/leastWindow {
			t.Fatalf("%d fills were admitted", n)
		}
		for at := 0; at < 900<<10; at += 50 << 10 {
			for i, body := range bodies {
				if at < sizes[i] {
					body.pieces <- pattern(at, min(50<<10, sizes[i]-at))
				}
			}
			w.held(w.c.maxHeld + 64<<10) // what blocks are rounded up by
		}
		for _, body := range bodies {
			close(body.pieces)
			if !<-got {
				t.Error("a reader did not get the body whole")
			}
		}
		synctest.Wait()
		w.held(0)
		s := w.c.Stats()
		if s.TooLarge == 0 || s.Stored < uint64(len(bodies)/2) {
			t.Errorf("of %d fills, %d were stored and %d went on in a window", len(bodies), s.Stored, s.TooLarge)
		}
		for i := range 20 {
			q := w.request("/" + itoa(i))
			if res := w.c.Lookup(q, time.Now()); res.Verdict == Alone {
				t.Errorf("a shortage of memory was remembered: %s", res.Reason)
			}
		}
	})
}

func TestOrphansAreAbandonedWhenMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		w.c.maxHeld = 4 << 20
		start := func(path string, read bool) (*Fill, *late) {
			body := &late{gone: make(chan struct{})}
			f := w.begin(path, 1<<19, body)
			if read {
				f.Reader(nil).Close()
			}
			return f, body
		}
		few, first := start("/few", true)
		time.Sleep(time.Minute)
		second, _ := start("/second", true)
		if few.State() != Streaming || second.State() != Streaming {
			t.Errorf("abandoned without need: %s %s", few.State(), second.State())
		}
		kept, body := start("/kept", true)
		r := kept.Reader(nil)
		start("/unread", false)
		time.Sleep(2 * orphanAfter)
		w.begin("/next", 10, text("0123456789"))
		synctest.Wait()
		if few.State() != Failed || second.State() != Failed || few.Reason() != BypassMemory {
			t.Errorf("orphans: %s %s %s", few.State(), second.State(), few.Reason())
		}
		if n := first.closed.Load(); n != 1 {
			t.Errorf("the body was closed %d times", n)
		}
		if kept.State() != Streaming {
			t.Errorf("the one that is read: %s", kept.State())
		}
		w.held(3 << 19)
		r.Close()
		body.Abort()
		w.c.maxHeld = 1
		time.Sleep(firstReader)
		w.begin("/last", 10, text("0123456789"))
		synctest.Wait()
		w.held(0)
		if n := w.c.Stats().Abandoned; n != 3 {
			t.Errorf("%d abandoned", n)
		}
		if n := len(w.c.orphans.fills); n != 0 {
			t.Errorf("%d orphans left", n)
		}
	})
}

func TestAnEndedFillCountsUntilItsLastReaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		const size = 900 << 10
		for _, length := range []int64{size, -1} {
			body := stream()
			f := w.begin("/"+itoa(int(length&7)), length, body)
			slow, idle := f.Reader(nil), f.Reader(nil)
			body.pieces <- pattern(0, 1000)
			synctest.Wait()
			slow.look(nil) // it is writing from the first blob, and takes its time
			body.pieces <- pattern(1000, size-1000)
			close(body.pieces)
			synctest.Wait()
			if f.State() != Complete {
				t.Fatal(f.State())
			}
			object := int64(f.Object().Size())
			if n := w.c.held.Load(); n < object+firstBody || n > object+firstBody+16<<10 {
				t.Errorf("length %d: %d bytes held while two read and one is behind", length, n)
			}
			slow.advance(1000)
			if n := w.c.held.Load(); n != object {
				t.Errorf("length %d: %d bytes held while two read", length, n)
			}
			slow.Close()
			if n := w.c.held.Load(); n != object {
				t.Errorf("length %d: %d bytes held while one reads", length, n)
			}
			idle.Close()
			w.held(0)
		}
	})
}

func TestReadyBodyThatIsTooLargeReachesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(r *RouteConfig) { r.MaxObject = 1 << 10 }, func(*Request, field.List) response {
			body := text(string(pattern(0, 4<<10)))
			return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: -1}, body: body}
		})
		if a := w.get("/", time.Now()); a.err != nil || a.body != string(pattern(0, 4<<10)) {
			t.Errorf("got %d bytes, %v", len(a.body), a.err)
		}
	})
}

// TestAnErrorsPageStaysItsLeaders: whatever becomes of a shared error's page, it says that it is one.
func TestAnErrorsPageStaysItsLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []string{"whole", "broken", "too large"} {
			w := newWorld(t, nil, nil)
			body := stream()
			q := w.request("/")
			res := w.c.Lookup(q, time.Now())
			f := w.c.Begin(q, &res, Head{Status: 502, Length: -1}, body, time.Now(), time.Now())
			r := f.Reader(nil)
			check := func() {
				t.Helper()
				if f.Reason() != FillShared || f.Head().Status() != 502 {
					t.Errorf("%s: got %s %d", how, f.Reason(), f.Head().Status())
				}
			}
			check()
			go io.Copy(io.Discard, r)
			switch how {
			case "broken":
				body.err = io.ErrUnexpectedEOF
			case "too large":
				body.pieces <- make([]byte, 2<<20)
			}
			close(body.pieces)
			synctest.Wait()
			check()
			r.Close()
			if res := w.c.Lookup(w.request("/"), time.Now()); res.Verdict != Miss {
				t.Errorf("%s: then %s %s", how, res.Verdict, res.Reason)
			}
		}
	})
}
