package listen

import (
	"crypto/tls"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Close ends the connection. Where input was left unread, it is read and dropped for a moment: closing
// at once would reset the connection and could destroy the answer before the client has read it
// (RFC 9112 §9.6).
func (c *conn) Close() error {
	if c.leaving != leavesForGood {
		return nil // fasthttp lets go; a loop takes over
	}
	if c.reading != nil {
		c.srv.exchanges.Put(c.reading)
		c.reading = nil
	}
	if c.x != nil {
		c.refused = c.refused || c.x.send.failed != nil && c.failed == nil
		c.finish(c.verdict())
	}
	if c.refused && !c.taken {
		c.linger()
	}
	c.srv.remove(c)
	if c.raw == nil {
		return c.closeSocket()
	}
	return c.Conn.Close()
}

// verdict says what became of an answer that ends its connection: fasthttp closes without a word, whether
// everything went out or not.
func (c *conn) verdict() error {
	switch {
	case c.failed != nil:
		return c.failed
	case c.x.send.failed != nil:
		return c.x.send.failed
	case !c.started && !c.taken:
		return io.ErrUnexpectedEOF
	}
	return nil
}

// lingerBytes and lingerTime bound what a refused client can cost after its answer.
const (
	lingerBytes = 256 << 10
	lingerTime  = time.Second
)

func (c *conn) linger() {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		_ = secure.CloseWrite() // says goodbye before the end
	}
	if c.raw.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.raw, lingerBytes)
}

// cut ends the connection without waiting for whoever uses it: Close would wait for a ride to end.
func (c *conn) cut() {
	if c.adopted.Load() { // if not, it is in the hands of its loop, which keeps nobody waiting
		_ = c.raw.SetDeadline(past)
		_ = c.raw.shutdown(unix.SHUT_RDWR)
	}
}
