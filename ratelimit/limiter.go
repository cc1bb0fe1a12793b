package ratelimit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/netset"
)

// Limiter holds what outlives a configuration: the table and the counts. The table is made with the first configuration
// that has a policy.
type Limiter struct {
	secret atomic.Uint64
	shares atomic.Int64 // of a rate: as many gateways count for themselves; 0 and 1: one
	began  time.Time
	redis  Shared // nil: nobody to count with; set before the first request
	table  atomic.Pointer[Table]

	mu     sync.Mutex // a compiling configuration
	known  map[string]*counts
	slots  [1 << slotBits]string // names of policies, "" where free
	byslot atomic.Pointer[[1 << slotBits]*Policy]
	denied atomic.Uint64

	rulings rulings
}

// New returns a Limiter. The secret keeps clients from choosing names that collide; gateways that share counts share it.
// now must carry a monotonic clock, as time.Now does.
func New(secret uint64, now time.Time) *Limiter {
	l := &Limiter{began: now, known: make(map[string]*counts)}
	l.secret.Store(secret)
	l.byslot.Store(new([1 << slotBits]*Policy))
	return l
}

// Set is a compiled configuration: immutable, shared by all requests. nil denies and limits nobody.
type Set struct {
	limiter     *Limiter
	policies    map[string]*Policy
	byDefault   []string
	allow, deny netset.Set
}

// Compile makes a Set of a configuration. What was counted under a policy's name goes on.
func (l *Limiter) Compile(c Config) (*Set, []conf.Problem) {
	if ps := c.Validate(); len(ps) > 0 {
		return nil, ps
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &Set{limiter: l, policies: make(map[string]*Policy, len(c.Policies)), byDefault: c.Default}
	s.allow, _ = netset.New(c.Allow) // both are valid
	s.deny, _ = netset.New(c.Deny)
	names := slices.Sorted(maps.Keys(c.Policies))
	for i, name := range l.slots {
		if name != "" && !slices.Contains(names, name) {
			l.slots[i] = ""
		}
	}
	var all [1 << slotBits]*Policy
	for _, name := range names {
		pc := c.Policies[name]
		parts, _ := compileParts(pc.By)
		p := &Policy{Name: name, All: pc.Count == CountAll, DryRun: pc.DryRun, Exact: pc.Exact, Refuse: pc.OnFailure == OnFailureRefuse, Quota: pc.quota(), Rate: pc.Rate, parts: parts,
			slot: l.slot(name), seed: xxhash.Sum64String(name), limiter: l, counts: l.known[name]}
		if pc.Page != "" {
			p.Page = []byte(pc.Page)
		}
		if p.counts == nil {
			p.counts = new(counts)
			l.known[name] = p.counts
		}
		s.policies[name], all[p.slot] = p, p
	}
	l.byslot.Store(&all)
	if len(names) > 0 && l.table.Load() == nil {
		l.table.Store(NewTable(c.Keys))
	}
	return s, nil
}

// slot returns the number of a policy's name. There are twice as many as a configuration has policies.
func (l *Limiter) slot(name string) uint8 {
	free := 0
	for i, taken := range l.slots {
		switch {
		case taken == name:
			return uint8(i)
		case taken == "" && free == 0 && i > 0:
			free = i
		}
	}
	l.slots[free] = name
	return uint8(free)
}

// Chain is what holds for one route, in the order of its configuration. The zero value limits nobody.
type Chain struct {
	All    []*Policy // of every request
	Origin []*Policy // of what goes to the origin
	Exact  []*Policy // of what goes to the origin, counted with other gateways
}

// Chain returns the policies of a route that names these, or of one that names none (nil).
func (s *Set) Chain(names []string) (Chain, error) {
	if names == nil {
		names = s.byDefault
	}
	var c Chain
	for _, name := range names {
		p := s.policies[name]
		switch {
		case p == nil:
			return c, fmt.Errorf("no policy under rate_limits.policies is called %q", name)
		case p.Exact && s.limiter.redis != nil:
			c.Exact = append(c.Exact, p)
		case p.All:
			c.All = append(c.All, p)
		default:
			c.Origin = append(c.Origin, p)
		}
	}
	return c, nil
}

// Ask charges a request to policies at now and reports whether it may go on; those on the allow list always may. r tells
// more. It allocates nothing.
func (s *Set) Ask(policies []*Policy, a *Asker, now time.Time, r *Receipt) bool {
	if len(policies) == 0 || s.allows(a.Address) {
		return true
	}
	return s.limiter.table.Load().Ask(policies, a, s.limiter.at(now), r)
}

// GiveBack returns what a request was charged for the origin, which it did not reach.
func (s *Set) GiveBack(r *Receipt) {
	if r.n > 0 {
		s.limiter.table.Load().GiveBack(r)
	}
}

// allows reports whether an address is on the allow list, or was put there meanwhile and not onto the other.
func (s *Set) allows(a netip.Addr) bool {
	switch s.limiter.about(a) {
	case Allow:
		return true
	case Deny:
		return false
	}
	return s.allow.Contains(a)
}

// Denies reports whether an address is on the deny list, or was put there meanwhile, and counts it.
func (s *Set) Denies(a netip.Addr) bool {
	if s == nil {
		return false
	}
	verb := s.limiter.about(a)
	if verb == Allow || verb == "" && (s.deny.Empty() || !s.deny.Contains(a) || s.allow.Contains(a)) {
		return false
	}
	s.limiter.denied.Add(1)
	return true
}

// at is a time on the table's clock, which begins at the largest burst so that no time is zero.
func (l *Limiter) at(now time.Time) int64 { return int64(now.Sub(l.began)) + int64(maxBurstTime) }

// Stats is a snapshot of a Limiter.
type Stats struct {
	Places, Keys int // of the table; Keys: whose allowance is not whole
	Evicted      uint64
	Denied       uint64 // requests from addresses on the deny list
	Policies     []PolicyStats
}

// PolicyStats counts the decisions of a policy since the start.
type PolicyStats struct {
	Name                         string
	Allowed, Limited, WouldLimit uint64
}

// Stats returns a snapshot. It reads the whole table.
func (l *Limiter) Stats(now time.Time) Stats {
	st := Stats{Denied: l.denied.Load()}
	if t := l.table.Load(); t != nil {
		st.Places, st.Keys, st.Evicted = t.Capacity(), t.Busy(l.at(now)), t.Evicted()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.known)) {
		p := PolicyStats{Name: name}
		for i := range l.known[name] {
			n := &l.known[name][i]
			p.Allowed += n.allowed.Load()
			p.Limited += n.limited.Load()
			p.WouldLimit += n.would.Load()
		}
		st.Policies = append(st.Policies, p)
	}
	return st
}
