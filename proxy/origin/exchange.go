package origin

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
)

// maxInterim bounds the 1xx responses before a final one.
const maxInterim = 16

// exchange sends the request on a connection that belongs to it and reads the response's head. On an
// error the connection is gone; else the response holds it. dead: the connection had ended while it was idle,
// nothing was sent, and it is the caller's to drop.
func (c *call) exchange(cn *conn, r *Response) (dead bool, fault *Error) {
	written := cn.wire.written
	got := cn.got
	reused := cn.uses > 1
	if err := c.send(cn); err != nil {
		cn.t.release(cn, true) // nothing was written
		return false, err
	}
	err := c.receive(cn, r)
	if err == nil {
		r.Target, r.Reused = cn.t.url, reused
		r.Took = time.Duration(c.p.ps.clock.exact() - c.start)
		cn.t.answered(r.Took)
		return false, nil
	}
	if err == errDead && cn.end() {
		return true, nil
	}
	e := c.diagnose(cn, err)
	consumed := cn.stopSending() // joins the sender: what it wrote is settled from here on
	cn.t.discard(cn)
	e.Sent = cn.wire.written > written
	nothing := e.Kind == Reset && cn.got == got
	e.stale, e.mute = nothing && reused, nothing && !reused
	// An idempotent request with a body is sent again only where that repairs a stale connection.
	e.again = !consumed && (!e.Sent || idempotent(c.q.Method) && (c.q.Body == nil || e.stale))
	e.Retryable = e.again && c.untouched()
	return false, e
}

// send writes the head, and the body with it in the same write if it is held already, or has the first read do
// that; a body that still has to come is left to a sender. A failed write is no error yet: the origin may have answered
// and closed before it had everything, and its answer counts.
func (c *call) send(cn *conn) *Error {
	f := c.framing()
	buffers := &c.p.ps.buffers
	buf := buffers.head()
	head, lines := appendHead((*buf)[:0], c.q, c.p.host(c.q, cn.t), f)
	*buf = head
	if !clean(head, lines) {
		buffers.giveHead(buf)
		return cn.t.fail(UncleanRequest, "", nil)
	}
	clk := &c.p.ps.clock
	if c.body.streams() {
		cn.headBy.Store(clk.by(c.tm.FirstByte.D()))
		if cn.write(head) {
			cn.headBy.Store(whileSending)
			cn.sender = newSender(cn, c.q, f, c.body.bytes(), c.tm)
			go cn.sender.run()
		}
		buffers.giveHead(buf)
		return nil
	}
	*buf = c.body.append(head, f)
	cn.headBy.Store(clk.by(c.tm.FirstByte.D()))
	if !cn.owe(buf) {
		cn.write(*buf)
		buffers.giveHead(buf)
	}
	return nil
}

func (c *call) framing() framing {
	f := framing{length: -1}
	switch {
	case c.q.Body == nil || c.q.Length == 0:
		if c.q.Body != nil || announcesBody(c.q.Method) {
			f.length = 0
		}
	case !c.body.streams() && len(c.body.trailer) == 0:
		f.length = int64(c.body.n)
	case c.q.Length >= 0:
		f.length = c.q.Length
		f.expect = c.expects()
	default:
		f.chunked = true
		f.expect = c.expects()
	}
	return f
}

// expects reports whether the origin is to be asked before the body is sent: where the client waits for
// that, and nothing of the body is here yet.
func (c *call) expects() bool {
	return c.q.Expect100 && c.body.streams() && c.body.n == 0
}

// errNotAsked and its kin say why a well-formed response is still no answer.
var (
	errNotAsked    = errors.New("101 Switching Protocols, although no upgrade was asked for")
	errOtherSwitch = errors.New("101 Switching Protocols to a protocol that was not asked for")
	errChatter     = errors.New("more than 16 interim responses")
	errStreams     = errors.New("too many event streams")
)

// receive reads heads until the final one, relaying interim ones.
func (c *call) receive(cn *conn, r *Response) error {
	for interim := 0; ; interim++ {
		if err := cn.rd.ReadResponse(&cn.head, c.q.Method); err != nil {
			return err
		}
		h := &cn.head
		switch {
		case h.Status == 101:
			return c.switched(cn, r)
		case h.Status >= 200:
			return c.final(cn, r)
		case interim == maxInterim:
			return errChatter
		case h.Status == 100:
			cn.sender.proceed()
		default:
			c.relay(cn, h)
		}
		if by := cn.headBy.Load(); by > 0 {
			cn.headBy.CompareAndSwap(by, c.p.ps.clock.by(c.tm.FirstByte.D()))
		}
	}
}

