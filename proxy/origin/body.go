package origin

import (
	"errors"
	"io"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
)

// Body is a response's content as it arrives. Reading fails with an *Error when the origin breaks off,
// falls silent, or frames it wrongly: only io.EOF means that the whole body was there.
type Body struct {
	c    *conn
	word uint64 // the connection's while it is this exchange's
	src  *http1.Body
	sink sink
	open bool
}

var errClosed = errors.New("cannot read the origin's response: it is closed")

// Read returns what has arrived, or waits.
func (b *Body) Read(p []byte) (int, error) {
	if !b.open {
		return 0, errClosed
	}
	n, err := b.src.Read(p)
	if err != nil && err != io.EOF {
		err = b.failed(err)
	}
	return n, err
}

// WriteTo copies the body to w as it arrives. An error of w's is returned as it is.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	if !b.open {
		return 0, errClosed
	}
	b.sink = sink{w: w}
	n, err := b.src.WriteTo(&b.sink)
	failed := b.sink.err
	b.sink = sink{}
	switch {
	case failed != nil:
		return n, failed
	case err != nil && err != io.EOF:
		return n, b.failed(err)
	}
	return n, nil
}

// sink remembers whether it was the writing that failed.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

func (b *Body) failed(err error) error {
	e := b.c.diagnose(err, Truncated)
	e.Sent = true
	b.c.t.failed(e)
	return e
}

// Ready reports whether the whole rest of the body is here, so that reading it cannot wait.
func (b *Body) Ready() bool { return !b.open || b.src.Ready() }

// Whole returns what is left of a body of declared length, if all of it is here, and reads it by that. It is valid until Close.
func (b *Body) Whole() (data []byte, ok bool) {
	if !b.open {
		return nil, false
	}
	return b.src.Whole()
}

// Done reports whether the body was read to its end, and that end was proven by its framing.
func (b *Body) Done() bool { return b.open && b.src.Done() }

// Remaining is what is left of a body of declared length, -1 when the length is unknown.
func (b *Body) Remaining() int64 {
	if !b.open {
		return 0
	}
	return b.src.Remaining()
}

// Trailer returns the trailer section once Done.
func (b *Body) Trailer() field.List {
	if !b.open {
		return nil
	}
	return b.src.Trailer()
}

// Abort ends the connection at once; a Read that waits fails. Unlike everything else it may be called
// from another goroutine; once the exchange is over it does nothing.
func (b *Body) Abort() {
	if b.c != nil {
		b.c.kill(b.word, Canceled)
	}
}

// Close ends the exchange. The connection is kept if nothing of the exchange is left on it: the
// request was sent whole, the response read whole, and not a byte more has come. Else it is closed, and
// the origin learns that nobody listens any more. A second Close does nothing.
func (b *Body) Close() error {
	if !b.open {
		return nil
	}
	b.open = false
	c := b.c
	if !b.src.Done() && b.src.Ready() {
		io.Copy(io.Discard, readerOnly{b.src})
	}
	c.stopSending()
	reuse := c.sent() && b.src.Done() && !c.head.Close && c.head.Framing != http1.UntilClose &&
		len(c.rd.Buffered()) == 0
	c.t.release(c, reuse)
	return nil
}

// readerOnly hides WriteTo, which would take a large buffer for what is in memory anyway.
type readerOnly struct{ io.Reader }
