package cache

import (
	"errors"
	"io"
	"math"
	"sync"
)

// Reader reads a fill from its beginning, while it arrives. Each Reader belongs to one goroutine and must be
// closed. Read returns io.EOF only at the end of a body that is whole, or of the piece that Only names.
type Reader struct {
	f      *Fill
	at     int64 // guarded by f.mu; written by the reader's goroutine only
	end    int64 // reads no further than this
	done   <-chan struct{}
	on     *block // what it writes from now; guarded by f.mu
	closed bool
}

// Reader returns a new Reader of the fill, or nil when it is Uncacheable. done, which may be nil, makes a
// waiting Read return ErrGone, for clients that leave.
func (f *Fill) Reader(done <-chan struct{}) *Reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == Uncacheable {
		return nil
	}
	r := &Reader{f: f, done: done, end: math.MaxInt64}
	if len(f.readers) == 0 && !f.over() {
		f.c.orphans.remove(f)
	}
	f.readers = append(f.readers, r)
	f.wasRead = true
	f.joined.fire()
	return r
}

// Only makes the reader read one piece of the body, and end as if that were all. It is called before the first
// Read, and only where the fill's Length is known: such a fill never becomes too large to keep, so that nothing
// has to keep pace with a reader that is ahead.
func (r *Reader) Only(offset, length int64) {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.at, r.end = offset, offset+length
}

// Close gives the reader up. The fill goes on without it, as long as there is memory enough.
func (r *Reader) Close() {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.unpin()
	for i, other := range f.readers {
		if other == r {
			last := len(f.readers) - 1
			f.readers[i] = f.readers[last]
			f.readers[last] = nil
			f.readers = f.readers[:last]
			break
		}
	}
	if f.spill != nil {
		f.spill.space.fire()
	}
	switch {
	case len(f.readers) > 0:
	case f.over():
		f.settleUp()
	default:
		f.c.orphans.add(f, f.c.now().Add(orphanAfter))
	}
}

// Read reads what is there, and waits when there is nothing yet.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		b, n, wait, err := r.look(p)
		if b != nil {
			n = copy(p, b)
			r.advance(n)
		}
		if n > 0 || err != nil {
			return n, err
		}
		if err := r.wait(wait); err != nil {
			return 0, err
		}
	}
}

// WriteTo writes the whole body to w as it arrives, without copying as long as it is going to be stored.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	var buf []byte
	defer func() {
		if buf != nil {
			spillBuffers.Put((*[spillBuffer]byte)(buf))
		}
	}()
	for {
		b, n, wait, err := r.look(buf)
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			b = buf[:n]
		case b == nil && wait == nil: // the ring has something, and must be copied from
			buf = spillBuffers.Get().(*[spillBuffer]byte)[:]
			continue
		case b == nil:
			if err := r.wait(wait); err != nil {
				return total, err
			}
			continue
		}
		m, err := w.Write(b)
		total += int64(m)
		if n == 0 {
			r.advance(m)
		}
		if err != nil {
			return total, err
		}
	}
}

const spillBuffer = 64 << 10

// spillBuffers is shared by all readers of responses that are too large; it holds no state.
var spillBuffers = sync.Pool{New: func() any { return new([spillBuffer]byte) }}

// look returns what a reader can have now: a slice of the stored body, to be followed by advance; or n bytes
// copied to p from the ring; or what to wait for. With an empty p and bytes in the ring it returns nothing at
// all.
func (r *Reader) look(p []byte) (b []byte, n int, wait <-chan struct{}, err error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.closed {
		return nil, 0, nil, ErrGone
	}
	linear := f.linear()
	linear = linear[:min(int64(len(linear)), r.end)]
	switch {
	case r.at >= r.end:
		return nil, 0, nil, io.EOF
	case r.at < int64(len(linear)):
		r.pin()
		return linear[r.at:], 0, nil, nil
	case r.at < f.n && len(p) == 0 && r.at >= f.spill.floor:
		return nil, 0, nil, nil
	case r.at < f.n:
		n, err = f.copyRing(p, r.at)
		r.at += int64(n)
		f.spill.space.fire()
		return nil, n, nil, err
	}
	switch {
	case f.state == Complete:
		return nil, 0, nil, io.EOF
	case f.state == Failed:
		return nil, 0, nil, f.err
	case f.state == TooLarge && f.spill.end_:
		return nil, 0, nil, f.spill.last()
	}
	return nil, 0, f.wake.wait(), nil
}

// linear is the part of the body that stands in one piece: all of it, or what came before the window.
func (f *Fill) linear() []byte {
	if f.object.Exists() {
		return f.object.Body()
	}
	if f.blob == nil {
		return nil
	}
	return f.blob[f.bodyAt:]
}

func (w *window) last() error {
	if w.err != nil {
		return errors.Join(ErrBroken, w.err)
	}
	return io.EOF
}

func (r *Reader) advance(n int) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r.unpin()
	r.at += int64(n)
	if f.spill != nil {
		f.spill.space.fire()
	}
}

func (r *Reader) wait(wake <-chan struct{}) error {
	select {
	case <-wake:
		return nil
	case <-r.done:
		return ErrGone
	}
}
