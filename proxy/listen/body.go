package listen

import (
	"errors"
	"io"
	"os"
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
	if !b.c.awaitBody() {
		return 0, errBodyTimeout
	}
	n, err := b.b.Read(p)
	b.done.Store(b.b.Done())
	return n, b.after(n, err)
}

// WriteTo copies the content to w as it arrives. A slow reader of w is not the client's fault, so the
// clock runs only while the client is waited for.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if !b.c.awaitBody() {
		return 0, errBodyTimeout
	}
	n, err := b.b.WriteTo(pacedWriter{w, b.c})
	b.done.Store(b.b.Done())
	return n, b.after(0, err)
}

func (b *body) after(n int, err error) error {
	b.c.gotBody(n)
	if errors.Is(err, os.ErrDeadlineExceeded) && !b.c.aborted.Load() {
		return errBodyTimeout
	}
	return err
}

// uploading is how a request's content arrives, for the sweeper.
type uploading struct {
	by     atomic.Int64 // the clock's time by which all of it must be here; 0: no bound
	bytes  atomic.Int64 // arrived
	waited atomic.Int64 // milliseconds that the client was waited for, the present wait not included
	since  int64        // when the present wait began
}

func (u *uploading) reset() {
	u.by.Store(0)
	u.bytes.Store(0)
	u.waited.Store(0)
}

// tooSlow reports whether content that is waited for since lasted arrives below rate, in bytes a second. The
// first grace milliseconds of waiting are free: a phone may lose its network for a moment.
func (u *uploading) tooSlow(now, lasted, rate int64) bool {
	const grace = 10_000
	if by := u.by.Load(); by != 0 && now > by {
		return true
	}
	wait := u.waited.Load() + lasted
	return wait > grace && u.bytes.Load() < rate*(wait-grace)/1000
}

// awaitBody begins a wait for content; false when the sweeper has given the client up.
func (c *conn) awaitBody() bool {
	c.up.since = c.srv.clock.now()
	return c.in.enter(phaseBody, c.up.since)
}

// gotBody ends the wait.
func (c *conn) gotBody(n int) {
	c.in.enter(phaseQuiet, 0)
	c.up.bytes.Add(int64(n))
	c.up.waited.Add(c.srv.clock.now() - c.up.since)
}

// pacedWriter marks the time in which the other side is waited for.
type pacedWriter struct {
	w io.Writer
	c *conn
}

func (p pacedWriter) Write(b []byte) (int, error) {
	p.c.gotBody(len(b))
	n, err := p.w.Write(b)
	p.c.awaitBody()
	return n, err
}

var errBodyTimeout = &http1.Malformed{Status: 408, Reason: "body-timeout", Detail: "the request's content did not arrive in time"}

func (b *body) Done() bool { return b.done.Load() }

// Ready reports that the rest of the content can be read without waiting, which spares a 100 (Continue) and a
// goroutine at the origin. It is asked before anybody reads.
func (b *body) Ready() bool         { return b.b.Ready() }
func (b *body) Trailer() field.List { return b.b.Trailer() }
func (b *body) N() int64            { return b.b.N() }
func (b *body) Remaining() int64    { return b.b.Remaining() }
func (b *body) SetLimit(max int64)  { b.b.SetLimit(max) }

// SetTimeout bounds the arrival of the whole content; the sweeper watches it.
func (b *body) SetTimeout(d time.Duration) { b.c.up.by.Store(b.c.srv.clock.now() + d.Milliseconds()) }

// Abort makes a blocked Read return; the connection serves no further request.
func (b *body) Abort() {
	b.c.aborted.Store(true)
	_ = b.c.raw.SetReadDeadline(past)
}
