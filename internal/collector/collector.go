// Package collector sets Go's garbage collector up for a process whose heap is mostly stored objects.
//
// Stored objects lie in large pieces without pointers, so that a collection costs little however many there are.
// Its price is the memory that garbage takes until the next one: with Go's default the heap may double in between.
// So collections come earlier, when an eighth of what lives has been added; but not before a fixed amount was, since
// a small heap would be collected all the time.
package collector

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	share = 8        // what may be added between two collections: this part of what lives,
	least = 32 << 20 // or so many bytes, where that is more
	most  = 400      // percent; of Go's default heap of 4 MiB that is little enough

	every = 100 * time.Millisecond // a heap that is filled fast must not go by what it was
)

// Chosen says which settings the environment makes: they win.
type Chosen struct{ Percent, Limit bool }

// FromEnvironment looks for GOGC and GOMEMLIMIT, which the Go runtime reads at its start.
func FromEnvironment() Chosen {
	_, percent := os.LookupEnv("GOGC")
	_, limit := os.LookupEnv("GOMEMLIMIT")
	return Chosen{percent, limit}
}

// SetLimit sets the soft limit of the process's memory, beyond which the collector works harder: what the cache may
// take with the share that garbage may, and on top of it others, which is what everything else may take at most; but
// no more than nine tenths of what there is. All are bytes. It returns the limit in force.
func (c Chosen) SetLimit(cache, others, available int64) int64 {
	if c.Limit {
		return debug.SetMemoryLimit(-1)
	}
	limit := min(cache+cache/4+others, available/10*9)
	debug.SetMemoryLimit(limit)
	return limit
}

// Pace adapts the collector to the heap until ctx ends.
func (c Chosen) Pace(ctx context.Context) error {
	if c.Percent {
		<-ctx.Done()
		return ctx.Err()
	}
	t := time.NewTicker(every)
	defer t.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := 0; ; {
		metrics.Read(live)
		if p := percent(live[0].Value.Uint64()); p < now-now/8 || p > now+now/8 { // a change stops the world for a moment
			debug.SetGCPercent(p)
			now = p
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// percent is by how much a heap of live bytes may grow, as the runtime wants it.
func percent(live uint64) int {
	if live == 0 {
		return most
	}
	return int(min(max(least*100/live, 100/share), most))
}
