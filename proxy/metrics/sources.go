package metrics

import "time"

// Sources are read at every scrape, from the scraping goroutine; each returns a snapshot and must
// not wait for anything slow. A nil source exports nothing.
type Sources struct {
	Cache       func() CacheStats
	Targets     func() []TargetStats
	Listeners   func() ListenerStats
	Tunnels     func() TunnelStats
	Reload      func() ReloadStats
	DecisionLog func() LogStats
	Shared      func() SharedStats
	Limits      func() LimitStats
	// Violations counts broken invariants of the journey by the invariant's name; all should stay 0.
	Violations func() map[string]uint64
}

// Build says what is running.
type Build struct{ Version, Revision, GoVersion string }

// CacheStats is the first tier as a whole.
type CacheStats struct {
	Objects         int64
	Bytes, Capacity int64 // stored, and permitted
	Pinned          int64 // objects that nothing pushes out
	PinnedBytes     int64
	PinnedCapacity  int64
	PinsRefused     uint64 // no room for them
	Moved           uint64 // bytes copied by compaction
	FillsInFlight   int64
	FillBytes       int64  // held by fills in flight
	Fills           uint64 // begun since the start
	FillsFailed     uint64
	Followers       uint64 // requests that read along with a fill
	Sets            uint64 // objects accepted for storing
	Dropped         uint64 // objects lost under pressure
	Rejected        uint64 // objects that admission refused
	Evicted         uint64 // objects that made room for others
	TooLarge        uint64
	Uncacheable     uint64 // answers judged not storable
	Refreshes       uint64 // background refreshes begun
	Delayed         uint64 // writes whose effect was delayed, because their client writes too often
	Laggards        uint64 // readers cut because they fell behind a fill too large to keep
}

// SharedStats is what is shared with other gateways. The words of its maps are small closed sets.
type SharedStats struct {
	Commands       []CommandCount
	Open           map[string]bool   // by purpose: Redis does not answer, and is not asked
	Lookups        map[string]uint64 // names looked up in Redis, by result
	Puts           map[string]uint64 // responses offered to Redis, by result
	Voids          map[string]uint64 // writes that the other gateways were to hear of, by result
	In, Out, Saved uint64            // bytes read, written, and spared by compression
	Queued         int64             // bytes that wait to be written
	Leases         map[string]uint64 // asked for, by verdict
	Waits          map[string]uint64 // for other gateways' fills, by how they ended
	Held, Waiting  int64             // leases, now
	Epoch          uint64            // the last purge
	CutOff         bool              // purges are not heard of
}

// LimitStats are the rate limits.
type LimitStats struct {
	Places, Keys int // of the table; Keys: clients whose allowance is not whole
	Evicted      uint64
	Denied       uint64                       // requests from addresses on the deny list
	Together     *TogetherStats               // nil: nobody to count with
	Decisions    map[string]map[string]uint64 // by policy and outcome: allowed, limited, would-limit
}

// TogetherStats is how gateways count together.
type TogetherStats struct {
	Rounds, Failed, Sent, Left, Asked, Late uint64
	Alone                                   int // gateways that count each for itself
}

// CommandCount is how often a command of Redis ended in one way.
type CommandCount struct {
	Command, Outcome string
	N                uint64
}

// TargetStats is one address in an origin's pool.
type TargetStats struct {
	Origin, Target string
	State          string // one of TargetStates
	InFlight       int    // requests that hold a connection
	Queued         int    // requests that wait for one
	Uploads        int    // of those in flight, whose content is still arriving
	Streams        int    // event streams, which hold a connection of their own
	Open, Idle     int    // connections
	Requests       uint64 // attempts
	Connects       uint64 // connections opened
	Stale          uint64 // idle connections found closed when they were wanted
	Waited         uint64 // requests that had to queue
	Errors         map[string]uint64
	Ejections      uint64        // times that failed requests took the target out
	Latency        time.Duration // to the end of the response's head, moving average
}

// TargetStates are the states a target can be in; only the first is a good one.
func TargetStates() []string { return []string{"healthy", "unhealthy", "ejected", "draining"} }

// ListenerStats are the client connections.
type ListenerStats struct {
	Open, Limit int64
	Accepted    uint64
	// Ended counts connections that were refused or cut short, by a small closed set of words: refused,
	// evicted, handshake, overdue-head ….
	Ended     map[string]uint64
	Exhausted uint64 // times that no descriptor was left
}

// TunnelStats are the upgraded connections.
type TunnelStats struct {
	Open, Limit       int64
	Opened, Refused   uint64
	Ended             map[string]uint64 // by reason, a small closed set of words
	BytesIn, BytesOut uint64            // in: from clients
}

// ReloadStats is the state of the configuration.
type ReloadStats struct {
	Generation  uint64
	Hash        string
	LastSuccess bool
	LastTime    time.Time
	Succeeded   uint64
	Failed      uint64
}

// LogStats is the decision log's account of its lines.
type LogStats struct {
	Written uint64
	Dropped uint64 // lost because the buffer was full
	Errors  uint64 // failed writes; the lines are kept and tried again
	Bytes   uint64
}
