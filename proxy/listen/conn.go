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

	"golang.org/x/sys/unix"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
)

// conn is a client's connection, and the door: it reads and checks every request itself. A request that fails the check
// is marked as refused, and travels the journey to its 4xx like any other.
//
// It answers most requests itself, in its loop or in a goroutine of its own (see lane.go). From the first answer that goes
// in chunks on fasthttp drives it: it calls Read for the next request, the handler for the answer, and Write with the
// answer's frame; the field lines join the frame in Write, as one block. What fasthttp reads is a short head of our own
// writing, so that no byte a client chose reaches a second parser that might read it differently.
type conn struct {
	net.Conn // after TLS and the PROXY protocol
	srv      *Server
	raw      *stream // the socket: deadlines and half-closing; nil until it is adopted
	sock     *socket // the same, for direct reads and writes; nil under TLS
	fd       int     // its descriptor
	adopted  atomic.Bool
	peer     netip.AddrPort
	tls      bool
	shard    *shard
	at       int // index in shard.conns
	address  netip.Prefix

	rd      *reading
	x       *exchange // the request being served; nil between requests
	reading *exchange // of a request whose head is not whole yet
	idle    bool      // waiting for a request
	leaving leaving   // what comes after its goroutine
	loop    *loop     // where it rests
	busy    bool      // its loop has answered a request of it since it woke
	prompts int       // answers in a row that had to wait for nothing
	parting error     // why a ride has left the lane for good

	token   []byte // what fasthttp still has to read of the stand-in head
	walked  bool   // the request in x has walked its journey
	served  bool   // and its answer is fasthttp's to send
	last    bool   // no request follows
	refused bool   // input is left unread on purpose: linger before closing
	taken   bool   // the carrier's user spoke on the connection itself; fasthttp's answer is dropped
	started bool   // the answer's head was written, or is on its way
	failed  error  // why the answer did not go out whole
	aborted atomic.Bool
	warm    atomic.Bool // rests with buffers

	in, out watch
	up      uploading
	held    held
	holds   pinned // what held is told when sending has to wait
	waited  bool   // sending has had to wait

	rideFn    func() bool
	blockedFn func(moved bool) bool

	gone goneSignal
}

func newConn(s *Server, fd int, peer netip.AddrPort, secure bool) *conn {
	c := &conn{srv: s, fd: fd, peer: peer, tls: secure}
	c.loop = s.loops[s.next.Add(1)%uint32(len(s.loops))]
	if !secure {
		c.sock = new(socket)
	}
	c.rideFn = c.ride
	return c
}

// adopt makes the runtime know the socket, so that a goroutine can wait for it.
func (c *conn) adopt() {
	if c.raw != nil {
		return
	}
	c.raw = newStream(c.fd, c.peer)
	c.Conn, c.blockedFn = c.raw, c.blocked
	if c.sock != nil {
		c.sock.adopt(c.raw)
	}
	c.adopted.Store(true)
}

// looped reports whether the connection's loop serves it just now: nothing may wait.
func (c *conn) looped() bool { return c.sock != nil && c.sock.looped }

// closeSocket ends the connection itself.
func (c *conn) closeSocket() error {
	if c.raw == nil {
		return unix.Close(c.fd)
	}
	return c.raw.Close()
}

// leaving says why a connection leaves its goroutine.
type leaving uint8

const (
	leavesForGood leaving = iota
	leavesToNap           // it has been idle for a while
	leavesToLoop          // its requests need no goroutine any more
)

// goneSignal is a channel that is made when somebody asks for it.
type goneSignal struct {
	wanted atomic.Bool
	since  atomic.Int64 // when the end of the client's sending was seen, by the server's clock; 0: not
	mu     sync.Mutex
	ch     chan struct{}
}

func (g *goneSignal) want() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ch == nil {
		g.ch = make(chan struct{})
	}
	if !g.wanted.Swap(true) {
		g.since.Store(0)
	}
	return g.ch
}

func (g *goneSignal) rest() {
	if g.wanted.Load() {
		g.mu.Lock()
		g.wanted.Store(false)
		g.mu.Unlock()
	}
}

