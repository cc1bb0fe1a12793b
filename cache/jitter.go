package cache

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// What is stored together would expire together, and be asked for again together. So every process, every tier and
// every object has a lifetime of its own: an operator's TTL is a little longer or shorter, what an origin declared is
// only ever shortened.

// spread gives a response its lifetime in one tier of one process, counted like its age. n is a number that no other
// response has.
func (c *Cache) spread(a *rfc9111.Assessment, n uint64) time.Duration {
	return spread(a.Lifetime, a.InitialAge, a.Traits&rfc9111.TraitOperator != 0, c.config.Jitter, fraction(n, c.salt))
}

// spread moves the end of a lifetime by at most share of what is left of it at the age; u in [0, 1) says how far.
func spread(lifetime, age time.Duration, both bool, share, u float64) time.Duration {
	left := lifetime - age
	if left <= 0 || share == 0 {
		return lifetime
	}
	by := -share * u
	if both {
		by = share * (2*u - 1)
	}
	return age + time.Duration(float64(left)*(1+by))
}

// fraction makes of a number and a salt a fraction in [0, 1) that looks random (the finalizer of SplitMix64; Steele,
// Lea and Flood 2014).
func fraction(n, salt uint64) float64 {
	x := n ^ salt
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// Salts of the two tiers.
const sharedSalt = 0x9e3779b97f4a7c15

// forShared is the object with the lifetime that it has in the shared tier.
func (c *Cache) forShared(o Object) Object {
	left := spread(o.Declared(), o.ms(atAge), o.Traits()&rfc9111.TraitOperator != 0, c.config.Jitter, fraction(o.ID()^o.u64(atEdition), sharedSalt))
	return o.with(atLifetime, uint64(left.Milliseconds()))
}

// with is a copy of the object with another number in a place.
func (o Object) with(at int, v uint64) Object {
	b := append([]byte(nil), o.b...)
	binary.LittleEndian.PutUint64(b[at:], v)
	binary.LittleEndian.PutUint32(b[atShared:], 0)
	return Object{b}
}

// leastHaste is the share of what is left of a shared response's life that this process does not use at least, so that
// it looks into the shared tier again while that still has something fresh.
const leastHaste = 1.0 / 64

// hasten gives a response from the shared tier, whose memory is the caller's, a shorter life than it has there.
func (c *Cache) hasten(o Object, now time.Time) {
	left := o.Left(now)
	if left <= 0 {
		return
	}
	less := max(c.config.Jitter*fraction(o.ID()^o.u64(atEdition), c.salt), leastHaste)
	end := o.Age(now) + time.Duration(float64(left)*(1-less))
	binary.LittleEndian.PutUint64(o.b[atLifetime:], uint64(end.Milliseconds()))
}

// early decides whether a fresh response is renewed before its end: by chance, the likelier the nearer the end is and
// the longer the origin took (XFetch: Vattani, Chierichetti, Lowenstein, Optimal Probabilistic Cache Stampede Prevention,
// VLDB 2015), or because the route's share of its life is over. Every request draws; of a thousand a second one would draw,
// for a page that takes 5 s, fifty seconds before its end. Since one request renews it for all, that would spare nobody
// anything: no renewal begins more than earliest gaps before the end.
func (c *Cache) early(p *Policy, o Object, left time.Duration) bool {
	if at := p.refreshAt; at > 0 && float64(left) <= (1-at)*float64(o.ms(atLifetime)-o.ms(atAge)) {
		return true
	}
	gap := p.early * float64(max(o.Took(), time.Millisecond))
	if float64(left) > earliest*gap {
		return false
	}
	return float64(left) <= gap*min(c.exponential(), math.MaxInt32)
}

const earliest = 3
