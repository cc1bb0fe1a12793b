package cache

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Written notes that an unsafe request of client's succeeded: what is stored for its target is void, and so is what
// answer names in Location and Content-Location where that is of the same origin; others are none of q's business
// (RFC 9111 §4.4).
//
// A client that writes more often than the route's write_burst and write_interval permit could hold the cache empty.
// What such a write makes void stays for at most write_interval: nothing is forgotten, and a page that a loop writes to
// is fetched once in that time instead of for every visitor. That is later than §4.4 asks for; write_burst: 0 is to the
// letter.
func (c *Cache) Written(q *Request, client netip.Addr, answer field.List, now time.Time) {
	targets := make([]*Request, 0, 3)
	if q.routed(q) {
		targets = append(targets, q)
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if ref := answer.Get(name); ref != nil {
			if r, ok := q.related(string(ref)); ok && q.routed(r) {
				targets = append(targets, r)
			}
		}
	}
	if len(targets) == 0 {
		return
	}
	wait := time.Duration(0)
	if p := targets[0].Policy; p.writeBurst > 0 && slices.ContainsFunc(targets, func(r *Request) bool { return c.matters(r, now) }) {
		wait = c.writers.spend(clientHash(c.seed, client), p.writeBurst, p.writeInterval, now)
	}
	if wait > 0 {
		c.count.add(countDelayed)
	}
	for _, r := range targets {
		c.void(r, wait, now)
	}
	c.purgeGroups(q, answer, wait)
}

// routed puts r on the terms of its own route, and reports whether anything of it is stored.
func (q *Request) routed(r *Request) bool {
	if q.Route == nil {
		return r.Policy.Stores()
	}
	return q.Route(r)
}

// lately is how long a key counts as written.
const lately = 10 * time.Second

// matters reports whether a write to q's target takes something away: what is stored or arriving, or, when the target
// was written lately, an answer that is on its way unseen. Most writes go where nothing is ever stored, and are free.
func (c *Cache) matters(q *Request, now time.Time) bool {
	q.buildKey(c)
	from := now.Add(-lately)
	if c.tier.Peek(q.hash).Exists() || c.hasParts(q.hash) || c.writes.since(q.hash, from) || c.delayed.since(q.hash, from) || c.fills.any(q) {
		return true
	}
	if !q.Policy.search {
		return false
	}
	q.other = q.appendSearchKey(q.other[:0])
	record := c.searchRecord(q.other)
	return record.Exists() && c.aliasOf(q, record) != nil
}

// Invalidate makes what is stored under q's key, in all variants, unreachable, and keeps answers that were
// asked for before now from being stored, or joined by requests that begin later (RFC 9111 §4.4).
func (c *Cache) Invalidate(q *Request, now time.Time) { c.void(q, 0, now) }

// void makes void what answers q, under its own key or for an equivalent query, after wait.
func (c *Cache) void(q *Request, wait time.Duration, now time.Time) {
	q.buildKey(c)
	c.voidKey(q.hash, q.primaryKey(), wait, now)
	c.tellWritten(q.primaryKey(), wait)
	if !q.Policy.search {
		return
	}
	q.other = q.appendSearchKey(q.other[:0])
	c.writes.note(key.Hash(c.seed, q.other), now) // no alias for an answer from before this write
	record := c.searchRecord(q.other)
	if !record.Exists() {
		return
	}
	if primary := c.aliasOf(q, record); primary != nil {
		c.voidKey(key.Hash(c.seed, primary), primary, wait, now)
		c.tellWritten(primary, wait)
		if wait == 0 {
			c.tier.Del(key.Hash(c.seed, q.other))
		}
	}
}

// curb puts short in the place of the object that it is a copy of with less life left. A tier that can take nothing just
// now would go on with the one that has more: then there is none.
func (c *Cache) curb(hash uint64, short Object) {
	if !c.tier.Set(hash, short) {
		c.tier.Del(hash)
	}
}

func (c *Cache) voidKey(hash uint64, primary []byte, wait time.Duration, now time.Time) {
	if wait > 0 {
		c.delayed.note(hash, now)
		if o := c.tier.Peek(hash); o.Exists() && bytes.Equal(o.Primary(), primary) {
			if short, changed := o.until(wait, now); changed {
				c.curb(hash, short)
			}
		}
		c.curbParts(hash, primary, wait, now)
		return
	}
	c.writes.note(hash, now)
	c.fills.update(hash, primary, func(s *slot) {
		for _, f := range s.fills {
			f.mu.Lock()
			f.invalidated, f.reason = true, FillInvalidated
			f.mu.Unlock()
		}
		s.record = Object{}
	})
	c.tier.Del(hash)
	c.dropParts(hash)
}

// outpaced reports whether the key was written, with a delayed effect, after the answer was asked for.
func (f *Fill) outpaced() bool { return f.c.delayed.since(f.primary, f.asked) }

// curbed gives the object the life that such a write leaves it.
func (f *Fill) curbed(o Object) Object {
	if !f.outpaced() {
		return o
	}
	short, _ := o.until(f.delay, f.c.now())
	return short
}

// slack keeps what ends at nearly the same time from being copied again for every write.
const slack = 50 * time.Millisecond

// until is a copy of the object that ends after wait, and then is not used stale either; of a vary record, the whole
// family ends. changed is false where it ends earlier anyway.
func (o Object) until(wait time.Duration, now time.Time) (short Object, changed bool) {
	le := binary.LittleEndian
	switch o.kind() {
	case kindVary:
		end := now.Add(wait).UnixMilli()
		if o.end() != 0 && o.end() <= end+slack.Milliseconds() {
			return o, false
		}
		short = Object{bytes.Clone(o.b)}
		short.endAt(end)
		return short, true
	case kindObject, kindPart:
		if o.Traits()&rfc9111.TraitNoCache != 0 || o.Left(now) <= wait+slack && o.Traits()&rfc9111.TraitRevalidate != 0 {
			return o, false
		}
		short = Object{bytes.Clone(o.b)}
		le.PutUint64(short.b[atLifetime:], uint64(min(o.ms(atLifetime), o.Age(now)+wait).Milliseconds()))
		le.PutUint16(short.b[atTraits:], uint16(o.Traits()|rfc9111.TraitRevalidate))
		le.PutUint32(short.b[atWhileStale:], 0)
		le.PutUint32(short.b[atIfError:], 0)
		return short, true
	}
	return o, false
}

// end is when a vary record ends, in Unix ms; 0 is never.
func (o Object) end() int64 { return o.i64(atLifetime) }

func (o Object) endAt(ms int64) { binary.LittleEndian.PutUint64(o.b[atLifetime:], uint64(ms)) }

func (o Object) ended(now time.Time) bool {
	end := o.end()
	return end != 0 && now.UnixMilli() >= end
}

// related resolves a reference against q's target (RFC 3986 §5); false for another origin or no URI at all.
func (q *Request) related(ref string) (*Request, bool) {
	base, err := url.Parse(q.Scheme + "://" + string(q.Host) + string(q.Path))
	if err != nil {
		return nil, false
	}
	u, err := base.Parse(ref)
	if err != nil || u.Scheme != q.Scheme || !strings.EqualFold(u.Host, string(q.Host)) || u.User != nil {
		return nil, false
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return &Request{
		Method: []byte("GET"), Scheme: q.Scheme, Host: q.Host, Path: []byte(path), Query: []byte(u.RawQuery),
		HasQuery: u.RawQuery != "" || u.ForceQuery, Policy: q.Policy, Variant: q.Variant,
	}, true
}
