package cache

import (
	"math/rand/v2"
	"sync/atomic"
)

type counter int

const (
	countHit counter = iota
	countStale
	countFollow
	countMiss
	countBypass
	countFill
	countDeclined // a fill and uncacheable at once, the most frequent case
	countStored
	countUncacheable
	countFailed
	countTooLarge
	countDropped
	countLaggard
	countRefresh
	countPanic
	countAbandoned
	countDelayed
	countSharedHit
	countSharedMiss
	countSharedPut
	countAwaited
	numCounters
)

const stripes = 16

// counters are striped: a counter that two cores share costs more than the lookup it counts. The stripe is
// drawn at random, from a source that is the running thread's own.
type counters struct {
	stripe [stripes]struct {
		n [numCounters]atomic.Uint64
		_ [128 - numCounters*8%128]byte
	}
}

func (c *counters) add(which counter) { c.stripe[rand.Uint32()%stripes].n[which].Add(1) }

func (c *counters) sum(which counter) uint64 {
	var n uint64
	for i := range c.stripe {
		n += c.stripe[i].n[which].Load()
	}
	return n
}

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Tier TierStats

	Hits, Stale, Follows, Misses, Bypasses uint64 // verdicts of Lookup

	Fills       uint64 // answers offered to Begin
	Stored      uint64 // of these, stored whole
	Uncacheable uint64 // of these, judged not storable
	Failed      uint64 // of these, broken off by the origin
	TooLarge    uint64 // of these, found too large while they arrived
	Dropped     uint64 // stored, and not visible afterwards: dropped or refused by the tier
	Laggards    uint64 // readers cut because they fell behind a fill that is too large to keep
	Refreshes   uint64 // background refreshes begun
	Panics      uint64 // in functions given to Lead and Refresh
	Abandoned   uint64 // fills that nobody read, given up because memory was short
	Delayed     uint64 // writes whose effect was delayed, because their client writes too often

	SharedHits   uint64 // misses that the shared tier answered, one for all of a process who waited
	SharedMisses uint64 // those that it did not
	SharedPuts   uint64 // responses offered to it
	Awaited      uint64 // fills of other processes that were waited for

	Running      int64 // fills running now
	RunningBytes int64 // bytes held by them, and by those that ended and are still being read
	Refreshing   int64 // background refreshes running now
}

// Stats returns a snapshot of all counters.
func (c *Cache) Stats() Stats {
	return Stats{
		Tier: c.tier.Stats(),
		Hits: c.count.sum(countHit), Stale: c.count.sum(countStale), Follows: c.count.sum(countFollow),
		Misses: c.count.sum(countMiss), Bypasses: c.count.sum(countBypass),
		Fills: c.count.sum(countFill) + c.count.sum(countDeclined), Stored: c.count.sum(countStored),
		Uncacheable: c.count.sum(countUncacheable) + c.count.sum(countDeclined), Failed: c.count.sum(countFailed),
		TooLarge: c.count.sum(countTooLarge), Dropped: c.count.sum(countDropped),
		Laggards: c.count.sum(countLaggard), Refreshes: c.count.sum(countRefresh), Panics: c.count.sum(countPanic),
		Abandoned: c.count.sum(countAbandoned), Delayed: c.count.sum(countDelayed),
		SharedHits: c.count.sum(countSharedHit), SharedMisses: c.count.sum(countSharedMiss),
		SharedPuts: c.count.sum(countSharedPut), Awaited: c.count.sum(countAwaited),
		Running: c.running.Load(), RunningBytes: c.held.Load(), Refreshing: c.refreshing.count(),
	}
}
