package listen

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
)

// conn is a client's connection as fasthttp sees it, and the door: it reads and checks every request
// itself and hands fasthttp a short head of our own writing in its place, so that no byte a client
// chose reaches a second parser that might read it differently. A request that fails the check is
// handed on in the same way, marked as refused, and travels the journey to its 4xx like any other.
//
// fasthttp runs the loop: it calls Read for the next request, the handler for the answer, and Write
// with the answer's frame; the field lines join the frame in Write, as one block.
type conn struct {
	net.Conn // after TLS and the PROXY protocol
	srv      *Server
	raw      net.Conn // the socket: deadlines and half-closing
	peer     netip.AddrPort
	tls      bool
	shard    *shard
	at       int // index in shard.conns
	address  netip.Prefix

	rd *http1.Reader
	x  *exchange // the request being served; nil between requests

	token   []byte // what fasthttp still has to read of the stand-in head
	last    bool   // no request follows
	refused bool   // input is left unread on purpose: linger before closing
	taken   bool   // the carrier's user spoke on the connection itself; fasthttp's answer is dropped
	started bool   // the answer's head was written
	failed  error  // why the answer did not go out whole
	aborted atomic.Bool

	in, out watch
	up      uploading
	held    held

	gone goneSignal
}

// goneSignal is a channel that is made when somebody asks for it.
type goneSignal struct {
	mu     sync.Mutex
	wanted bool
	ch     chan struct{}
}

func (g *goneSignal) want() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	g.wanted = true
	return g.ch
}

func (g *goneSignal) isWanted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.wanted
}

func (g *goneSignal) rest() {
	g.mu.Lock()
	g.wanted = false
	g.mu.Unlock()
}

func (g *goneSignal) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted {
		g.wanted = false
		close(g.ch)
		g.ch = nil
	}
}

// exchange is what one request needs beyond its connection; pooled.
type exchange struct {
	proxy.Exchange
	req   http1.Request
	body  body
	block []byte // field lines waiting for their frame
	frame []byte // frame and block together
	send  sender
}

// The heads that stand in for a request: all that fasthttp has to know is the version, which decides
// whether it may answer in chunks.
var (
	token11 = []byte("GET / HTTP/1.1\r\nHost: t\r\n\r\n")
	token10 = []byte("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
)

// past is a deadline that has gone by: setting it makes a blocked call return.
var past = time.Unix(1, 0)

// Read hands fasthttp the stand-in for the next request. It returns io.EOF when there is none.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.token) == 0 {
		if c.x != nil || c.last { // fasthttp has no business reading inside a request
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.token)
	c.token = c.token[n:]
	return n, nil
}

// next waits for a request, without holding a buffer meanwhile, reads its head and prepares its exchange.
func (c *conn) next() error {
	clock := &c.srv.clock
	c.in.enter(phaseIdle, clock.now())
	err := c.rd.Await()
	if !c.in.enter(phaseHead, clock.now()) || err != nil {
		return c.end()
	}
	x := c.srv.exchanges.Get().(*exchange)
	err = c.rd.ReadRequest(&x.req)
	overdue := !c.in.enter(phaseQuiet, clock.now())
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

func malformed(err error) *http1.Malformed {
	var bad *http1.Malformed
	errors.As(err, &bad)
	return bad
}

var errHeaderTimeout = &http1.Malformed{Status: 408, Reason: "header-timeout", Detail: "the header section did not arrive in time"}

// end tells fasthttp that no request follows.
func (c *conn) end() error {
	c.last = true
	return io.EOF
}

func (c *conn) begin(x *exchange, bad *http1.Malformed) {
	x.Exchange.Reset()
	x.Req, x.Refusal = &x.req, bad
	x.Peer, x.TLS, x.Carrier = c.peer, c.tls, c
	x.Started = time.Now()
	x.send = sender{c: c}
	c.x, c.started, c.failed = x, false, nil
	c.token = token11
	switch {
	case bad != nil:
		c.last, c.refused = true, true
	case x.req.Minor == 0:
		c.token = token10
		fallthrough
	default:
		c.last = x.req.Close
		if x.req.Length != 0 { // -1: chunked
			x.body.reset(c, c.rd.Body())
			x.Body = &x.body
		}
	}
}

// pieces of at most this size are written at once, so that a slow client is seen to make progress.
const writePiece = 128 << 10

// Write sends what fasthttp has framed. The first bytes of an answer are its frame's head, complete,
// and the field lines go in before its empty line.
func (c *conn) Write(p []byte) (int, error) {
	if c.taken {
		return len(p), nil
	}
	if c.x != nil && !c.started {
		return c.writeHead(p)
	}
	return c.write(p)
}

func (c *conn) writeHead(p []byte) (int, error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		c.last = true
		return 0, errors.New("cannot answer: the frame's head is larger than the write buffer")
	}
	x := c.x
	c.started = true
	x.frame = append(x.frame[:0], p[:end+2]...)
	x.frame = append(x.frame, x.block...)
	x.frame = append(x.frame, p[end+2:]...)
	if _, err := c.write(x.frame); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *conn) write(p []byte) (n int, err error) {
	if c.failed != nil {
		return 0, c.failed
	}
	for len(p) > 0 {
		piece := p[:min(len(p), writePiece)]
		if !c.out.enter(phaseWriting, c.srv.clock.now()) {
			c.last, c.failed = true, os.ErrDeadlineExceeded
			return n, c.failed
		}
		k, err := c.Conn.Write(piece)
		n += k
		if err != nil {
			c.last, c.failed = true, err
			return n, err
		}
		p = p[k:]
	}
	c.out.enter(phaseQuiet, 0)
	return n, nil
}

