package ratelimit

import (
	"context"
	"time"
)

// Gateways that count together tell each other about once a second what was taken from them, and never wait for that: see
// package ratelimit/redis. Until they have heard of each other each lets pass what it alone would; what was too much is paid
// back. An exact policy asks about every request.

// Shared is what gateways count in together.
type Shared interface {
	// Take charges one request to all keys of a policy, or to none: failed is the index of the key that does not permit it,
	// -1 where all do. ahead is how far each key's TAT lies ahead afterwards. An error says that nobody can tell.
	Take(ctx context.Context, policy string, keys []SharedKey) (failed int, err error)
}

// SharedKey is a key that several gateways count under.
type SharedKey struct {
	Hash  uint64 // the same at all gateways that have the same secret
	Quota Quota
	Ahead int64 // nanoseconds, set by Take
}

// Share makes gateways count together. It is called once, before the first configuration.
func (l *Limiter) Share(s Shared) { l.redis = s }

// Alone says that so many gateways cannot hear of each other: each lets its part of every rate pass. One, or none, ends that.
func (l *Limiter) Alone(gateways int) { l.shares.Store(int64(gateways)) }

// Secret returns what the keys are hashed with.
func (l *Limiter) Secret() uint64 { return l.secret.Load() }

// UseSecret hashes keys with the others' secret from now on. What was counted until then is forgotten.
func (l *Limiter) UseSecret(s uint64) { l.secret.Store(s) }

// quota is what one key may take at this gateway.
func (p *Policy) quota() Quota {
	q := p.Quota
	if n := p.limiter.shares.Load(); n > 1 {
		q.Interval *= n
		q.Burst = max(q.Burst, q.Interval) // at least one
	}
	return q
}

// Used is what was taken from a key at this gateway since others were told.
type Used struct {
	Key    uint64
	Policy *Policy
	Quota  Quota
	Taken  int64 // nanoseconds
	Ahead  int64 // of now, by all that this gateway knows
}

// Hash is the key as other gateways know it.
func (u Used) Hash() uint64 { return sharedHash(u.Key) }

func sharedHash(key uint64) uint64 { return key &^ slotMask }

// Drain tells tell what was taken since the last call; where that returns false the rest waits for the next.
func (l *Limiter) Drain(now time.Time, tell func(Used) bool) {
	t := l.table.Load()
	if t == nil {
		return
	}
	at, policies := l.at(now), l.byslot.Load()
	t.Used(func(key uint64, requests int, tat int64) bool {
		p := policies[key&slotMask]
		if p == nil {
			return true // of a policy that is no more
		}
		q := p.Quota
		if key&siteBit != 0 {
			q = q.ofSite()
		}
		return tell(Used{key, p, q, int64(requests) * q.Interval, max(tat-at, 0)})
	})
}

// Reach says that all gateways together have brought a key's TAT to so many nanoseconds ahead of now.
func (l *Limiter) Reach(key uint64, ahead int64, now time.Time) {
	if t := l.table.Load(); t != nil {
		t.Reach(key, ahead, l.at(now))
	}
}

// AskExact charges a request to exact policies and reports whether all permit it. It waits for Redis, within its budget.
func (s *Set) AskExact(ctx context.Context, policies []*Policy, a *Asker, now time.Time, r *Receipt) bool {
	if len(policies) == 0 || s.allows(a.Address) {
		return true
	}
	if r.n == 0 {
		r.refused = -1
	}
	for _, p := range policies {
		if s.askExact(ctx, p, a, now, r) {
			continue
		}
		r.refused = r.n - 1
		for i := range r.refused { // what stands at the same place is charged by all or by none; what Redis has counted stays
			if c := &r.charges[i]; !c.policy.All && !c.policy.Exact {
				s.limiter.table.Load().Return(c.key, c.quota)
				c.ahead -= c.quota.Interval
			}
		}
		return false
	}
	return true
}

func (s *Set) askExact(ctx context.Context, p *Policy, a *Asker, now time.Time, r *Receipt) bool {
	l, t := s.limiter, s.limiter.table.Load()
	var room [2]SharedKey
	key, site := p.keys(a)
	keys := append(room[:0], SharedKey{Hash: sharedHash(key), Quota: p.Quota})
	if site != 0 {
		keys = append(keys, SharedKey{Hash: sharedHash(site), Quota: p.Quota.ofSite()})
	}
	failed, err := l.redis.Take(ctx, p.Name, keys)
	first := r.n
	switch {
	case err != nil && p.Refuse:
		r.away = !p.DryRun
		r.add(charge{p, key, p.Quota, p.Quota.Burst})
		return p.count(key, false, first, r)
	case err != nil:
		return t.ask(p, a, l.at(now), r)
	}
	shown := max(failed, 0)
	r.add(charge{p, key, keys[shown].Quota, keys[shown].Ahead})
	t.Reach(key, keys[0].Ahead, l.at(now)) // so that this gateway goes on from there by itself
	return p.count(key, failed < 0, first, r)
}

func (r *Receipt) add(c charge) {
	r.charges[r.n] = c
	r.n++
}

// Away reports that the request was refused because the other gateways could not be asked.
func (r *Receipt) Away() bool { return r.away }
