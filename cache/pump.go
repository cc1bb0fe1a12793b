package cache

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// firstBody is the memory that a fill takes for a body before it has seen any of it, whatever its length
// claims to be: a head is cheap to send.
const firstBody = 64 << 10

var (
	errLonger    = errors.New("the origin's body is longer than its Content-Length")
	errAbandoned = errors.New("nobody reads the response, and memory is short")
	errSpilled   = errors.New("the response goes on in a window")
)

// pump reads the body to its end. It runs in the goroutine that the cache owns, or, when the whole body is
// there already, in the leader's. A body that proves too large is not read on there: nothing moves before the
// leader has a reader.
func (f *Fill) pump(body Body, inline bool, now time.Time) {
	err := f.guard(func() error { return f.fetch(body) })
	if !errors.Is(err, errSpilled) {
		f.close(body, err, now)
		return
	}
	rest := func() { f.close(body, f.guard(func() error { return f.fetchRing(body) }), now) }
	if inline {
		go rest()
		return
	}
	rest()
}

// close ends the fill with the error that reading ended with.
func (f *Fill) close(body Body, err error, now time.Time) {
	f.mu.Lock()
	f.abort = nil
	f.mu.Unlock()
	closed := f.guard(func() error {
		if err == nil && (!body.Done() || f.total >= 0 && f.n != f.total) {
			err = io.ErrUnexpectedEOF
		}
		return body.Close()
	})
	f.end(err, closed, now)
}

// guard turns a panic in the body's code into an error: it must cost one fill, not the process.
func (f *Fill) guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.c.count.add(countPanic)
			err = fmt.Errorf("cannot read the origin's body: panic: %v", p)
		}
	}()
	return work()
}

// fetch reads until io.EOF, which it returns as nil.
func (f *Fill) fetch(body Body) error {
	for {
		if f.wasAbandoned() {
			return errAbandoned
		}
		room := f.room()
		if room == nil {
			return f.fetchOn(body)
		}
		n, err := body.Read(room)
		f.arrived(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the origin's body: %w", err)
		}
	}
}

// room returns free space behind the body, growing the blob where there is none; nil where the body must
// end or prove too large, for the cache or for what memory is left. Only the pump writes to the blob, and
// readers see no more of it than n.
func (f *Fill) room() []byte {
	have := cap(f.blob) - f.bodyAt
	used := int(f.n)
	if used == f.limit || int64(used) == f.total {
		return nil
	}
	if have == used {
		if !f.grow(used) {
			f.starved = true
			return nil
		}
		have = cap(f.blob) - f.bodyAt
	}
	return f.blob[f.bodyAt+used : f.bodyAt+min(have, f.limit)]
}

// grow makes room for all of a body whose length is known, and twice the room for one whose length is not, if
// there is memory for it.
func (f *Fill) grow(used int) bool {
	want := int(f.total)
	if f.total < 0 {
		want = max(min(max(2*used, firstBody), f.limit), used+1)
	}
	size := int64(f.bodyAt + want)
	counted := f.total >= 0 || f.spare > leastWindow // when the fill began
	if !counted && !f.ask(size) {
		f.c.relieve()
		return false
	}
	bigger := slices.Grow([]byte(nil), f.bodyAt+want)
	bigger = append(bigger, f.blob[:f.bodyAt+used]...)
	f.mu.Lock()
	if counted {
		f.spare -= size
	}
	f.adopt(int64(cap(bigger)), size)
	f.blob = bigger
	f.mu.Unlock()
	f.c.relieve()
	return true
}

func (f *Fill) arrived(n int) {
	if n <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += int64(n)
	f.blob = f.blob[:f.bodyAt+int(f.n)]
	f.wake.fire()
}

// fetchOn deals with a body that has reached the limit or its announced length: it ends here, or it is too
// large.
func (f *Fill) fetchOn(body Body) error {
	var probe [1]byte
	for {
		n, err := body.Read(probe[:])
		if n > 0 && f.n == f.total {
			return errLonger
		}
		if n > 0 {
			return f.tooLarge(probe[0], err)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read the origin's body: %w", err)
		}
	}
}

// end makes the fill's last state known: readers first, then the tier, then the table. A body that is not
// proven whole is never stored.
func (f *Fill) end(err, closed error, now time.Time) {
	var blob []byte
	if err == nil && f.state == Streaming { // only the pump changes either
		blob = fit(f.blob) // megabytes: whoever looks the fill up meanwhile need not wait
	}
	f.mu.Lock()
	switch {
	case f.state == TooLarge:
		f.spill.end(err)
	case err != nil:
		f.state, f.err = Failed, fmt.Errorf("%w: %w", ErrBroken, errors.Join(err, closed))
		f.because(f.failure(err))
	default:
		if f.complete > 0 && f.n == f.complete {
			whole(blob)
		}
		f.object = finish(blob, f.bodyAt)
		f.state, f.blob = Complete, nil
		if size := int64(cap(f.object.b)); size != f.block.size {
			f.adopt(size, 0)
		}
		if !f.invalidated && f.c.writes.since(f.primary, f.asked) {
			f.invalidated = true
			f.because(FillInvalidated)
		}
	}
	object, keep := f.object, f.state == Complete && !f.transient && !f.invalidated
	f.settleUp()
	f.wake.fire()
	f.mu.Unlock()
	f.c.ended(f, object, keep, now)
}

func (f *Fill) failure(err error) Reason {
	switch {
	case f.abandoned:
		return BypassMemory
	case errors.Is(err, io.ErrUnexpectedEOF):
		return FillTruncated
	}
	return FillError
}

// because sets the fill's reason. A shared error stays one whatever becomes of its page, so that nobody
// takes the page for his own. Called with the lock.
func (f *Fill) because(reason Reason) {
	if !f.transient {
		f.reason = reason
	}
}
