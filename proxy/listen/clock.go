package listen

import (
	"sync/atomic"
	"time"
)

// tick is the resolution of the coarse clock and the sweeper's period is a multiple of it. Timeouts of
// client connections are whole seconds, so a reading that is 50 ms old is exact enough, and it costs a
// load instead of a system call's worth of time per request.
const tick = 50 * time.Millisecond

// clock counts milliseconds since the server's start.
type clock struct {
	start time.Time
	ms    atomic.Int64
	last  atomic.Pointer[time.Time] // when the clock advanced
}

func (c *clock) now() int64 { return c.ms.Load() }

func (c *clock) advance(t time.Time) {
	c.ms.Store(t.Sub(c.start).Milliseconds())
	c.last.Store(&t)
}

// time is the exact time by the monotonic clock, at half the price of time.Now, which asks two clocks: a change of the
// system's time shows at the next tick.
func (c *clock) time() time.Time {
	t := c.last.Load()
	return t.Add(time.Since(*t))
}
