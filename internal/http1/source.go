package http1

import "io"

// LazySource is a source that asks for a buffer only when it has bytes to put into it, so that a
// connection which waits for its peer holds none. A Reader uses it whenever nothing is buffered.
type LazySource interface {
	io.Reader
	// ReadLazy reads once, like Read, into what l lends. Before it waits it must hand the buffer back with
	// l.Return, and it may then call l.Lend again.
	ReadLazy(l Lender) (int, error)
}

// Lender is a Reader's side of a lazy read.
type Lender interface {
	// Lend returns room for at least 4 KiB.
	Lend() []byte
	// Return takes the room back; it must hold nothing that was read.
	Return()
}

// lender is a Reader as its LazySource sees it.
type lender Reader

func (l *lender) Lend() []byte {
	if l.cur == nil {
		l.cur = take(l.want)
	}
	l.r, l.w = 0, 0
	return l.cur
}

func (l *lender) Return() {
	if l.cur != nil && l.r == l.w {
		give(l.cur)
		l.cur, l.r, l.w = nil, 0, 0
	}
}

// maxEmptyReads bounds how often a source may return neither bytes nor an error.
const maxEmptyReads = 100

// read reads once into cur behind w, where there must be room, or into a new buffer.
func (r *Reader) read() error {
	if r.lazy == nil || r.r != r.w {
		if r.cur == nil {
			r.cur = take(r.want)
		}
		n, err := r.readSome(r.cur[r.w:])
		r.w += n
		return err
	}
	if err := r.pending(); err != nil {
		return err
	}
	for range maxEmptyReads {
		n, err := r.lazy.ReadLazy((*lender)(r))
		if n < 0 || n > len(r.cur) {
			return errSource
		}
		if n > 0 {
			r.w, r.srcErr = n, err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// readSome reads at least one byte into p, or fails. An error that comes with bytes is kept for later.
func (r *Reader) readSome(p []byte) (int, error) {
	if err := r.pending(); err != nil {
		return 0, err
	}
	for range maxEmptyReads {
		n, err := r.src.Read(p)
		if n < 0 || n > len(p) {
			return 0, errSource
		}
		if n > 0 {
			r.srcErr = err
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// pending returns the error that came along with the last bytes. An end stays one, other errors (a
// deadline) are reported once.
func (r *Reader) pending() error {
	err := r.srcErr
	if err != io.EOF {
		r.srcErr = nil
	}
	return err
}

// more reads more of a head. moved tells that the head lies elsewhere in memory now, and must be parsed
// from its beginning.
func (r *Reader) more() (moved bool, err error) {
	switch {
	case r.cur != nil && r.r == r.w:
		r.r, r.w = 0, 0
		moved = true
	case r.cur != nil && r.w == len(r.cur):
		r.makeRoom()
		moved = true
	}
	r.want = smallBuffer
	if r.cur == nil {
		moved = true
	}
	return moved, r.read()
}

// makeRoom moves the beginning of a head to the front of its buffer, or into one of twice the size. The
// limits end a head before this grows without bound.
func (r *Reader) makeRoom() {
	to := r.cur
	if r.r == 0 {
		to = take(2 * len(r.cur))
	}
	n := copy(to, r.cur[r.r:r.w])
	if r.r == 0 {
		give(r.cur)
	}
	r.cur, r.r, r.w = to, 0, n
}

// readBody reads more of a body when everything buffered is used up. The head's buffer is left alone from
// here on; the body gets one of its own, small at first unless much is known to come, and large once a
// read has filled it.
func (r *Reader) readBody(remaining int64) error {
	if r.kept == nil {
		r.kept, r.cur = r.cur, nil
		r.want = smallBuffer
	} else if r.cur != nil && r.w == len(r.cur) {
		r.want = largeBuffer
	}
	if remaining > smallBuffer {
		r.want = largeBuffer
	}
	if r.cur != nil && len(r.cur) < r.want {
		give(r.cur)
		r.cur = nil
	}
	r.r, r.w = 0, 0
	return r.read()
}

// doneWithBody gives the body's buffer back as soon as it holds nothing.
func (r *Reader) doneWithBody() {
	if r.kept != nil && r.cur != nil && r.r == r.w {
		give(r.cur)
		r.cur, r.r, r.w = nil, 0, 0
	}
}

// keep puts one byte that was read too much back as buffered; nothing else is.
func (r *Reader) keep(c byte) {
	if r.kept == nil {
		r.kept, r.cur = r.cur, nil
	}
	if r.cur == nil {
		r.cur = take(smallBuffer)
	}
	r.cur[0] = c
	r.r, r.w = 0, 1
}
