package cache

import (
	"bytes"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// Lookup decides what to do with a request. A hit allocates nothing and takes no lock of the cache's own; the
// table of fills is only asked when nothing stored answers.
func (c *Cache) Lookup(q *Request, now time.Time) (r Result) {
	q.gather()
	if reason := bypass(q); reason != "" {
		c.count.add(countBypass)
		return Result{Verdict: Alone, Reason: reason, Raw: true, began: now, epoch: c.epochs.Latest()}
	}
	q.buildKey(c)
	r.Verdict, r.Reason, r.began, r.epoch = Miss, MissURI, now, c.epochs.Latest() // in place: it is large
	if c.find(q, &r, now); q.facts.ranged && !r.Object.Exists() {
		r.Object = c.findPart(q, &r, now)
	}
	if r.Object.Exists() {
		c.judge(q, &r, now)
	} else {
		c.findEqual(q, &r, now)
	}
	switch r.Verdict {
	case Hit:
		c.count.add(countHit)
		return r
	case Stale:
		c.count.add(countStale)
		return r
	}
	c.elsewhere(q, &r, now)
	return r
}

// bypass gives the reason for a request that the cache has nothing to say to.
func bypass(q *Request) Reason {
	switch {
	case !q.Policy.Stores():
		return BypassRoute
	case string(q.Method) != "GET" && string(q.Method) != "HEAD":
		return BypassMethod
	case q.HasBody:
		return BypassRequestBody
	case !key.PlainPath(q.Path):
		return BypassPath
	case q.facts.precondition:
		return BypassPrecondition
	case q.facts.cookie && q.Policy.private(q.Fields):
		return BypassPrivateCookie
	case q.Policy.StripsCredentials() && q.facts.authorization:
		return BypassAuthorization
	}
	return ""
}

// find looks the stored response up: under the primary key, or behind the vary record that stands there.
func (c *Cache) find(q *Request, r *Result, now time.Time) {
	o := c.tier.Get(q.hash)
	if !o.Exists() || !bytes.Equal(o.Primary(), q.primaryKey()) {
		return
	}
	full := q.primaryKey()
	if o.kind() == kindVary {
		if o.ended(now) {
			return
		}
		r.record = o
		r.Reason = MissVary
		full = q.withSuffix(o)
		o = c.tier.Get(key.Hash(c.seed, full))
	}
	if !o.Exists() || o.kind() != kindObject || !bytes.Equal(o.Key(), full) {
		return
	}
	if c.gone(o) {
		r.Reason = MissPurged
		return
	}
	r.Object = o
}

// judge decides on the stored response.
func (c *Cache) judge(q *Request, r *Result, now time.Time) {
	if !r.Object.Exists() {
		return
	}
	if r.Object.Traits()&rfc9111.TraitForAuthorized == 0 && q.facts.authorization {
		r.Object = Object{}
		r.Verdict, r.Reason, r.Raw = Alone, BypassAuthorization, true
		return
	}
	s := r.Object.stored(now)
	r.Age, r.Left = s.Age, s.Lifetime-s.Age
	use, reason := c.reuse(q, r.Object, &s, now)
	r.Reason = reason
	switch use {
	case rfc9111.UseFresh:
		r.Verdict, r.Refresh = Hit, c.early(q.Policy, r.Object, r.Left)
	case rfc9111.UseStale:
		r.Verdict = Stale
	case rfc9111.UseRefresh:
		r.Verdict, r.Refresh = Stale, true
	case rfc9111.UseValidate:
		r.Verdict = Miss
	}
}

// reuse is RFC 9111's word on a stored response, and what has become known about it since it was stored.
func (c *Cache) reuse(q *Request, o Object, s *rfc9111.Stored, now time.Time) (rfc9111.Use, Reason) {
	use, reason := rfc9111.Reuse(s, &q.facts.directives, q.Policy.reload)
	switch {
	case c.distrusts(o, now):
		return rfc9111.UseValidate, StaleCutOff
	case c.softPurged(o):
		if soft := reuseSoft(s, use); soft != use {
			return soft, StalePurged
		}
	}
	return use, reason
}

// elsewhere turns a miss into what else there is for it: a fill to read along, or a reason not to wait.
func (c *Cache) elsewhere(q *Request, r *Result, now time.Time) {
	if r.Raw {
		c.count.add(countBypass)
		return
	}
	if q.facts.ranged && rfc9111.IgnoresRange(q.Fields) {
		q.facts.ranged = false // or whoever sends nonsense passes the cache by
	}
	if f := c.fills.find(q, r, now); f != nil {
		c.follow(q, r, f, now)
		return
	}
	d := &q.facts.directives
	switch {
	case d.Any(rfc9111.OnlyIfCached):
		r.Verdict, r.Reason = Refuse, BypassOnlyIfCached
	case q.facts.ranged && !r.Object.Exists() && !q.asksPart():
		r.alone(BypassRange, true)
	case q.head(): // what fills the cache is a GET; a HEAD of what is not fresh asks for itself
		r.alone(BypassHead, true)
	case d.Any(rfc9111.NoStore):
		r.alone(BypassNoStore, true)
	default:
		c.prepare(q, r, now)
	}
	if r.Verdict == Alone {
		c.count.add(countBypass)
		return
	}
	c.count.add(countMiss)
}

// prepare decides whether a miss fetches everything, a range, or what is missing of the whole.
func (c *Cache) prepare(q *Request, r *Result, now time.Time) {
	if !r.Object.Exists() {
		if r.Partial = q.facts.ranged; r.Partial {
			r.Reason = BypassRange
		}
	}
	if reason := c.marks.get(r.mark(q.hash), q.class(), now); reason != "" {
		r.alone(reason, false)
		return
	}
	if !r.Object.Exists() && !r.Partial {
		if r.Part = c.completable(q, r, now); r.Part.Exists() {
			r.Reason = MissPart
		}
	}
}

func (r *Result) alone(reason Reason, raw bool) { r.Verdict, r.Reason, r.Raw = Alone, reason, raw }

// follow turns a result into one that is answered from a fill; a fill that has ended is as good as stored.
func (c *Cache) follow(q *Request, r *Result, f *Fill, now time.Time) {
	o := f.Object()
	if !o.Exists() {
		r.stale = r.Object.Exists() && !r.equal
		r.Verdict, r.Reason, r.Fill, r.Object = Follow, "", f, Object{}
		r.Age, r.Left = f.head.Age(now), f.head.Left(now)
		c.count.add(countFollow)
		return
	}
	r.Object = o
	c.judge(q, r, now)
	c.count.add(countHit)
}
