package cache

// Tier keeps objects in memory by a 64-bit hash of their key. Two keys may share a hash: whoever reads
// compares the full key. A Tier is safe for concurrent use; Get and Peek neither block nor allocate.
type Tier interface {
	// Get returns the object under hash, or none: the last one set, unless it was removed since. It counts as a
	// use, by which the tier judges what is worth keeping.
	Get(hash uint64) Object
	// Peek is Get without counting.
	Peek(hash uint64) Object
	// Set stores o, replacing what was there. It may become visible later, or be dropped (false now) or
	// refused (never visible, or taken out again): the cache promises nobody that a response stays.
	Set(hash uint64, o Object) bool
	// Del removes what is there.
	Del(hash uint64)
	// Pin keeps what is under hash, now and after every Set, in a region of its own that nothing is pushed out
	// of, as far as that has room. It reports whether an object is there and pinned.
	Pin(hash uint64) bool
	// Unpin ends that: what is there stays as long as it is used.
	Unpin(hash uint64)
	// Wait returns when every earlier Set is visible or refused.
	Wait()
	// Stats is a snapshot.
	Stats() TierStats
	// Close stops the tier's goroutines; nothing else is called afterwards.
	Close()
}

// SharedMemory is the size, in bytes, of the pieces of memory in which a tier may keep many objects together.
// Whoever holds one of these objects keeps the whole piece; see Object.Pins.
const SharedMemory = 512 << 10

// TierStats is a snapshot of a tier. Counters count from the start.
type TierStats struct {
	Objects  int64  // stored now, vary records and derived encodings included
	Bytes    int64  // what they occupy, with everything that the tier needs to find and judge them
	Capacity int64  // the budget in bytes
	Sets     uint64 // accepted for storing
	Dropped  uint64 // not accepted because too many waited
	Rejected uint64 // accepted, and then refused in favour of what is used more
	Evicted  uint64 // made room for others
	Moved    uint64 // bytes copied to give memory back that lay between what is still wanted

	Pinned         int64  // objects in the pinned region
	PinnedBytes    int64  // what they occupy
	PinnedCapacity int64  // the region's part of the budget
	PinsRefused    uint64 // pinned keys whose object found no room in the region
}
