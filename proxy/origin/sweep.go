package origin

import (
	"context"
	"sync"
	"time"
)

// Run looks after all connections and checks targets until ctx ends, then closes what is open. It
// returns when every goroutine that it started has ended.
func (ps *Pools) Run(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var checks sync.WaitGroup
	defer ps.shut()
	defer checks.Wait()
	s := sweep{ps: ps}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, t := range s.once(ps.clock.exact()) {
			if t.due(ps.clock.coarse()) {
				checks.Go(func() { t.check(ctx) })
			}
		}
	}
}

// sweep is one look at all connections; it keeps its slices from one look to the next.
type sweep struct {
	ps      *Pools
	targets []*target
	doomed  []doomed
}

type doomed struct {
	c    *conn
	word uint64
	why  Kind
}

// once kills what is overdue or unwanted, closes what was idle for too long, and forgets targets that
// have drained. It returns the targets in use.
func (s *sweep) once(now int64) []*target {
	s.targets = s.ps.list(s.targets[:0])
	for _, t := range s.targets {
		s.doomed = t.overdue(now, s.doomed[:0])
		for _, d := range s.doomed {
			d.c.kill(d.word, d.why)
		}
		clear(s.doomed)
		t.reap(now)
	}
	return s.targets
}

// list returns the targets to look after, and forgets those that have drained.
func (ps *Pools) list(into []*target) []*target {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for t := range ps.swept {
		t.mu.Lock()
		drained := t.draining && t.open == 0 && t.streams == 0
		t.mu.Unlock()
		if drained {
			delete(ps.swept, t)
			continue
		}
		into = append(into, t)
	}
	return into
}

func (t *target) overdue(now int64, into []doomed) []doomed {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.conns {
		// The word is read first: if the connection changes hands meanwhile, the kill misses.
		if word := c.word.Load(); phase(word) == phaseBusy {
			if why := c.overdue(now); why != None {
				into = append(into, doomed{c, word, why})
			}
		}
	}
	return into
}

// reap closes connections that were idle for too long: the first ones, since the last used is last.
func (t *target) reap(now int64) {
	limit := int64(t.limits().IdleTime)
	for {
		t.mu.Lock()
		if len(t.idle) == 0 || (!t.draining && now-t.idle[0].idleSince < limit) {
			t.mu.Unlock()
			return
		}
		c := t.oldestIdle()
		t.forget(c)
		t.mu.Unlock()
		c.wire.Close()
	}
}

// shut closes everything at the end.
func (ps *Pools) shut() {
	for _, t := range ps.list(nil) {
		t.mu.Lock()
		conns := append([]*conn(nil), t.conns...)
		t.mu.Unlock()
		for _, c := range conns {
			if w := c.word.Load(); phase(w) == phaseBusy {
				c.kill(w, Canceled)
			}
		}
		t.drain()
	}
}
