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
}

func (c *clock) now() int64 { return c.ms.Load() }

func (c *clock) advance(t time.Time) { c.ms.Store(t.Sub(c.start).Milliseconds()) }
