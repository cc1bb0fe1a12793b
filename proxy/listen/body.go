package listen

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
)

// body is a request's content; it tells the sweeper when the client is to send.
type body struct {
	c    *conn
	b    *http1.Body
	done atomic.Bool // b's own word may only be asked by the goroutine that reads it
}

func (b *body) reset(c *conn, from *http1.Body) {
	b.c, b.b = c, from
	b.done.Store(false)
}

func (b *body) Read(p []byte) (int, error) {
	if !b.c.in.enter(phaseBody, b.c.srv.clock.now()) {
		return 0, errBodyTimeout
	}
	n, err := b.b.Read(p)
	b.done.Store(b.b.Done())
	return n, b.after(err)
}

// WriteTo copies the content to w as it arrives. A slow reader of w is not the client's fault, so the
// clock runs only while the client is waited for.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if !b.c.in.enter(phaseBody, b.c.srv.clock.now()) {
		return 0, errBodyTimeout
	}
	n, err := b.b.WriteTo(pacedWriter{w, b.c})
	b.done.Store(b.b.Done())
	return n, b.after(err)
}

func (b *body) after(err error) error {
	if !b.c.in.enter(phaseQuiet, 0) && err != nil && err != io.EOF {
		return errBodyTimeout
	}
	return err
}

// pacedWriter marks the time in which the other side is waited for.
type pacedWriter struct {
	w io.Writer
	c *conn
}

func (p pacedWriter) Write(b []byte) (int, error) {
	p.c.in.enter(phaseQuiet, 0)
	n, err := p.w.Write(b)
	p.c.in.enter(phaseBody, p.c.srv.clock.now())
	return n, err
}

var errBodyTimeout = &http1.Malformed{Status: 408, Reason: "body-timeout", Detail: "the request's content did not arrive in time"}

func (b *body) Done() bool          { return b.done.Load() }
func (b *body) Trailer() field.List { return b.b.Trailer() }
func (b *body) N() int64            { return b.b.N() }
func (b *body) Remaining() int64    { return b.b.Remaining() }
func (b *body) SetLimit(max int64)  { b.b.SetLimit(max) }

// SetTimeout bounds the arrival of the whole content; the sweeper watches it.
func (b *body) SetTimeout(d time.Duration) { b.c.bodyBy.Store(b.c.srv.clock.now() + d.Milliseconds()) }

// Abort makes a blocked Read return; the connection serves no further request.
func (b *body) Abort() {
	b.c.aborted.Store(true)
	_ = b.c.raw.SetReadDeadline(past)
}
