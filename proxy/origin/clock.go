package origin

import (
	"sync/atomic"
	"time"
)

// tick is how often the sweep looks: every bound on time is kept to this precision, never early.
const tick = 50 * time.Millisecond

// clock tells time in nanoseconds since start. coarse is the sweep's last look at it and costs an
// atomic load, where exact costs a call.
type clock struct {
	start time.Time
	now   atomic.Int64
}

func (c *clock) exact() int64 { return c.note(int64(time.Since(c.start))) }

// at is exact for a moment that somebody has read from the clock just now.
func (c *clock) at(t time.Time) int64 { return c.note(int64(t.Sub(c.start))) }

func (c *clock) note(n int64) int64 {
	if n-c.now.Load() > int64(time.Millisecond) { // seldom: processors share it
		c.now.Store(n)
	}
	return n
}

func (c *clock) coarse() int64 { return c.now.Load() }

// by is the moment at which something that may take d, beginning now, is overdue.
func (c *clock) by(d time.Duration) int64 { return c.coarse() + int64(d+tick) }
