package cache

import (
	"context"
	"errors"
	"time"
)

// ErrLate says that a tier which answers did not do so in time. What it has is not known, but who fills can be agreed on.
var ErrLate = errors.New("the shared tier did not answer in time")

// Shared is the tier that several processes have together, and the leases on what one of them fills for all. It keeps
// objects as they are in this process's memory: ages travel as ages, so that the clocks need not agree. Every method is
// bounded in time by a budget of its own; whatever goes wrong there is no more than something that is not stored. It is
// safe for concurrent use.
type Shared interface {
	// Get reads what lies under names, full keys of one primary key, in one exchange: the primary key itself first, where
	// a response or a vary record may stand. err says that nothing is known; the caller goes on without this tier, unless
	// it is ErrLate: the tier is there, and this one answer was not in time.
	Get(ctx context.Context, primary []byte, names [][]byte, now time.Time) ([]Found, error)
	// Put stores a response later, and then ends its lease. It never waits: false where too much waits already; the
	// lease is ended then, too.
	Put(p Put) bool
	// Void makes what lies under a primary key void, at once or after wait at the latest, tells the other processes, and
	// keeps answers that were asked for before from being stored. It never waits.
	Void(primary []byte, wait time.Duration)
}

// Found is what lies under one name.
type Found struct {
	Object Object // none where there is nothing; received, by this process's clock, as long ago as it was
	Stamp  string // tells this state of the name from every other; "" where there is nothing
}

// Put is a response to store.
type Put struct {
	Object Object
	Record Object // the vary record that leads to it; none where it lies under its primary key
	Lease  Lease  // required: what is fetched without one is not shared
}

// Leases is the right to fill something for all processes.
type Leases interface {
	// Acquire asks for the lease, once. On whatever goes wrong the verdict is LeaseAway.
	Acquire(ctx context.Context, a LeaseAsk) (LeaseVerdict, Lease)
	// Await returns when the holder of the lease has ended it, or seems to have: at the latest when ctx ends.
	// What became of it is for Acquire to find out.
	Await(ctx context.Context, a LeaseAsk)
}

// LeaseAsk names a lease.
type LeaseAsk struct {
	Primary []byte
	Full    []byte
	Seen    string // the Stamp of what lies under Full
	Class   uint8  // credential class, below 4
	Prompt  bool   // the tier has answered just now: a lease that is late is worth asking for once more
}

// LeaseVerdict is the answer to Acquire.
type LeaseVerdict uint8

// The verdicts.
const (
	LeaseGranted     LeaseVerdict = iota // fill it, then End the Lease
	LeaseTaken                           // another process fills it: Await
	LeaseChanged                         // what lies under Full is not what was Seen: look again
	LeaseUncacheable                     // what another process got a moment ago is nobody else's: fetch alone
	LeaseTooLarge                        // what another process got a moment ago is too large to share: fill it for this process
	LeaseAway                            // nobody can say: fill it for this process
)

// Lease is held by the process that fills. It is renewed until it ends.
type Lease interface {
	// Fence is what Put compares: writes to the page since the lease was granted make it void.
	Fence() string
	// End gives the lease up and tells those who wait. It never waits. A second call does nothing.
	End(LeaseEnd)
}

// LeaseEnd says what became of a fill.
type LeaseEnd uint8

// The ends.
const (
	EndStored      LeaseEnd = iota // it lies in the shared tier
	EndFailed                      // no answer that could be stored: the next one may try
	EndUncacheable                 // the answer is nobody else's; remembered for a moment, for the asked Class
	EndTooLarge                    // stored in one process only; remembered for a moment
)