func (g *goneSignal) fire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wanted.Swap(false) {
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

// standIn is the head that fasthttp reads in place of a request that it is to answer.
var standIn = []byte("GET / HTTP/1.1\r\nHost: t\r\n\r\n")

// past is a deadline that has gone by: setting it makes a blocked call return. noDeadline is none.
var (
	past       = time.Unix(1, 0)
	noDeadline time.Time
)

// Read serves requests until one is left for fasthttp to answer, and hands it the stand-in. It returns io.EOF when
// none follows.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.token) == 0 {
		if inside := c.x != nil; inside && c.served || !inside && c.last { // fasthttp has no business reading then
			return 0, io.EOF
		}
		if err := c.drive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.token)
	c.token = c.token[n:]
	return n, nil
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
	x.Peer, x.TLS, x.Carrier, x.Before = c.peer, c.tls, c, &c.rd.before
	x.Started = c.srv.clock.time()
	x.send = sender{c: c}
	c.x, c.walked, c.served, c.started, c.failed = x, false, false, false, nil
	switch {
	case bad != nil:
		c.last, c.refused = true, true
	default:
		c.last = x.req.Close
		if x.req.Length != 0 { // -1: chunked
			x.body.reset(c, c.rd.Body())
			x.Body = &x.body
		}
	}
}

// Write sends what fasthttp has framed. The first bytes of an answer are its frame's head, complete,
// and the field lines go in before its empty line.
func (c *conn) Write(p []byte) (int, error) {
	if c.taken {
		return len(p), nil
	}
	if c.x != nil && !c.started {
		return c.writeHead(p)
	}
	return c.write(p, nil)
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
	if _, err := c.write(x.frame, nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// write sends head and then body. While it waits for the client the sweeper watches its progress.
func (c *conn) write(head, body []byte) (n int, err error) {
	if c.failed != nil {
		return 0, c.failed
	}
	c.waited = false
	if c.sock != nil {
		n, err = c.sock.send(head, body, c.blockedFn)
	} else if n, err = c.writePieces(head); err == nil && len(body) > 0 {
		var k int
		k, err = c.writePieces(body)
		n += k
	}
	switch {
	case err == errDry:
		return n, err
	case err != nil:
		c.last, c.failed = true, err
		return n, err
	}
	if c.waited {
		c.prompts = 0
		c.out.enter(phaseQuiet, 0)
		c.held.set(pinned{})
	}
	return n, nil
}

// blocked notes that sending has to wait; false when the sweeper has given the client up.
func (c *conn) blocked(moved bool) bool {
	if !c.waited {
		c.waited, moved = true, true
		c.held.set(c.holds)
	}
	return !moved || c.out.enter(phaseWriting, c.srv.clock.now())
}

// pieces of at most this size are written at once, so that a slow client is seen to make progress.
const writePiece = 128 << 10

func (c *conn) writePieces(p []byte) (n int, err error) {
	for len(p) > 0 {
		if !c.blocked(true) {
			return n, os.ErrDeadlineExceeded
		}
		k, err := c.Conn.Write(p[:min(len(p), writePiece)])
		n += k
		if err != nil {
			return n, err
		}
		p = p[k:]
	}
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
	if _, err := c.write(b, nil); err != nil {
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
	b = res.AppendFields(b)
	b = append(b, "\r\n"...)
	if _, err := c.write(b, nil); err != nil {
		return err
	}
	early := bytes.Clone(c.rd.Buffered())
	c.rd.Reset(nil)
	if c.sock != nil && len(c.sock.early) > 0 {
		early = append(early, c.sock.early...)
	}
	run(c.Conn, early)
	return nil
}

// finish ends the exchange after its last byte.
func (c *conn) finish(err error) {
	x := c.x
	if x == nil {
		return
	}
	c.gone.rest()
	c.holds = pinned{}
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
	c.up.reset()
	if !c.x.body.Done() {
		c.last = true
	}
	if c.aborted.Swap(false) {
		_ = c.raw.SetReadDeadline(time.Time{})
	}
}
