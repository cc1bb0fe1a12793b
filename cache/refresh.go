package cache

import (
	"sync/atomic"

	"github.com/tzero-edge/tzero/cache/key"
)

// maxRefreshes bounds the background refreshes of the process.
const maxRefreshes = 64

// refreshes is the set of objects that are being refreshed, by hash. A crowd that is served a stale page asks
// it for every request, so it has no lock; two who come at the same instant may both get in, and are
// collapsed by the flight.
type refreshes struct{ hashes [maxRefreshes]atomic.Uint64 }

// claim takes a place; nil when the object has one already or all are taken.
func (r *refreshes) claim(hash uint64) *atomic.Uint64 {
	hash |= 1 // 0 is a free place
	for i := range r.hashes {
		if r.hashes[i].Load() == hash {
			return nil
		}
	}
	for i := range r.hashes {
		if r.hashes[i].CompareAndSwap(0, hash) {
			return &r.hashes[i]
		}
	}
	return nil
}

func (r *refreshes) count() int64 {
	n := int64(0)
	for i := range r.hashes {
		if r.hashes[i].Load() != 0 {
			n++
		}
	}
	return n
}

// Refresh fetches a new response in the background, for a Stale result with Refresh set. It returns at once:
// true when this call began it, false when it runs already, too many others do, or the cache is closing.
//
// run works like the one given to Lead, with a copy of the request that outlives the exchange. Of an answer
// that proved Uncacheable it closes the body itself.
func (c *Cache) Refresh(q *Request, res *Result, run func(q *Request, res *Result) (*Fill, error)) bool {
	place := c.refreshing.claim(key.Hash(c.seed, q.withSuffix(res.record)))
	if place == nil {
		return false
	}
	own, r := q.Clone(), *res
	r.background, r.early = true, res.Verdict == Hit
	r.Verdict = Miss
	started := c.own(func() {
		defer place.Store(0)
		_, _, _ = c.Lead(own, &r, func() (*Fill, error) { return run(own, &r) }) // counted; nobody waits for it
	})
	if !started {
		place.Store(0)
		return false
	}
	c.count.add(countRefresh)
	return true
}