// Interim implements proxy.Carrier. Nothing of an earlier answer is waiting in a buffer at this point:
// the door reveals a request only after the one before it was answered.
func (c *conn) Interim(status int, fields field.List) error {
	if c.x.req.Minor == 0 {
		return nil // RFC 9110 §15.2: never to an HTTP/1.0 client
	}
	b := appendStatusLine(make([]byte, 0, 512), status)
	b = http1.AppendFields(b, fields)
	b = append(b, "\r\n"...)
	// Whoever waits for the origin's answer must not wait for this client as well: what it does not take at
	// once ends its connection, since half an interim head cannot be followed by anything.
	if err := c.raw.SetWriteDeadline(time.Now().Add(interimTime)); err != nil {
		return err
	}
	if _, err := c.write(b); err != nil {
		return err
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

const interimTime = 100 * time.Millisecond

// Gone implements proxy.Carrier; the sweeper looks for the client while somebody waits on the channel.
func (c *conn) Gone() <-chan struct{} { return c.gone.want() }

// TakeOver implements proxy.Carrier.
func (c *conn) TakeOver(res *proxy.Response, run func(net.Conn, []byte)) error {
	c.taken, c.last = true, true
	b := appendStatusLine(make([]byte, 0, 1024), res.Status)
	b = http1.AppendFields(b, res.Fields)
	b = append(b, "\r\n"...)
	if _, err := c.write(b); err != nil {
		return err
	}
	early := bytes.Clone(c.rd.Buffered())
	c.rd.Reset(nil)
	client := c.Conn
	if p, ok := client.(*prefixed); ok && len(p.early) == 0 {
		client = p.Conn // so that the tunnel sees the socket itself
	}
	run(client, early)
	return nil
}

// finish ends the exchange after its last byte.
func (c *conn) finish(err error) {
	x := c.x
	if x == nil {
		return
	}
	c.gone.rest()
	c.up.reset()
	c.held.set(0, 0)
	c.settleBody()
	x.send.settle(err)
	c.srv.handler.Finish(&x.Exchange, x.send.sent, err)
	c.x = nil
	c.srv.exchanges.Put(x)
}

// settleBody decides, after the last reader of the request's content has ended, whether the connection can carry
// another request: not if content was left unread. An Abort that came when all was read already has left
// nothing but a deadline behind.
func (c *conn) settleBody() {
	if c.x.Body == nil {
		return
	}
	if !c.x.body.Done() {
		c.last = true
	}
	if c.aborted.Swap(false) {
		_ = c.raw.SetReadDeadline(time.Time{})
	}
}

// Close ends the connection. Where input was left unread, it is read and dropped for a moment: closing
// at once would reset the connection and could destroy the answer before the client has read it
// (RFC 9112 §9.6).
func (c *conn) Close() error {
	if c.x != nil {
		c.finish(c.verdict())
	}
	if c.refused && !c.taken {
		c.linger()
	}
	c.srv.remove(c)
	c.rd.Reset(nil)
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
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.raw, lingerBytes)
}
