//go:build linux

package load

import "time"

// patience is how long an open loop waits at its end for answers that are still missing.
const patience = 3 * time.Second

// openLoop sends at fixed moments. A request that finds no idle connection waits, and its time counts
// from the moment it was due.
func (l *loop) openLoop() error {
	for i := range l.conns {
		l.free = append(l.free, int32(i))
	}
	for !l.closed {
		if err := l.sendDue(); err != nil {
			return err
		}
		if err := l.wait(l.due - l.now()); err != nil {
			return err
		}
	}
	l.res.Elapsed = l.to - l.from
	for l.missing() > 0 && l.now() < l.to+patience {
		if err := l.wait(10 * time.Millisecond); err != nil {
			return err
		}
	}
	l.giveUp()
	return nil
}

func (l *loop) sendDue() error {
	now := l.now()
	for ; l.due <= now; l.due += l.every {
		if l.due >= l.to {
			l.closed = true
			return nil
		}
		n := len(l.free)
		if n == 0 {
			l.queue = append(l.queue, l.due)
			continue
		}
		c := &l.conns[l.free[n-1]]
		l.free = l.free[:n-1]
		if err := l.send(c, l.due); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) missing() int {
	return len(l.queue) + len(l.conns) - len(l.free)
}

// giveUp counts what never came as having taken until now: leaving it out would flatter the server.
func (l *loop) giveUp() {
	now := l.now()
	late := func(due time.Duration) {
		if due >= l.from {
			l.res.Latency.Record(now - due)
			l.fault("unanswered")
		}
	}
	for _, due := range l.queue {
		late(due)
	}
	for i := range l.conns {
		if c := &l.conns[i]; c.busy {
			late(c.due)
		}
	}
}
