package l1

import "sync/atomic"

// What an object costs beside its record, in bytes: its part of the index and of ristretto's two maps, at their
// usual fill. What they really take, as far as it can be known, is in Tier.bytes; a test compares both with the heap.
const (
	indexCost = cellSize * 2
	mapsCost  = 128
	overhead  = indexCost + mapsCost
)

// averageObject sizes the admission counters: ten per object expected (about 3 bytes each).
const averageObject = 8 << 10

// sizing divides the budget.
type sizing struct {
	capacity int64
	pinned   int64 // for what is pinned
	room     int64 // for what ristretto decides on
	counters int64
	fixed    int64 // taken by tables whose size does not depend on what is stored
	closed   bool
}

func sizes(capacity, pinned int64, slots int) sizing {
	z := sizing{capacity: capacity, pinned: pinned}
	z.counters = max(capacity/averageObject*10, 1<<12)
	// Four rows of 4-bit counters; a Bloom filter of about 10 bits a counter; both are powers of two. Then
	// ristretto's queue and its 256 empty maps, and the log's table of segments.
	z.fixed = powerOfTwo(z.counters)*2 + powerOfTwo(z.counters*959/100)/8 + 32<<10*8 + 8*int64(slots) + numShards*leastRoom*cellSize
	// The segment that is being filled, and holes that are below compaction's notice.
	slack := int64(spareLeast + segmentSize)
	z.room = max(capacity-z.fixed-slack-pinned, capacity/4)
	return z
}

func powerOfTwo(n int64) int64 {
	p := int64(1)
	for p < n {
		p *= 2
	}
	return p
}

// cost of a record: a small one pays for its part of the holes too.
func (z *sizing) cost(r *record) int64 {
	if len(r.blob) > ownSegment {
		return r.size + overhead + segmentCost
	}
	return r.size + r.size/(spareShare-1) + overhead
}

// segmentCost is what the log takes for a large object beside its blob.
const segmentCost = 112

// bytes is what the tier occupies.
func (t *Tier) bytes() int64 {
	if t.size.closed {
		return 0
	}
	return t.size.fixed + t.log.bytes.Load() + t.index.bytes.Load() + mapBytes(t.objects.most.Load())
}

// fitEvery is after how many Sets the room is measured anew.
const fitEvery = 64

// fit takes from ristretto's room what the tables need beyond what the objects pay for: they grow by doubling, and
// Go's maps do not shrink.
func (t *Tier) fit() {
	excess := t.index.bytes.Load() + mapBytes(t.objects.most.Load()) - t.objects.now.Load()*overhead
	t.policy.UpdateMaxCost(max(t.size.room-max(excess, 0), t.size.capacity/4))
}

// peak is a number and the most that it has been. Go's maps keep the room that they once needed.
type peak struct{ now, most atomic.Int64 }

func (p *peak) add(n int64) {
	now := p.now.Add(n)
	for most := p.most.Load(); now > most; most = p.most.Load() {
		if p.most.CompareAndSwap(most, now) {
			return
		}
	}
}

// mapBytes estimates what ristretto's maps occupy when n objects are in them: 256 maps of 64-byte slots, and one of
// 16-byte slots.
func mapBytes(n int64) int64 {
	const maps = 256
	return maps*mapSlots(n/maps)*(64+1) + mapSlots(n)*(16+1)
}

// mapSlots is how many slots a Go map of n elements has. It consists of tables of up to 1024 slots that are split
// when seven eighths full; all are split at about the same time, as the hashes are spread evenly.
func mapSlots(n int64) int64 {
	const most = 1024
	switch {
	case n <= 8:
		return 8
	case n <= most*7/8:
		return powerOfTwo((n*8 + 6) / 7)
	}
	return powerOfTwo((n+most*7/8-1)/(most*7/8)) * most
}
