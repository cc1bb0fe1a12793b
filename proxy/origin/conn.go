package origin

import (
	"context"
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
	inBody bool          // the response's head is here
	unsent bool          // not all that should have been written was
	idle   time.Duration // longest silence in the response's body
	sender *sender       // nil when the whole request was sent at once
	got    int64         // bytes of HTTP read so far, by all its requests

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
	c.watch.Lock()
	c.watch.done, c.watch.ctx = q.Done, ctx.Done()
	c.watch.Unlock()
	c.totalBy.Store(totalBy)
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
	c.headBy.Store(0)
	c.readBy.Store(0)
	c.totalBy.Store(0)
	c.watch.Lock()
	c.watch.done, c.watch.ctx = nil, nil
	c.watch.Unlock()
	return true
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
	if c.inBody {
		c.readBy.Store(c.t.ps.clock.by(c.idle))
	}
	n, err := c.nc.Read(p)
	if c.inBody {
		c.readBy.Store(0)
	}
	c.got += int64(n)
	return n, err
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
