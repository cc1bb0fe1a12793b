package listen

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
)

// The lane answers everything but what goes in chunks, without fasthttp hearing of it: content that lies in memory,
// content of known length that arrives, and to HTTP/1.0 what ends with the connection. A loop runs it for as long as
// nothing has to wait (serveHere), a goroutine for the rest (attend). A connection comes out of it with a request that is
// fasthttp's to answer: it has walked its journey already, only its answer is left.

// drive serves requests until one is fasthttp's (nil), or none follows (an error).
func (c *conn) drive() error {
	for {
		switch {
		case c.x != nil || c.reading != nil || c.parting != nil: // left over by a loop
		case c.sock != nil:
			if err := c.sock.ride(c.rideFn); err != nil {
				if again, err := c.woke(err); !again {
					return err
				}
				continue
			}
		default:
			if err := c.await(); err != nil {
				if again, err := c.woke(err); !again {
					return err
				}
				continue
			}
		}
		// What the ride cannot do waits: the rest of a head, content, a change of protocol.
		switch {
		case c.parting != nil:
			return c.parting
		case c.leaving == leavesToLoop:
			return io.EOF
		case c.x == nil:
			if err := c.head(); err != nil {
				return err
			}
		}
		if c.served || !c.answer() {
			return nil // with the stand-in to read
		}
		if c.last {
			return io.EOF
		}
	}
}

// What one connection may have of a loop before it gets a goroutine of its own, so that the others need not wait:
// requests in one turn, and bytes of content.
const (
	maxTurn   = 32
	largeTurn = 256 << 10
)

// ride serves the requests that are here. It runs inside the poller's callback, or for a loop: false waits for more,
// true leaves the lane, with c.x for a request that has to be served outside, or c.parting for the end.
func (c *conn) ride() bool {
	for n := 0; ; n++ {
		if n > 0 && n%maxTurn == 0 {
			if c.looped() {
				return true
			}
			runtime.Gosched() // the loops wait behind those who never rest
		}
		switch err := c.await(); err {
		case nil:
		case errDry:
			return c.returns()
		default:
			c.parting = c.end()
			return true
		}
		switch err := c.head(); {
		case err == errDry:
			return true
		case err != nil:
			c.parting = err
			return true
		case c.x.Body != nil || c.x.req.Upgrade != nil:
			return true // they read from the connection, whose lock the ride holds
		case !c.answer():
			return true
		case c.last:
			c.parting = io.EOF
			return true
		}
		c.busy = c.looped()
	}
}

// await waits for the first byte of a request, without holding a buffer meanwhile.
func (c *conn) await() error {
	if len(c.rd.Buffered()) > 0 {
		return nil
	}
	if !c.idle && !c.looped() {
		c.idle = true
		c.in.enter(phaseIdle, c.srv.clock.now())
	}
	return c.rd.Await()
}

// woke decides what an error means that ended the wait for a request: the connection's end; or somebody's wish
// to see it moved, which sets a deadline that has gone by.
func (c *conn) woke(err error) (again bool, _ error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, c.end()
	}
	switch p, _, _ := c.in.read(0); p {
	case phasePoked:
		return false, c.end()
	case phaseNap:
		c.rouse()
		c.leaving = leavesToNap
		return false, io.EOF
	}
	c.rouse() // the deadline outlived its reason
	return true, nil
}

// rouse takes back the deadline by which the sweeper asked for a nap. The sweeper sets it under the shard's
// lock: once that is free, the deadline is set, and can be cleared.
func (c *conn) rouse() {
	c.shard.mu.Lock()
	//lint:ignore SA2001 waiting is all
	c.shard.mu.Unlock()
	_ = c.raw.SetReadDeadline(noDeadline)
}

// head reads the head of the request that has begun, and prepares its exchange. In a ride it returns errDry when
// the head is not whole yet; the next call goes on with it, outside.
func (c *conn) head() error {
	x := c.reading
	if x == nil {
		if !c.leaveIdle() {
			return c.end()
		}
		x = c.srv.exchanges.Get().(*exchange)
	}
	waits := c.sock == nil || !c.sock.riding
	if waits {
		c.in.enter(phaseHead, c.srv.clock.now())
	}
	err := c.rd.ReadRequest(&x.req)
	if err == errDry {
		c.reading = x
		return err
	}
	c.reading = nil
	overdue := waits && !c.in.enter(phaseQuiet, 0)
	var bad *http1.Malformed
	switch {
	case overdue:
		bad = errHeaderTimeout
	case err != nil:
		if bad = malformed(err); bad == nil {
			c.srv.exchanges.Put(x)
			return c.end()
		}
	}
	c.begin(x, bad)
	return nil
}

// leaveIdle ends the wait for a request; false when the sweeper has given the connection up.
func (c *conn) leaveIdle() bool {
	if !c.idle {
		return true
	}
	c.idle = false
	switch c.in.swap(phaseQuiet, 0) {
	case phasePoked:
		return false
	case phaseNap:
		c.rouse()
	}
	return true
}

