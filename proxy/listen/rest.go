package listen

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// napAfter is how long a connection waits for its next request in its goroutine, in ms. Then the sweeper sets a
// read deadline that has gone by; the connection tells fasthttp that it has ended, and waits in a loop instead. As
// long does one that rests in a loop keep its buffers.
const napAfter = 1000

// serveHere serves, in the loop's goroutine, what a resting connection has sent. It leaves for a goroutine when
// something would have to wait. ending: what its client sends may end behind that.
func (s *Server) serveHere(c *conn, ending bool) {
	if c.sock == nil {
		c.loop.release(c)
		s.wake(c) // adopted for its handshake
		return
	}
	c.fetchReading()
	if over := c.sock.rideOn(c.fd, ending, c.rideFn); !over {
		c.settle()
		return
	}
	if c.parting == nil || c.refused {
		c.prompts = 0
		c.loop.release(c)
		s.attendTo(c) // it goes on where the ride has ended
		return
	}
	c.loop.forget(c)
	_ = c.Close()
	c.stow()
	s.conns.Done()
}

// settle has a connection rest in its loop. Without a request in between it has been idle for as long as before.
func (c *conn) settle() {
	if c.busy {
		c.busy = false
		c.in.enter(phaseResting, c.srv.clock.now())
		return
	}
	_, _, word := c.in.read(0)
	c.in.move(word, phaseResting)
}

// wake goes on with a connection that has left its loop because something came. It is no request yet, so that
// the connection has been idle for as long as before: the pieces of a TLS record keep nobody here.
func (s *Server) wake(c *conn) {
	c.wakeIdle()
	go s.attend(c)
}

// wakeIdle has the connection wait for a request, in its goroutine.
func (c *conn) wakeIdle() {
	c.idle = true
	_, _, word := c.in.read(0)
	c.in.move(word, phaseIdle) // nobody else moves it: it is in no sweep's hands while it naps
}

// rested is a connection with the word of its watch at which it was seen to rest.
type rested struct {
	c    *conn
	word uint64
}

// endResting ends those of the connections that rest still, returns how many, and adds to counters before anybody can
// see it. It waits for none of them: TLS says goodbye, and would wait seconds for a client that has left no room for it.
func (s *Server) endResting(list []rested, counters ...*atomic.Int64) (n int) {
	for _, r := range list {
		if c := r.c; c.loop.claim(c, r.word) {
			for _, counter := range counters {
				counter.Add(1)
			}
			if c.raw != nil {
				c.raw.hurried = true
			}
			_ = c.Close()
			c.stow()
			s.conns.Done()
			n++
		}
	}
	return n
}

// cold counts the connections that rest without buffers.
func (s *Server) cold() (n int) {
	for _, l := range s.loops {
		n += int(l.n.Load())
	}
	return n
}

// release gives memory back to the system when a crowd has come to rest: the stacks and buffers that it needed
// stay with the runtime otherwise, as garbage until the next collection and as free pages after it.
func (s *Server) release(ctx context.Context) {
	const every, crowd = 5 * time.Second, 1000
	t := time.NewTicker(every)
	defer t.Stop()
	for released, before := 0, 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		n := s.cold()
		if resting := n <= before+crowd/10; resting && n >= released+crowd {
			runtime.GC() // pools keep what they hold for one collection
			debug.FreeOSMemory()
			released = n
		}
		released, before = min(released, n), n
	}
}
