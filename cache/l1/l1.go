// Package l1 is the cache's tier in the process's memory.
//
// Three parts share the work, see docs/adr/0007: the log holds the blobs, the index finds them, and ristretto
// decides who stays. Ristretto knows hashes and sizes only; whatever it lets go is taken out of the index, and
// what the index does not name is nobody's. What is pinned, ristretto never hears of.
package l1

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/tzero-edge/tzero/cache"
)

// Tier keeps objects by the sum of their sizes, admitting by frequency (TinyLFU). What is used more stays;
// a newcomer may be refused.
type Tier struct {
	log    *log
	index  *index
	policy *ristretto.Cache[uint64, stay]
	uses   *uses
	size   sizing

	// writers put the writes to one hash in an order that ristretto sees too. Ristretto's callbacks run while a
	// writer waits for it with its lock held, and so never take one of these.
	writers [64]writer

	versions    atomic.Uint64
	objects     peak
	pinned      atomic.Int64
	pinnedBytes atomic.Int64
	pins        atomic.Int64

	sets, dropped, rejected, evicted, refused atomic.Uint64

	waits, waited atomic.Uint64 // Waits that began; the latest of those that have ended

	compaction compaction
}

type writer struct {
	sync.Mutex
	told    uint64 // the last Wait that had begun when ristretto was told something last
	removed bool   // and that was, or was before it, a removal
	_       [40]byte
}

// stay is what ristretto keeps for an object.
type stay struct{ hash, version uint64 }

var _ cache.Tier = (*Tier)(nil)

