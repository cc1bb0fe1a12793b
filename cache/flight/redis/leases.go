// Package leases is the right to fill something for all gateways that share a Redis.
//
// A lease is a key with a token as value, set where there was none, and with an end: a holder that dies is replaced when
// that has come, and one that lives renews it while its fill runs. Whoever gives it up or renews it compares the token
// first, so that nobody touches a successor's lease. Instead of a token the key may hold, for a moment, what became of
// a fill: "U" and a mask of credential classes for what is nobody else's, "T" for what is too large to share.
//
//	free ──Acquire──▶ L token ──End stored, failed──▶ free
//	  ▲                  │ └──End uncacheable, too large──▶ U3 or T ─┐
//	  └──────expired─────┴───────────────────expired────────────────┘
package leases

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

const (
	remembered = 10 * time.Second // how long an uncacheable or too large answer is
	endsLength = 4096
	enders     = 2
	endWithin  = time.Second // at the end of Run
)

// Leases hands them out. Run owns its goroutines.
type Leases struct {
	client redis.UniversalClient
	keys   tzredis.Keys
	ttl    time.Duration
	stamp  int
	random func() uint64
	there  func() bool

	ends chan ending
	told *told

	mu   sync.Mutex
	held map[*lease]struct{}

	n counts
}

var _ cache.Leases = (*Leases)(nil)

// Options are what Leases are made of.
type Options struct {
	Client    redis.UniversalClient // of the purpose that has the budget of a request's way
	Bus       redis.UniversalClient // for subscriptions
	Keys      tzredis.Keys
	TTL       time.Duration // how long a lease outlives its holder
	StampSize int           // of the stamp at the beginning of a stored value
	Random    func() uint64 // safe for concurrent use
	There     func() bool   // reports whether Redis has answered lately
}

// New returns them; Run has to run while they are used.
func New(o Options) *Leases {
	return &Leases{
		client: o.Client, keys: o.Keys, ttl: o.TTL, stamp: o.StampSize, random: o.Random, there: o.There,
		ends: make(chan ending, endsLength), told: newTold(o.Bus), held: make(map[*lease]struct{}),
	}
}

type counts struct {
	asked, granted, taken, changed, uncacheable, large, away atomic.Uint64
	lost, dropped, told, polled                              atomic.Uint64
	waiting                                                  atomic.Int64
}

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Asked       uint64
	Granted     uint64 // of these: to be filled here
	Taken       uint64 // filled by another gateway just now
	Changed     uint64 // stored meanwhile
	Uncacheable uint64 // known to be nobody else's
	TooLarge    uint64 // known to be too large to share
	Away        uint64 // Redis did not answer
	Lost        uint64 // leases that had ended when they were to be renewed
	Dropped     uint64 // ends that could not be told, so that others wait until the lease is over
	Told        uint64 // waits that ended because the holder told
	Polled      uint64 // waits that ended because somebody looked
	Held        int64  // now
	Waiting     int64  // now
}

// Stats returns one.
func (l *Leases) Stats() Stats {
	l.mu.Lock()
	held := int64(len(l.held))
	l.mu.Unlock()
	n := &l.n
	return Stats{
		Asked: n.asked.Load(), Granted: n.granted.Load(), Taken: n.taken.Load(), Changed: n.changed.Load(),
		Uncacheable: n.uncacheable.Load(), TooLarge: n.large.Load(), Away: n.away.Load(), Lost: n.lost.Load(),
		Dropped: n.dropped.Load(), Told: n.told.Load(), Polled: n.polled.Load(), Held: held, Waiting: n.waiting.Load(),
	}
}

// names are a lease's keys.
type names struct{ lease, fence, object, channel string }

func (l *Leases) names(a cache.LeaseAsk) names {
	tag := tzredis.Tag(a.Primary)
	n := names{lease: l.keys.Lease(tag, a.Full), fence: l.keys.Fence(tag), object: l.keys.Object(tag), channel: l.keys.Ends(tag, a.Full)}
	if len(a.Full) != len(a.Primary) {
		n.object = l.keys.Variant(tag, a.Full)
	}
	return n
}

// acquire returns a word, and with "granted" the page's fence. The keys are the lease, the fence and the object.
var acquire = redis.NewScript(`
if redis.call('GETRANGE', KEYS[3], 0, ARGV[5] - 1) ~= ARGV[3] then return {'changed'} end
local v = redis.call('GET', KEYS[1])
if v and v ~= ARGV[1] then
  local kind = string.sub(v, 1, 1)
  if kind == 'T' then return {'large'} end
  if kind ~= 'U' then return {'taken'} end
  if bit.band(tonumber(string.sub(v, 2)) or 0, ARGV[4]) ~= 0 then return {'uncacheable'} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'granted', redis.call('GET', KEYS[2]) or ''}`)

// Acquire is cache.Leases.
func (l *Leases) Acquire(ctx context.Context, a cache.LeaseAsk) (cache.LeaseVerdict, cache.Lease) {
	l.n.asked.Add(1)
	n := l.names(a)
	token := fmt.Sprintf("L%016x%016x", l.random(), l.random())
	try := func() ([]string, error) {
		return acquire.Run(ctx, l.client, []string{n.lease, n.fence, n.object},
			token, l.ttl.Milliseconds(), a.Seen, 1<<a.Class, l.stamp).StringSlice()
	}
	got, err := try()
	if tzredis.Late(err) && a.Prompt && ctx.Err() == nil && l.there() {
		got, err = try()
	}
	if err != nil || len(got) == 0 {
		l.n.away.Add(1)
		if tzredis.Late(err) { // it may have been granted all the same, and others would wait for nobody
			(&lease{owner: l, names: n, token: token}).End(cache.EndFailed)
		}
		return cache.LeaseAway, nil
	}
	switch got[0] {
	case "granted":
		if len(got) == 2 {
			l.n.granted.Add(1)
			return cache.LeaseGranted, l.hold(&lease{owner: l, names: n, token: token, fence: got[1], class: a.Class})
		}
	case "taken":
		l.n.taken.Add(1)
		return cache.LeaseTaken, nil
	case "changed":
		l.n.changed.Add(1)
		return cache.LeaseChanged, nil
	case "uncacheable":
		l.n.uncacheable.Add(1)
		return cache.LeaseUncacheable, nil
	case "large":
		l.n.large.Add(1)
		return cache.LeaseTooLarge, nil
	}
	l.n.away.Add(1)
	return cache.LeaseAway, nil
}

// lease is one that is held.
type lease struct {
	owner *Leases
	names names
	token string
	fence string
	class uint8
	ended atomic.Bool
}

// Fence is cache.Lease.
func (h *lease) Fence() string { return h.fence }

// End is cache.Lease.
func (h *lease) End(e cache.LeaseEnd) {
	if !h.ended.CompareAndSwap(false, true) {
		return
	}
	h.owner.drop(h)
	select {
	case h.owner.ends <- ending{h, e}:
	default:
		h.owner.n.dropped.Add(1) // it is renewed no more, and ends by itself
	}
}

func (l *Leases) hold(h *lease) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[h] = struct{}{}
	return h
}

func (l *Leases) drop(h *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, h)
}

func (l *Leases) all() []*lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*lease, 0, len(l.held))
	for h := range l.held {
		all = append(all, h)
	}
	return all
}
