// Package l1 is the cache's tier in the process's memory, on ristretto.
package l1

import (
	"fmt"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/tzero-edge/tzero/cache"
)

// overhead is what an object costs beside its blob, in bytes: ristretto's map slot with its two hashes and
// expiry, the policy's cost, and the maps' spare room. It is measured by a test.
const overhead = 128

// averageObject sizes the admission counters: ten per object expected (3 bytes each).
const averageObject = 8 << 10

// Tier keeps objects by the sum of their sizes, admitting by frequency (TinyLFU). What is used more stays;
// a newcomer may be refused.
type Tier struct {
	r        *ristretto.Cache[uint64, cache.Object]
	capacity int64

	objects, bytes    atomic.Int64
	sets, dropped     atomic.Uint64
	rejected, evicted atomic.Uint64
}

var _ cache.Tier = (*Tier)(nil)

// New returns a tier that keeps about capacity bytes, its own tables included.
func New(capacity int64) (*Tier, error) {
	counters := max(capacity/averageObject*10, 1<<12)
	room := max(capacity-4*counters, capacity/2)
	t := &Tier{capacity: capacity}
	r, err := ristretto.NewCache(&ristretto.Config[uint64, cache.Object]{
		NumCounters:        counters,
		MaxCost:            room,
		BufferItems:        64,
		IgnoreInternalCost: true,
		OnExit:             t.left,
		OnEvict:            func(*ristretto.Item[cache.Object]) { t.evicted.Add(1) },
		OnReject:           func(*ristretto.Item[cache.Object]) { t.rejected.Add(1) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a cache of %d bytes: %w", capacity, err)
	}
	t.r = r
	return t, nil
}

// cost is what an object occupies: the blob with the allocator's rounding, and overhead.
func cost(o cache.Object) int64 { return int64(o.Size()) + overhead }

// left is told of every object that is no longer held, or never was.
func (t *Tier) left(o cache.Object) {
	if o.Exists() {
		t.objects.Add(-1)
		t.bytes.Add(-cost(o))
	}
}

// Get returns the object under hash, or none. Now and then (every 64th call per core) it hands a list of
// recent hashes to the policy and allocates a new one.
func (t *Tier) Get(hash uint64) cache.Object {
	o, _ := t.r.Get(hash)
	return o
}

// Set stores o; see cache.Tier.
func (t *Tier) Set(hash uint64, o cache.Object) bool {
	t.objects.Add(1)
	t.bytes.Add(cost(o))
	if !t.r.Set(hash, o, cost(o)) {
		t.objects.Add(-1)
		t.bytes.Add(-cost(o))
		t.dropped.Add(1)
		return false
	}
	t.sets.Add(1)
	return true
}

// Del removes what is under hash.
func (t *Tier) Del(hash uint64) { t.r.Del(hash) }

// Wait returns when every earlier Set is visible or refused.
func (t *Tier) Wait() { t.r.Wait() }

// Stats returns a snapshot.
func (t *Tier) Stats() cache.TierStats {
	return cache.TierStats{
		Objects: t.objects.Load(), Bytes: t.bytes.Load(), Capacity: t.capacity,
		Sets: t.sets.Load(), Dropped: t.dropped.Load(), Rejected: t.rejected.Load(), Evicted: t.evicted.Load(),
	}
}

// Close stops ristretto's goroutines.
func (t *Tier) Close() { t.r.Close() }