func (c *call) relay(cn *conn, h *http1.Response) {
	if c.q.OnInterim == nil {
		return
	}
	cn.sender.exclusively(func() { c.q.OnInterim(h.Status, h.Fields) })
}

// final hands over an answer. An early one that is no success stops the request's body: the origin has
// decided without it. A success may want the rest (RFC 9110 §7.5 lets both run).
func (c *call) final(cn *conn, r *Response) error {
	cn.headBy.Store(0)
	h := &cn.head
	events := eventStream(h.Fields.Get("Content-Type"))
	// An event stream of which all is here already is a response like any other.
	if events && !cn.rd.Body().Ready() && !cn.t.stream(cn) {
		return errStreams
	}
	if s := cn.sender; s != nil {
		s.answered(h.Status >= 300)
	}
	cn.inBody = true
	if events {
		cn.idle = c.tm.EventIdle.D()
	}
	*r = Response{} // filled in place: a literal would be copied
	r.Status, r.Reason, r.Minor, r.Fields = h.Status, h.Reason, h.Minor, h.Fields
	r.Length, r.CloseDelimited = -1, h.Framing == http1.UntilClose
	switch h.Framing {
	case http1.NoBody:
		r.Length = announced(h)
	case http1.Length:
		r.Length = h.Length
	}
	b := &r.Body
	b.c, b.word, b.src, b.open = cn, cn.word.Load(), cn.rd.Body(), true
	return nil
}

// announced is the length that a response without content declares: to HEAD and in a 304 it is that of the
// content which a GET would have had (RFC 9110 §8.6), -1 where the origin did not say.
func announced(h *http1.Response) int64 {
	if h.Status == 204 {
		return 0
	}
	if n, err := strconv.ParseInt(string(h.Fields.Get("Content-Length")), 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// switched hands over the connection after a 101 that was asked for (RFC 9110 §7.8).
func (c *call) switched(cn *conn, r *Response) error {
	h := &cn.head
	if c.q.Upgrade == nil {
		return errNotAsked
	}
	asked := field.List{{Name: []byte("Upgrade"), Value: c.q.Upgrade}}
	switched := false
	for p := range h.Fields.Members("Upgrade") {
		if !asked.HasToken("Upgrade", string(p)) {
			return errOtherSwitch
		}
		switched = true
	}
	if !switched || !h.Fields.HasToken("Connection", "upgrade") {
		return errOtherSwitch
	}
	cn.headBy.Store(0)
	consumed := cn.stopSending()
	if consumed && !cn.sender.whole {
		return errOtherSwitch
	}
	fields := h.Fields.Clone() // the buffers leave with the reader
	*r = Response{Status: 101, Minor: h.Minor, Fields: fields, Conn: cn.nc}
	r.Buffered = append([]byte(nil), cn.rd.Buffered()...)
	if cn.nc == cn.wire {
		r.Conn = cn.wire.Conn // the socket itself: it can be closed by halves
	}
	if phase(cn.word.Load()) == phaseDead {
		return io.ErrUnexpectedEOF
	}
	cn.t.detach(cn)
	return nil
}

// diagnose turns what went wrong on a connection into an Error: the sweep's reason if it killed the
// connection, the client's if its body broke off, else what was read.
func (c *call) diagnose(cn *conn, err error) *Error {
	return cn.diagnose(err, Reset)
}

func (cn *conn) diagnose(err error, broken Kind) *Error {
	t := cn.t
	var bad *http1.Malformed
	switch why := killedBy(cn.word.Load()); {
	case why == RequestBody:
		return t.fail(why, "", cn.sender.failure())
	case why != None:
		return t.fail(why, "", nil)
	case errors.As(err, &bad):
		return t.fail(BadResponse, "the answer is not sound HTTP: "+bad.Reason+" "+bad.Detail, nil)
	case err == errStreams:
		return t.fail(QueueFull, "pool.max_streams event streams are under way at the target already; raise it if the app can hold more", nil)
	case err == errNotAsked, err == errOtherSwitch, err == errChatter:
		return t.fail(BadResponse, "the answer is not what was asked for", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return t.fail(broken, "", nil)
	}
	return t.fail(broken, "", err)
}

// eventStream reports whether a response is Server-Sent Events.
func eventStream(contentType []byte) bool {
	const name = "text/event-stream"
	return len(contentType) >= len(name) && field.EqualFold(contentType[:len(name)], name) &&
		(len(contentType) == len(name) || contentType[len(name)] == ';' || contentType[len(name)] == ' ')
}
