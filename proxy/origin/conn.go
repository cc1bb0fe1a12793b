package origin

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/http1"
)

// conn is one connection to a target. Between begin and end it belongs to one request; the sweep looks
// at it from outside through atomics and may kill it.
type conn struct {
	t    *target
	wire *wire
	nc   net.Conn // what carries HTTP: the wire, or TLS on top of it
	rd   *http1.Reader
	head http1.Response

	word atomic.Uint64 // generation<<8 | Kind of the kill<<2 | phase

	// Moments on the pool's clock at which the sweep kills the connection; 0: not waiting for that.
	headBy  atomic.Int64 // the response's head; whileSending until the request's body is out
	readBy  atomic.Int64 // the next bytes of the response's body
	writeBy atomic.Int64 // the origin taking bytes of the request's body
	totalBy atomic.Int64

	watch struct {
		sync.Mutex
		done, ctx <-chan struct{}
	}

	// Of the request that owns the connection.
	unseen bool // it was idle, and nobody has looked whether it is alive
	owing  bool // the next read sends the request, which is in owes until it is written
	owes   *[]byte
	inBody bool          // the response's head is here
	unsent bool          // not all that should have been written was
	idle   time.Duration // longest silence in the response's body
	sender *sender       // nil when the whole request was sent at once
	got    int64         // bytes of HTTP read so far, by all its requests

	paidFn    func() // c.paid, bound once
	probe     [1]byte
	uses      int
	idleSince int64 // guarded by t.mu
	at        int   // index in t.conns, guarded by t.mu
	upload    bool  // its request holds one of the places for uploads; guarded by t.mu
	stream    bool  // it has left the pool with an event stream; written under t.mu by its request
}

// The phases of a connection. A word's generation changes with every request, so that a kill which was
// decided while one request ran cannot hit the next.
const (
	phaseIdle = 0
	phaseBusy = 1
	phaseDead = 2
)

// whileSending in headBy means: the wait for the head begins when the request's body is sent.
const whileSending = -1

func phase(word uint64) uint64 { return word & 3 }

func killedBy(word uint64) Kind {
	if phase(word) != phaseDead {
		return None
	}
	return Kind(word >> 2 & 0x3f)
}

// begin gives the connection to a request.
func (c *conn) begin(ctx context.Context, q *Request, tm *Timeouts, totalBy int64) {
	c.observe(q.Done, ctx.Done())
	set(&c.totalBy, totalBy)
	c.inBody, c.unsent, c.sender, c.idle = false, false, nil, tm.Idle.D()
	c.uses++
	c.word.Store((c.word.Load()>>8+1)<<8 | phaseBusy)
}

// end takes the connection from its request; false when the sweep has killed it.
func (c *conn) end() bool {
	w := c.word.Load()
	if phase(w) != phaseBusy || !c.word.CompareAndSwap(w, w>>8<<8) { // idle: no phase bit is set
		return false
	}
	set(&c.headBy, 0)
	set(&c.readBy, 0)
	set(&c.totalBy, 0)
	c.observe(nil, c.watch.ctx)
	return true
}

// observe says whose going away ends the request. Only the connection's owner calls it, so that it may look
// without the lock; that ctx is the same for all requests, as a rule, spares it the lock altogether.
func (c *conn) observe(done, ctx <-chan struct{}) {
	if c.watch.done == done && c.watch.ctx == ctx {
		return
	}
	c.watch.Lock()
	c.watch.done, c.watch.ctx = done, ctx
	c.watch.Unlock()
}

// set stores n if it is not there yet: the look costs nothing, the store is a barrier.
func set(at *atomic.Int64, n int64) {
	if at.Load() != n {
		at.Store(n)
	}
}

