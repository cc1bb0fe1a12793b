package cache

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// pattern is byte i of a large body.
func pattern(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((from + i) * 7 >> 3)
	}
	return b
}

// large is an origin whose body is longer than max_object and says so only when it is over.
func large(size int) func(*Request, field.List) response {
	return func(*Request, field.List) response {
		body := stream()
		go func() {
			for at := 0; at < size; at += 50000 {
				body.pieces <- pattern(at, min(50000, size-at))
			}
			close(body.pieces)
		}()
		return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: -1}, body: body}
	}
}

func TestTooLargeReachesItsReadersWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 5 << 20
		w := newWorld(t, nil, large(size))
		if a := w.get("/", time.Now()); a.err != nil || a.body != string(pattern(0, size)) {
			t.Fatalf("got %d bytes, %v", len(a.body), a.err)
		}
		if n := w.c.Stats().TooLarge; n != 1 {
			t.Errorf("%d too large", n)
		}
		res := w.c.Lookup(w.request("/"), time.Now())
		if res.Verdict != Alone || res.Reason != BypassTooLarge {
			t.Errorf("got %s %s", res.Verdict, res.Reason)
		}
	})
}

func TestLaggardIsCutAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 6 << 20
		hold := make(chan struct{})
		w := newWorld(t, nil, func(q *Request, f field.List) response {
			r := large(size)(q, f)
			<-hold
			return r
		})
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		own := new(response)
		var f *Fill
		go func() {
			synctest.Wait()
			close(hold)
		}()
		f, _, err := w.c.Lead(q, &res, func() (*Fill, error) { return w.fetch(q, &res, time.Now(), own) })
		if err != nil {
			t.Fatal(err)
		}
		fast, lazy := f.Reader(nil), f.Reader(nil)
		defer lazy.Close()
		got := make(chan []byte)
		go func() {
			defer fast.Close()
			var b bytes.Buffer
			if _, err := io.Copy(&b, fast); err != nil {
				t.Error(err)
			}
			got <- b.Bytes()
		}()
		var first [100]byte
		if _, err := io.ReadFull(lazy, first[:]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(<-got, pattern(0, size)) {
			t.Error("the fast reader's body is wrong")
		}
		rest, err := io.ReadAll(lazy)
		if !errors.Is(err, ErrLagging) {
			t.Errorf("the laggard got %d bytes and %v", len(rest), err)
		}
		if !bytes.Equal(rest, pattern(100, len(rest))) {
			t.Error("the laggard's bytes are wrong")
		}
	})
}

func TestTooLargeWithoutReadersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		body := stream()
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		f := w.c.Begin(q, &res, Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: -1}, body, time.Now(), time.Now())
		r := f.Reader(nil)
		go func() {
			for range 3 {
				body.pieces <- make([]byte, 1<<19)
			}
		}()
		synctest.Wait()
		r.Close()
		body.pieces <- make([]byte, 1) // the next byte is the last one that anybody waits for
		synctest.Wait()
		if n := body.closed.Load(); n != 1 {
			t.Errorf("the body was closed %d times", n)
		}
	})
}

func TestTooLargeThatNobodyReadsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		r := large(3<<20)(q, nil)
		f := w.c.Begin(q, &res, r.head, r.body, time.Now(), time.Now())
		time.Sleep(firstReader + time.Second)
		if n := r.body.closed.Load(); n != 1 || f.State() != TooLarge {
			t.Errorf("the body was closed %d times, the fill is %s", n, f.State())
		}
		if _, err := io.ReadAll(f.Reader(nil)); err == nil {
			t.Error("a late reader got a whole body")
		}
		for range r.body.pieces { // lets the origin end
		}
	})
}

func TestLateLeaderStillReadsTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		r := large(3<<20)(q, nil)
		f := w.c.Begin(q, &res, r.head, r.body, time.Now(), time.Now())
		time.Sleep(firstReader / 2)
		reader := f.Reader(nil)
		defer reader.Close()
		if b, err := io.ReadAll(reader); err != nil || !bytes.Equal(b, pattern(0, 3<<20)) {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
	})
}

// slowWriter takes its time, and checks what it gets.
type slowWriter struct {
	each time.Duration
	got  int
}

func (s *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(s.each)
	n := min(len(p), 1000)
	s.got += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func TestSlowReaderDoesNotSlowTheFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, large(900<<10))
		q := w.request("/")
		res := w.c.Lookup(q, time.Now())
		own := new(response)
		f, _, err := w.c.Lead(q, &res, func() (*Fill, error) { return w.fetch(q, &res, time.Now(), own) })
		if err != nil {
			t.Fatal(err)
		}
		r := f.Reader(nil)
		defer r.Close()
		slow := &slowWriter{each: time.Hour}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.WriteTo(slow)
		}()
		start := time.Now()
		synctest.Wait()
		if f.State() != Complete || time.Since(start) > 0 {
			t.Errorf("the fill is %s after %s", f.State(), time.Since(start))
		}
		<-done
	})
}