// answer serves the request and sends the answer, if it is the lane's to send. Otherwise it leaves the answer
// to fasthttp and reports false.
func (c *conn) answer() bool {
	x := c.x
	if !c.walked && !c.serve() {
		return false
	}
	switch {
	case c.taken || !direct(&x.Res, x.req.Minor):
		c.served, c.token = true, standIn
		return false
	case c.looped() && (x.Res.Stream != nil && !x.Res.NoBody || len(x.Res.Bytes) > largeTurn):
		return false
	}
	err := c.sendDirect(&x.Res)
	if err == errDry {
		return false
	}
	if err != nil {
		c.last = true
		c.refused = c.failed == nil // what the client has sent behind this request
	}
	c.finish(err)
	return true
}

// returnAfter is the number of answers in a row that had to wait for nothing, after which a connection leaves its
// goroutine for its loop again. The way there and back costs about as much as so many of them save.
const returnAfter = 4

// returns reports whether a connection that waits for a request should do so in its loop from now on.
func (c *conn) returns() bool {
	if c.looped() || c.prompts < returnAfter || c.srv.draining.Load() {
		return false
	}
	if !c.leaveIdle() {
		c.parting = c.end()
		return true
	}
	c.in.enter(phaseQuiet, c.srv.clock.now())
	c.leaving = leavesToLoop
	return true
}

// serve walks the journey; false where a loop cannot wait for its end.
func (c *conn) serve() bool {
	x := c.x
	x.Prompt = true
	switch {
	case c.srv.handler.Serve(&x.Exchange):
		c.prompts++
	case c.looped():
		return false
	default:
		x.Prompt, c.prompts = false, 0
		c.srv.handler.Serve(&x.Exchange)
	}
	if x.Body != nil || x.Res.Stream != nil || len(x.Res.Bytes) > largeTurn {
		c.prompts = 0
	}
	c.walked = true
	if x.Body != nil && !x.body.Done() {
		// What is left of the content would have to be read before the next request. Its size is the
		// client's choice, so the connection ends instead.
		c.last, c.refused = true, true
	}
	if x.Res.Close || c.srv.draining.Load() {
		c.refused = c.refused || !c.last // the client has not said so: what it has sent behind this request is left
		c.last = true
	}
	return true
}

// direct reports whether an answer is the lane's to send: all but chunks are.
func direct(res *proxy.Response, minor int) bool {
	return res.Stream == nil || res.NoBody || res.Length >= 0 || minor == 0
}

// inline is the largest content that is copied behind its head, which is cheaper than a second piece.
const inline = 16 << 10

// sendDirect writes the answer, small content together with its head. Without a length the content ends with the
// connection: an HTTP/1.0 client knows no chunks (RFC 9112 §6.3).
func (c *conn) sendDirect(res *proxy.Response) error {
	x := c.x
	if c.started {
		return c.sendRest(res)
	}
	c.started = true
	c.holds = pinned{res.Object, res.Holds}
	if res.Stream != nil {
		x.send.body = res.Stream
		c.last = c.last || res.Length < 0 && !res.NoBody
	}
	x.frame = c.appendHead(x.frame[:0], res)
	switch {
	case res.NoBody:
		return x.send.begin(nil)
	case res.Stream != nil:
		return c.sendStream(res)
	}
	n, err := x.send.Write(res.Bytes)
	x.send.sent = int64(n)
	return err
}

// sendRest goes on with an answer of which a loop could send a part.
func (c *conn) sendRest(res *proxy.Response) error {
	rest := c.sock.rest
	c.sock.rest = vector{}
	n, err := c.write(rest.head, rest.body)
	if !res.NoBody {
		c.x.send.sent = int64(max(0, len(res.Bytes)-(len(rest.head)+len(rest.body)-n)))
	}
	return err
}

// appendHead appends the answer's head, its framing first, as fasthttp has it.
func (c *conn) appendHead(b []byte, res *proxy.Response) []byte {
	b = appendStatusLine(b, res.Status)
	length := res.Length
	if res.Stream == nil && !res.NoBody {
		length = int64(len(res.Bytes))
	}
	if length >= 0 && res.Status >= 200 && res.Status != 204 {
		b = http1.AppendContentLength(b, length)
	}
	switch {
	case c.last:
		b = append(b, "Connection: close\r\n"...)
	case c.x.req.Minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = res.AppendFields(b)
	return append(b, "\r\n"...)
}

// sendStream sends content as it arrives. Its first piece goes out with the head unless the head is wanted
// earlier.
func (c *conn) sendStream(res *proxy.Response) error {
	s := &c.x.send
	if res.Flush {
		if err := s.begin(nil); err != nil {
			return err
		}
	}
	n, err := s.body.WriteTo(s)
	s.sent = n
	switch {
	case err != nil:
	case res.Length >= 0 && n != res.Length:
		err = io.ErrUnexpectedEOF
	case !s.begun:
		err = s.begin(nil)
	}
	s.failed = err
	return err
}