// kill ends the connection under its request, if word still describes it. The socket is closed rather
// than TLS, whose farewell could wait for a peer that is not there.
func (c *conn) kill(word uint64, why Kind) bool {
	if phase(word) == phaseDead || !c.word.CompareAndSwap(word, word>>8<<8|uint64(why)<<2|phaseDead) {
		return false
	}
	c.wire.Close()
	return true
}

// Read is the Reader's source: it says until when it waits, for the sweep to see. In a response's head
// that is settled beforehand; in a body every read has its own limit, and none while nobody reads: a
// slow client is not the origin's fault.
func (c *conn) Read(p []byte) (int, error) {
	c.waits()
	n, err := c.nc.Read(p)
	return n, c.waited(n, err)
}

// ReadLazy is Read for who has no room yet: while the origin works, the connection holds none.
func (c *conn) ReadLazy(l http1.Lender) (n int, err error) {
	if c.nc != c.wire {
		if n, err = c.Read(l.Lend()); n == 0 {
			l.Return()
		}
		return n, err
	}
	c.waits()
	n, err = c.wire.ReadLazy(l)
	return n, c.waited(n, err)
}

func (c *conn) waits() {
	if c.inBody {
		c.readBy.Store(c.t.ps.clock.by(c.idle))
	}
}

func (c *conn) waited(n int, err error) error {
	if c.inBody {
		c.readBy.Store(0)
	}
	c.got += int64(n)
	if c.owing {
		c.owing = false
		whole, dead := c.wire.settle()
		if c.unsent = !whole; dead {
			return errDead
		}
	}
	return err
}

// errDead is what a read returns that found the connection unfit before it sent anything.
var errDead = errors.New("the connection was closed while it was idle")

// owe leaves the request in buf to the next read, which is one system call's worth cheaper than to write it now.
func (c *conn) owe(buf *[]byte) bool {
	if c.nc != c.wire || !c.wire.owe(*buf, c.unseen, c.paidFn) {
		return false
	}
	c.owes, c.owing, c.unseen = buf, true, false
	return true
}

// paid gives the request's buffer back.
func (c *conn) paid() {
	c.t.ps.buffers.giveHead(c.owes)
	c.owes = nil
}

// write sends all of p, or notes that it could not.
func (c *conn) write(p []byte) bool {
	_, err := c.nc.Write(p)
	c.unsent = err != nil
	return err == nil
}

// alive reports whether an idle connection can carry a request. TLS may hold a surplus that the socket
// does not show, and a late session ticket on the socket is none; so TLS itself is asked, without waiting.
func (c *conn) alive() bool {
	if c.t.tls == nil {
		return c.wire.alive()
	}
	c.wire.dry = true
	n, err := c.nc.Read(c.probe[:])
	c.wire.dry = false
	return n == 0 && err == errNothing{}
}

// looksLater reports whether owe can be told to look whether the connection is alive, on its way.
func (c *conn) looksLater() bool { return c.nc == c.wire && c.wire.owes() }

// errNothing is what a dry read returns. It is temporary, so that TLS goes on afterwards.
type errNothing struct{}

func (errNothing) Error() string   { return "nothing to read" }
func (errNothing) Timeout() bool   { return true }
func (errNothing) Temporary() bool { return true }

// overdue says why the connection has to go, as far as its request is concerned.
func (c *conn) overdue(now int64) Kind {
	past := func(by int64) bool { return by > 0 && now > by }
	switch {
	case past(c.totalBy.Load()):
		return TotalTimeout
	case past(c.headBy.Load()):
		return FirstByteTimeout
	case past(c.readBy.Load()):
		return BodyTimeout
	case past(c.writeBy.Load()):
		return SendTimeout
	case c.unwanted():
		return Canceled
	}
	return None
}

func (c *conn) unwanted() bool {
	c.watch.Lock()
	done, ctx := c.watch.done, c.watch.ctx
	c.watch.Unlock()
	return closed(done) || closed(ctx)
}

func closed(ch <-chan struct{}) bool {
	if ch == nil {
		return false
	}
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
