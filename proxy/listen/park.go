package listen

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// napAfter is how long a connection waits for its next request in its goroutine, in ms. Then the sweeper sets a
// read deadline that has gone by; the connection tells fasthttp that it has ended, and waits in the parking
// instead, without a goroutine and without buffers.
const napAfter = 1000

// wake goes on with a connection that has left the parking because something came. It is no request yet, so that
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

// endParked ends those of the connections that are still parked, and returns how many.
func (s *Server) endParked(cs []*conn) (n int) {
	for _, c := range cs {
		if s.parking.claim(c) {
			_ = c.Close()
			s.conns.Done()
			n++
		}
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
		n := s.parking.len()
		if resting := n <= before+crowd/10; resting && n >= released+crowd {
			runtime.GC() // pools keep what they hold for one collection
			debug.FreeOSMemory()
			released = n
		}
		released, before = min(released, n), n
	}
}
