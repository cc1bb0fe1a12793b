package listen

import (
	"context"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// sweepEvery is the sweeper's period in ticks: timeouts are exact to a quarter of a second.
const sweepEvery = 5

// tick advances the coarse clock and sweeps, until ctx ends. One goroutine watches all connections: a
// deadline per request would cost each of them a timer.
func (s *Server) tick(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.clock.advance(now)
			if n%sweepEvery == 0 {
				s.sweep()
			}
		}
	}
}

// sweep ends what is overdue. Under pressure, with nine tenths of the connections in use, slow and
// idle clients get a quarter of the time.
func (s *Server) sweep() {
	set := s.settings.Load()
	now := s.clock.now()
	idle, head := set.Limits.IdleTimeout.D().Milliseconds(), set.Limits.HeaderTimeout.D().Milliseconds()
	body, write := set.Limits.BodyTimeout.D().Milliseconds(), set.Limits.WriteTimeout.D().Milliseconds()
	rate := int64(set.Limits.BodyRate)
	if s.reg.len() > set.maxConns/10*9 {
		idle, head = idle/4, head/4
	}
	var resting []rested
	s.reg.each(func(c *conn) {
		p, lasted, word := c.in.read(now)
		switch {
		case p == phaseResting && lasted > idle:
			resting = append(resting, rested{c, word})
		case p == phaseResting && lasted > s.napAfter && c.warm.Load():
			c.loop.cool(c)
		case p == phaseIdle && lasted > s.napAfter && lasted <= idle && !s.draining.Load() && c.in.move(word, phaseNap):
			_ = c.raw.SetReadDeadline(past)
		}
		if (p == phaseIdle && lasted > idle || p == phaseHead && lasted > head ||
			p == phaseBody && (lasted > body || c.up.tooSlow(now, lasted, rate))) && c.in.poke(word) {
			s.counters.overdue[p].Add(1)
			_ = c.raw.SetReadDeadline(past)
		}
		p, lasted, word = c.out.read(now)
		if p == phaseWriting && lasted > write && c.out.poke(word) {
			s.counters.overdue[p].Add(1)
			_ = c.raw.SetWriteDeadline(past)
		}
		if c.gone.wanted.Load() && hasLeft(c, now) {
			s.counters.left.Add(1)
			c.gone.fire()
		}
	})
	s.endResting(resting, &s.counters.overdue[phaseIdle])
	s.unpin(now, int64(set.Limits.SlowReaders))
}

// What may be evicted, in ms: a connection idle for longer than justCame, for the first byte of a new one may be on its way;
// one whose header section takes longer than slowHead, for an honest one comes at once.
const (
	justCame = 100
	slowHead = 250
	slowRead = 5000 // without taking the next piece of an answer; only where nobody else can go
)

// candidate is the connection that evict would end, so far.
type candidate struct {
	c    *conn
	half *watch
	age  int64
	word uint64
}

func (k *candidate) offer(c *conn, half *watch, age int64, word uint64) {
	if k.c == nil || age > k.age {
		*k = candidate{c, half, age, word}
	}
}

// end pokes the candidate; false when there is none or it has moved on.
func (k *candidate) end() bool {
	if k.c == nil {
		return false
	}
	if phase(k.word>>56) == phaseResting {
		return k.c.srv.endResting([]rested{{k.c, k.word}}) == 1
	}
	if !k.half.poke(k.word) {
		return false
	}
	_ = k.c.raw.SetDeadline(past)
	return true
}

// evict ends up to n of the connections that have been idle, or busy with a header section, longest,
// looking at a sample, and where there are none the one that takes its answer slowest; it returns how many.
func (s *Server) evict(n int) int {
	ended := 0
	now := s.clock.now()
	for range n {
		var quiet, slow candidate
		s.reg.sample(64, rand.Uint32(), func(c *conn) bool {
			p, lasted, word := c.in.read(now)
			if (p == phaseIdle || p == phaseResting) && lasted > justCame || p == phaseHead && lasted > slowHead {
				quiet.offer(c, &c.in, lasted, word)
			}
			if p, lasted, word := c.out.read(now); p == phaseWriting && lasted > slowRead {
				slow.offer(c, &c.out, lasted, word)
			}
			return quiet.c != nil
		})
		if quiet.end() || slow.end() {
			ended++
		}
	}
	s.counters.evicted.Add(int64(ended))
	return ended
}

// halfClosed is how long, in ms, a client that will send no more counts as one that waits for its answer: it may have
// said all that it wanted to say (RFC 9112 §9.6), or be gone. Only what it does not get tells.
const halfClosed = 2000

// hasLeft asks the kernel whether the client has gone away, without reading: bytes of a next request may lie in front of
// the end.
func hasLeft(c *conn, now int64) bool {
	var events int16
	err := c.raw.raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err == nil && n > 0 {
			events = p[0].Revents
		}
	})
	switch {
	case err != nil || events&(unix.POLLHUP|unix.POLLERR) != 0:
		return true
	case events&unix.POLLRDHUP == 0:
		return false
	}
	c.gone.since.CompareAndSwap(0, max(now, 1))
	return now-c.gone.since.Load() >= halfClosed
}
