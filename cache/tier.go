package cache

// Tier keeps objects in memory by a 64-bit hash of their key. Two keys may share a hash: whoever reads
// compares the full key. A Tier is safe for concurrent use; Get neither blocks nor allocates.
type Tier interface {
	// Get returns the object under hash, or none.
	Get(hash uint64) Object
	// Set stores o, replacing what was there. It may become visible later, or be dropped (false now) or
	// refused (never visible): the cache promises nobody that a response stays.
	Set(hash uint64, o Object) bool
	// Del removes what is there.
	Del(hash uint64)
	// Wait returns when every earlier Set is visible or refused.
	Wait()
	// Stats is a snapshot.
	Stats() TierStats
	// Close stops the tier's goroutines; nothing else is called afterwards.
	Close()
}

// TierStats is a snapshot of a tier. Counters count from the start.
type TierStats struct {
	Objects  int64  // stored now, vary records and derived encodings included
	Bytes    int64  // their size, with the tier's own overhead for each
	Capacity int64  // the budget in bytes
	Sets     uint64 // accepted for storing
	Dropped  uint64 // not accepted because too many waited
	Rejected uint64 // accepted, and then refused in favour of what is used more
	Evicted  uint64 // made room for others
}