// New returns a tier that occupies capacity bytes, its own tables included; pinned of them are for what is
// pinned and nothing else.
func New(capacity, pinned int64) (*Tier, error) {
	t := &Tier{log: newLog(capacity), index: newIndex()}
	t.size = sizes(capacity, pinned, len(t.log.slots))
	r, err := ristretto.NewCache(&ristretto.Config[uint64, stay]{
		NumCounters:        t.size.counters,
		MaxCost:            t.size.room,
		BufferItems:        usesBatch,
		IgnoreInternalCost: true,
		OnExit:             t.left,
		OnEvict:            func(*ristretto.Item[stay]) { t.evicted.Add(1) },
		OnReject:           func(*ristretto.Item[stay]) { t.rejected.Add(1) },
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make a cache of %d bytes: %w", capacity, err)
	}
	t.policy = r
	t.uses = countUses(func(hash uint64) { r.Get(hash) })
	t.compaction.start(t.compact)
	return t, nil
}

// real makes a hash that the index can hold of any: it has no cell for 0.
func real(hash uint64) uint64 { return max(hash, 1) }

// Get returns the object under hash, or none.
func (t *Tier) Get(hash uint64) cache.Object {
	hash = real(hash)
	t.uses.note(hash)
	return t.Peek(hash)
}

// Peek is Get without counting. A record that compaction moves between the look into the index and the look
// into the log is found at its new place.
func (t *Tier) Peek(hash uint64) cache.Object {
	hash = real(hash)
	for range 4 {
		p := t.index.get(hash)
		if p == 0 {
			break
		}
		if r, ok := t.log.at(p); ok {
			return cache.Reopen(r.blob)
		}
	}
	return cache.Object{}
}

// Set stores o; see cache.Tier. It is visible at once, and may be refused later.
func (t *Tier) Set(hash uint64, o cache.Object) bool {
	hash = real(hash)
	w := t.writer(hash)
	w.Lock()
	defer w.Unlock()
	if t.overfull() {
		t.dropped.Add(1)
		return false
	}
	version := t.versions.Add(1)
	p, ok := t.log.add(hash, version, o)
	if !ok {
		t.dropped.Add(1)
		return false
	}
	if version%fitEvery == 0 {
		t.fit()
	}
	r, _ := t.log.at(p)
	s := t.index.shard(hash)
	s.mu.Lock()
	was := t.index.get(hash)
	before := t.leave(was)
	if _, planned := s.pins[hash]; planned && t.pin(&r) {
		p |= pinned
	}
	t.index.put(s, hash, p) // without a moment in which there is nothing
	t.objects.add(1)
	t.release(was)
	s.mu.Unlock()
	return t.announce(w, p, &r, was, before)
}

// announce tells ristretto of a record that was put in the place of another, which cost before.
func (t *Tier) announce(w *writer, p place, r *record, was place, before int64) bool {
	known := was != 0 && !was.pinned()
	if p.pinned() {
		if known {
			t.unlist(w, r.hash)
		}
		t.sets.Add(1)
		return true
	}
	// Of two Sets in a row ristretto keeps the first while neither is visible to it, and a removal may overtake
	// what comes after it: so it must have seen what was before.
	if known || w.removed {
		t.catchUp(w)
	}
	// It makes no room for a known object that grows: such a one has to be admitted anew.
	cost := t.size.cost(r)
	if known && cost-before > max(t.policy.RemainingCost(), 0) {
		t.policy.Del(r.hash)
		t.Wait()
	}
	accepted := t.policy.Set(r.hash, stay{r.hash, r.version}, cost)
	w.told = t.waits.Load()
	if !accepted {
		t.dropped.Add(1)
		t.left(stay{r.hash, r.version})
		return false
	}
	t.sets.Add(1)
	return true
}

// unlist tells ristretto to forget a hash.
func (t *Tier) unlist(w *writer, hash uint64) {
	t.policy.Del(hash)
	w.told, w.removed = t.waits.Load(), true
}

// catchUp returns when ristretto has seen what the writer told it.
func (t *Tier) catchUp(w *writer) {
	if w.told >= t.waited.Load() {
		t.Wait()
	}
	w.removed = false
}

// Wait returns when every earlier Set was judged.
func (t *Tier) Wait() {
	n := t.waits.Add(1)
	t.policy.Wait()
	for last := t.waited.Load(); last < n; last = t.waited.Load() {
		if t.waited.CompareAndSwap(last, n) {
			return
		}
	}
}

// leave takes the record at p, if any, out of the counts and returns what it cost.
func (t *Tier) leave(p place) int64 {
	if p == 0 {
		return 0
	}
	r, _ := t.log.at(p)
	cost := t.size.cost(&r)
	if p.pinned() {
		t.pinned.Add(-1)
		t.pinnedBytes.Add(-cost)
	}
	t.objects.add(-1)
	return cost
}

// release gives up the record at p, if any, which the index names no more.
func (t *Tier) release(p place) {
	if p != 0 {
		t.log.release(p)
		t.compaction.nudge(t.log)
	}
}

// remove takes what is under hash out. Called with the shard's lock.
func (t *Tier) remove(s *shard, hash uint64) (was place) {
	was = t.index.put(s, hash, 0)
	t.leave(was)
	t.release(was)
	return was
}

// left is told by ristretto of everything that it no longer holds, or never did.
func (t *Tier) left(v stay) {
	if v.version == 0 {
		return
	}
	s := t.index.shard(v.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := t.index.get(v.hash)
	if p == 0 || p.pinned() {
		return
	}
	if r, _ := t.log.at(p); r.version == v.version {
		t.remove(s, v.hash)
	}
}

// Del removes what is under hash.
func (t *Tier) Del(hash uint64) {
	hash = real(hash)
	w := t.writer(hash)
	w.Lock()
	defer w.Unlock()
	s := t.index.shard(hash)
	s.mu.Lock()
	was := t.remove(s, hash)
	s.mu.Unlock()
	if was != 0 && !was.pinned() {
		t.unlist(w, hash)
	}
}

func (t *Tier) writer(hash uint64) *writer { return &t.writers[hash%uint64(len(t.writers))] }

// overfull reports that the tier cannot keep up with those who store. What is set occupies memory before
// ristretto has judged it, and what it refused until compaction has come by.
func (t *Tier) overfull() bool {
	if t.bytes() <= t.size.capacity {
		return false
	}
	t.Wait()
	return t.bytes() > t.size.capacity+t.size.capacity/16
}

// Stats returns a snapshot.
func (t *Tier) Stats() cache.TierStats {
	return cache.TierStats{
		Objects: t.objects.now.Load(), Bytes: t.bytes(), Capacity: t.size.capacity,
		Sets: t.sets.Load(), Dropped: t.dropped.Load(), Rejected: t.rejected.Load(), Evicted: t.evicted.Load(),
		Moved: t.log.moved.Load(), Pinned: t.pinned.Load(), PinnedBytes: t.pinnedBytes.Load(),
		PinnedCapacity: t.size.pinned, PinsRefused: t.refused.Load(),
	}
}

// Close stops the tier's goroutines and lets go of everything.
func (t *Tier) Close() {
	t.compaction.stop()
	t.uses.stop()
	t.policy.Close()
	t.index, t.log = newIndex(), newLog(0)
	t.objects.now.Store(0)
	t.pinned.Store(0)
	t.pinnedBytes.Store(0)
	t.size.closed = true
}
