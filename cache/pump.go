package cache

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// firstBody is what a fill reserves for a body before it has seen any of it, whatever its length claims to
// be: a head is cheap to send.
const firstBody = 64 << 10

var errLonger = errors.New("the origin's body is longer than its Content-Length")

// pump reads the body to its end. It runs in the goroutine that the cache owns, or, when the whole body is
// there already, in the leader's.
func (f *Fill) pump(body Body, now time.Time) {
	err := f.guard(func() error { return f.fetch(body) })
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
// end or prove too large. Only the pump writes to the blob, and readers see no more of it than n.
func (f *Fill) room() []byte {
	have := cap(f.blob) - f.bodyAt
	used := int(f.n)
	if used == f.limit || int64(used) == f.total {
		return nil
	}
	if have == used {
		f.grow(used)
		have = cap(f.blob) - f.bodyAt
	}
	return f.blob[f.bodyAt+used : f.bodyAt+min(have, f.limit)]
}

// grow doubles the space, up to the length that was announced or the limit.
func (f *Fill) grow(used int) {
	want := max(2*used, firstBody)
	if f.total >= 0 {
		want = min(want, int(f.total))
	}
	want = max(min(want, f.limit), used+1)
	bigger := slices.Grow([]byte(nil), f.bodyAt+want)
	bigger = append(bigger, f.blob[:f.bodyAt+used]...)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.charge(int64(cap(bigger)))
	f.blob = bigger
}

// charge sets how many bytes the fill holds. Called with the lock, or before anybody else knows f.
func (f *Fill) charge(n int64) {
	f.c.held.Add(n - f.charged)
	f.charged = n
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
			return f.tooLarge(body, probe[0], err)
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
	f.mu.Lock()
	switch {
	case f.state == TooLarge:
		f.spill.end(err)
	case err != nil:
		f.state, f.err, f.reason = Failed, fmt.Errorf("%w: %w", ErrBroken, errors.Join(err, closed)), FillError
		if errors.Is(err, io.ErrUnexpectedEOF) {
			f.reason = FillTruncated
		}
	default:
		f.object = finish(f.blob, f.bodyAt)
		f.state, f.blob = Complete, nil
	}
	object, keep := f.object, f.state == Complete && !f.transient && !f.invalidated
	f.charge(0)
	f.wake.fire()
	f.mu.Unlock()
	f.c.ended(f, object, keep, now)
}
