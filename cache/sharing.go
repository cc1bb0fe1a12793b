package cache

import (
	"context"
	"errors"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// Several processes that share a tier and leases act as one: what one of them has stored answers the others, and what
// none has is fetched by one. The way of a miss:
//
//	process lease (Lead) → shared tier → lease → fetch, store, tell
//	                                   ↘ taken: wait, and look into the shared tier again
//
// One request of each process goes that way, all others of the process wait for it. Every step has a budget, and behind
// each that fails lies what the process does by itself.

// Sharing is what a cache shares with others.
type Sharing struct {
	Tier   Shared
	Leases Leases
	// Wait is the longest time that a miss waits for another process's fill; then it fetches for its own.
	Wait time.Duration
	// Ready reports that all purges are known: before, what lies in the tier may have been purged.
	Ready func() bool
	// Purge purges in all processes: in this one at once.
	Purge func(k purge.Kind, cells []purge.Cell) uint64
	// Suspicious: a cache that is cut off validates everything; otherwise see trusted.
	Suspicious bool
}

// Share makes the cache one of several. It is called once, before the first request.
func (c *Cache) Share(s Sharing) { c.sharing = &s }

// maxRounds bounds how often a miss looks into the shared tier: a tier that changes under every look is no help.
const maxRounds = 8

// again is the pause before a miss that has waited for another's fill asks once more, where it could not hear of the end.
const again = 50 * time.Millisecond

// leadShared is what the one of this process does who fills: found says that the response was there already.
func (c *Cache) leadShared(q *Request, res *Result, run func() (*Fill, error)) (f *Fill, found bool, err error) {
	s := c.sharing
	if s == nil || c.cut.Load() != 0 || !s.Ready() {
		f, err = run()
		return f, false, err
	}
	ctx, cancel := context.WithTimeout(c.life, s.Wait)
	defer cancel()
	waited := false
	for range maxRounds {
		found, err := c.lookShared(ctx, q, res)
		if found.Exists() {
			c.count.add(countSharedHit)
			w := c.whole(q, found, res.record)
			w.shared = true
			return w, true, nil
		}
		if err != nil && !errors.Is(err, ErrLate) || res.Partial {
			break
		}
		ask := LeaseAsk{Primary: q.primaryKey(), Full: q.withSuffix(res.record), Seen: res.seen, Class: uint8(q.class()), Prompt: err == nil}
		verdict, lease := s.Leases.Acquire(ctx, ask)
		switch verdict {
		case LeaseGranted:
			f, err := c.fillWith(res, lease, run)
			return f, false, err
		case LeaseTaken:
			c.count.add(countAwaited)
			waited = true
			s.Leases.Await(ctx, ask.clone())
		case LeaseUncacheable:
			c.marks.set(res.mark(q.hash), q.class(), markUncacheable, c.now())
			return &Fill{c: c, class: q.class(), state: Uncacheable, reason: BypassUncacheable}, true, nil
		}
		if verdict == LeaseAway && waited && ctx.Err() == nil { // for whom another fetched, and who waited for it, one more moment
			time.Sleep(again)
			continue
		}
		if verdict == LeaseTooLarge || verdict == LeaseAway || ctx.Err() != nil {
			break
		}
	}
	f, err = run()
	return f, false, err
}

func (a LeaseAsk) clone() LeaseAsk {
	a.Primary, a.Full = append([]byte(nil), a.Primary...), append([]byte(nil), a.Full...)
	return a
}

// fillWith runs the fill that a lease was granted for. The lease goes to the Fill where that takes it; otherwise it ends
// here.
func (c *Cache) fillWith(res *Result, lease Lease, run func() (*Fill, error)) (f *Fill, err error) {
	res.lease = lease
	// A page that was written lately and is gone from the shared tier: this process may not have heard of the write, and the
	// vary record that it knows leads to responses from before.
	res.anew = lease.Fence() != "" && !res.rooted
	defer func() {
		if res.lease != nil {
			res.lease.End(f.leaseEnd())
			res.lease = nil
		}
	}()
	return run()
}

// leaseEnd says what those who wait in other processes can expect of a fill that did not take the lease over.
func (f *Fill) leaseEnd() LeaseEnd {
	switch {
	case f == nil || f.transient || f.state != Uncacheable:
		return EndFailed
	case f.reason == BypassTooLarge || f.reason == FillHeadTooLarge:
		return EndTooLarge
	case spurned(f.reason, f.status):
		return EndUncacheable
	}
	return EndFailed
}

// takeLease makes the fill the lease's owner.
func (f *Fill) takeLease(res *Result) { f.lease, res.lease = res.lease, nil }

// endLease ends the fill's lease, if it has one.
func (f *Fill) endLease(e LeaseEnd) {
	if f.lease != nil {
		f.lease.End(e)
	}
}

// lookShared looks into the shared tier for a response that answers q and keeps it in this process, too. What is there
// and does not answer by itself is left in res, to be validated or to stand in for an origin that fails.
func (c *Cache) lookShared(ctx context.Context, q *Request, res *Result) (Object, error) {
	now := c.now()
	known := c.epochs.Latest()
	o, err := c.readShared(ctx, q, res, now)
	if o.Exists() && o.Epoch() > known { // of purges from beyond what is known here nothing is known: they may have lesser successors
		o.setEpoch(known)
	}
	if err != nil || !o.Exists() || c.gone(o) || c.writes.since(q.hash, o.Received()) || c.delayed.since(q.hash, o.Received()) {
		c.count.add(countSharedMiss)
		return Object{}, err
	}
	c.hasten(o, now)
	r := Result{Verdict: Miss, Object: o, record: res.record}
	c.judge(q, &r, now)
	useful := r.Verdict == Hit && (!res.early || newer(o, res.Object)) || r.Verdict == Stale && !res.background
	switch {
	case useful:
		c.adopt(q, res.record, o)
		return o, nil
	case r.Object.Exists() && (!res.Object.Exists() || res.equal || newer(o, res.Object)):
		res.Object, res.equal, res.Reason = o, false, r.Reason
	}
	c.count.add(countSharedMiss)
	return Object{}, nil
}

// newer reports whether o is another response than have, or another edition of it, and came later.
func newer(o, have Object) bool {
	return (o.ID() != have.ID() || o.u64(atEdition) != have.u64(atEdition)) && o.Received().After(have.Received())
}

// readShared reads what lies under q's keys. The vary record that the tier has counts for all; where this process knows
// another one, or none, the response that it leads to is read in a second exchange.
func (c *Cache) readShared(ctx context.Context, q *Request, res *Result, now time.Time) (Object, error) {
	names := [][]byte{q.primaryKey()}
	if res.record.Exists() {
		names = [][]byte{q.withSuffix(res.record)[:q.primary], q.withSuffix(res.record)}
	}
	found, err := c.sharing.Tier.Get(ctx, q.primaryKey(), names, now)
	if err != nil || len(found) != len(names) {
		return Object{}, err
	}
	first := found[0]
	res.rooted = first.Object.Exists()
	switch {
	case !first.Object.Exists() && len(found) == 1, first.Object.Exists() && first.Object.kind() == kindObject:
		res.seen, res.record = first.Stamp, Object{}
		return first.Object, nil
	case !first.Object.Exists():
		res.seen = found[1].Stamp
		return Object{}, nil
	case res.record.Exists() && res.record.ID() == first.Object.ID():
		res.seen = found[1].Stamp
		return found[1].Object, nil
	}
	if _, variants := splitRecord(first.Object); variants == nil {
		return Object{}, nil // damaged
	}
	res.record = first.Object
	full := q.withSuffix(res.record)
	found, err = c.sharing.Tier.Get(ctx, q.primaryKey(), [][]byte{full}, now)
	if err != nil || len(found) != 1 {
		return Object{}, err
	}
	res.seen = found[0].Stamp
	return found[0].Object, nil
}

// adopt keeps a response of the shared tier in this process.
func (c *Cache) adopt(q *Request, record, o Object) {
	full := q.withSuffix(record)
	hash := key.Hash(c.seed, full)
	c.fills.update(q.hash, q.primaryKey(), func(s *slot) {
		if record.Exists() {
			have := s.record
			if !have.Exists() {
				have = c.tier.Peek(q.hash)
			}
			if !have.Exists() || have.kind() != kindVary || have.ID() != record.ID() || have.ended(c.now()) {
				c.tier.Set(q.hash, record)
				have = record
			}
			c.enrol(q, s, have, hash)
		}
		c.tier.Set(hash, o)
	})
	if c.writes.since(q.hash, o.Received()) || c.delayed.since(q.hash, o.Received()) {
		c.tier.Del(hash)
	}
}

// fromShared judges what another request of this process found in the shared tier, for q.
func (c *Cache) fromShared(q *Request, res *Result, f *Fill) Turn {
	r := Result{Verdict: Miss, Object: f.object, record: f.record, began: res.began}
	if c.judge(q, &r, c.now()); r.Verdict == Hit || r.Verdict == Stale {
		seen := res.seen
		*res = r
		res.seen = seen
		return FromShared
	}
	res.Reason = MissOther
	return LookAgain
}

// leastShared is the shortest time of use for which a response is worth sharing.
const leastShared = time.Second

// offerShared gives a finished object to the shared tier, with the fill's lease.
func (f *Fill) offerShared(o Object) {
	if f.lease == nil {
		return
	}
	// A number that this process gave itself says nothing to others.
	useful := o.kind() == kindObject && !purge.Own(o.Epoch()) && f.complete == 0 && !f.verbatim && !f.withdrawn() && !f.outpaced()
	now := f.c.now()
	switch {
	case !useful:
		f.lease.End(EndFailed)
	case !f.shareable:
		f.lease.End(EndUncacheable)
	case o.Declared()-o.Age(now)+o.StaleFor() < leastShared:
		f.lease.End(EndTooLarge) // each process has its own, all at once
	default:
		f.c.count.add(countSharedPut)
		f.c.sharing.Tier.Put(Put{Object: f.c.forShared(o), Record: bare(f.record), Lease: f.lease})
	}
}

// bare is a vary record without what only this process knows: where its responses lie, and when it ends.
func bare(record Object) Object {
	if !record.Exists() {
		return Object{}
	}
	names := namesOf(record)
	return names.record(record.ID(), record.Primary(), nil)
}

// tellWritten tells the other processes, and the shared tier, that a page was written.
func (c *Cache) tellWritten(primary []byte, wait time.Duration) {
	if c.sharing != nil {
		c.sharing.Tier.Void(primary, wait)
	}
}

// Voided does what Written does, for a write that another process tells of: primary is the key of what was written.
func (c *Cache) Voided(primary []byte, wait time.Duration, now time.Time) {
	c.voidKey(key.Hash(c.seed, primary), primary, wait, now)
}

// softPurged reports that an object was purged softly: it is stale, and used as such for as long as it would have been
// fresh.
func (c *Cache) softPurged(o Object) bool { return c.purged(o) == purge.SoftPurged }

// reuseSoft decides on a softly purged object: it is used while a new one is fetched, unless it may never be used stale.
func reuseSoft(s *rfc9111.Stored, use rfc9111.Use) rfc9111.Use {
	if use == rfc9111.UseFresh && s.Traits&rfc9111.TraitRevalidate == 0 {
		return rfc9111.UseRefresh
	}
	if use == rfc9111.UseFresh {
		return rfc9111.UseValidate
	}
	return use
}
