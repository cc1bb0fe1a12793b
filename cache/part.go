package cache

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// A 206 is stored as a part: one contiguous piece of a representation whose complete length is known. Parts of
// one key lie under hashes of their own, so that a lookup that wants no part never sees one, and no more than
// maxParts of them. Those that touch are joined where a strong validator says that they are of the same bytes;
// one that has no such validator answers for itself. What has become whole moves to the key as a 200.
//
// Which ranges are fetched is the clients' choice: a range of what is not stored is asked for as it came, once
// for all who ask for the same one at the same time, and whoever wants what lies in a range on its way reads
// along. To fetch the whole instead would let a stranger turn a request for one byte into a transfer of
// max_object.

// maxParts is how many parts of one key are kept apart.
const maxParts = 4

// partMark keeps the marks of ranges apart from those of wholes.
const partMark uint64 = 0x9ddfea08eb382d69

// partHash is the hash of a part's place; hash is that of its full key.
func partHash(hash uint64, place int) uint64 {
	return (hash ^ partMark) * (2*uint64(place) + 0x100000001b3)
}

// asksPart reports whether a request is for one range and may be asked for everybody: well-formed, and without
// conditions other than If-Range.
func (q *Request) asksPart() bool {
	v := q.Fields.Get("Range")
	return string(q.Method) == "GET" && q.Fields.Count("Range") == 1 && rfc9111.SingleRange(v) &&
		q.Fields.Count("If-Range") <= 1 && !q.Fields.Has("If-None-Match") && !q.Fields.Has("If-Modified-Since")
}

// appendRange appends what tells one request for a range from another.
func (q *Request) appendRange(dst []byte) []byte {
	dst = append(append(dst, q.Fields.Get("Range")...), 0)
	return append(dst, q.Fields.Get("If-Range")...)
}

// part reads from the answer to a range which part it is; complete is 0 for what is none.
func (r *Result) part(head *Head) (held rfc9111.Span, complete int64) {
	if !r.Partial || head.Status != 206 {
		return rfc9111.Span{}, 0
	}
	held, complete, ok := rfc9111.PartOf(head.Fields, head.Length)
	if !ok {
		return rfc9111.Span{}, 0
	}
	return held, complete
}

func (r *Result) mark(hash uint64) uint64 {
	if r.Partial {
		return hash ^ partMark
	}
	return hash
}

// Held is what the fill brings: which piece of a representation of which length. complete is -1 while that is
// not known.
func (f *Fill) Held() (held rfc9111.Span, complete int64) {
	if f.complete > 0 {
		return f.held, f.complete
	}
	n := f.Length()
	return rfc9111.Span{Length: max(n, 0)}, n
}

// Range applies a client's Range and If-Range to what is still arriving. ok says that the fill brings it.
func (f *Fill) Range(req field.List, now time.Time) (r rfc9111.Range, ok bool) {
	held, complete := f.Held()
	if complete < 0 {
		return rfc9111.Range{}, false
	}
	r = f.head.rangeOf(req, complete, now)
	return r, r.Kind == rfc9111.Part && r.Within(held)
}

// covers reports whether a fill that brings a part brings what the request asks for.
func (f *Fill) covers(q *Request, now time.Time) bool {
	if f.complete == 0 {
		return true
	}
	if !q.facts.ranged || q.head() {
		return false
	}
	_, ok := f.Range(q.Fields, now)
	return ok
}

// whole makes a blob that was laid out for a part one of a whole.
func whole(b []byte) {
	le := binary.LittleEndian
	b[atKind] = kindObject
	le.PutUint16(b[atStatus:], 200)
	le.PutUint64(b[atOffset:], 0)
	le.PutUint64(b[atComplete:], 0)
}

// partAt returns the part of a key that lies in a place, or none.
func (c *Cache) partAt(full []byte, hash uint64, place int) Object {
	o := c.tier.Get(partHash(hash, place))
	if !o.Exists() || !o.Partial() || !bytes.Equal(o.Key(), full) || c.gone(o) {
		return Object{}
	}
	return o
}

// findPart returns the newest fresh part that has all of what the request asks for, or the answer to the same
// request, or none.
func (c *Cache) findPart(q *Request, r *Result, now time.Time) (found Object) {
	if q.head() {
		return Object{}
	}
	full := q.withSuffix(r.record)
	hash := key.Hash(c.seed, full)
	for i := range maxParts {
		o := c.partAt(full, hash, i)
		r.parts = r.parts || o.Exists()
		if !o.Exists() || found.Exists() && !o.Received().After(found.Received()) || !c.mayUse(q, o, now) {
			continue
		}
		if rg := o.Range(q.Fields, now); rg.Within(o.Held()) {
			found = o
		}
	}
	if !found.Exists() {
		found = c.findVerbatim(q, r, now)
	}
	return found
}

// mayUse reports whether a request may be answered with a part without asking.
func (c *Cache) mayUse(q *Request, o Object, now time.Time) bool {
	s := o.stored(now)
	use, _ := c.reuse(q, o, &s, now)
	return use == rfc9111.UseFresh && (!q.facts.authorization || s.Traits&rfc9111.TraitForAuthorized != 0)
}

// dropParts forgets the parts under the hash of a full key.
func (c *Cache) dropParts(hash uint64) {
	for i := range maxParts {
		if h := partHash(hash, i); c.tier.Peek(h).Exists() {
			c.tier.Del(h)
		}
	}
}

// hasParts reports whether there are parts under the hash of a key.
func (c *Cache) hasParts(hash uint64) bool {
	for i := range maxParts {
		if c.tier.Peek(partHash(hash, i)).Exists() {
			return true
		}
	}
	return false
}

// curbParts lets the parts under the hash of a primary key end after wait.
func (c *Cache) curbParts(hash uint64, primary []byte, wait time.Duration, now time.Time) {
	for i := range maxParts {
		if o := c.partAt(primary, hash, i); o.Exists() {
			if short, changed := o.until(wait, now); changed {
				c.curb(partHash(hash, i), short)
			}
		}
	}
}

// putPart stores a part, joined with those of the same version that it touches.
func (c *Cache) putPart(f *Fill, o Object) bool {
	c.parts.Lock()
	defer c.parts.Unlock()
	place := c.makeRoom(f, &o)
	if place < 0 {
		return false
	}
	h := f.hash
	if o.Partial() {
		h = partHash(f.hash, place)
	}
	stored := c.tier.Set(h, f.curbed(o))
	if f.withdrawn() {
		c.tier.Del(h)
		c.dropParts(f.hash)
	}
	return stored
}

// makeRoom joins to o what there is to join, drops parts of other versions, and returns the place for o: a free
// one, or that of the part that was received first; none, -1, where o is the one that has had its day.
func (c *Cache) makeRoom(f *Fill, o *Object) int {
	place, oldest := -1, 0
	var at time.Time
	for i := 0; i < maxParts; i++ {
		p := c.partAt(o.Key(), f.hash, i)
		if !p.Exists() {
			place = i
			continue
		}
		joined, obsolete := c.joinParts(f, p, *o)
		if obsolete && p.Received().After(o.Received()) {
			return -1
		}
		if obsolete || joined.Exists() {
			c.tier.Del(partHash(f.hash, i))
			place = i
		}
		if joined.Exists() { // it may touch now what it did not before
			*o, i, place = joined, -1, -1
			continue
		}
		if at.IsZero() || p.Received().Before(at) {
			oldest, at = i, p.Received()
		}
	}
	if place < 0 {
		place = oldest
	}
	return place
}

// worthJoining bounds the copying that many small ranges could cause: what is joined is at least this share of
// what it is joined with, or completes the whole.
const worthJoining = 64

// joinParts joins two parts, o the one that ended last. obsolete says that p has had its day: it is of another version, or o has
// all that it has.
func (c *Cache) joinParts(f *Fill, p, o Object) (joined Object, obsolete bool) {
	vp, vo := p.Version(), o.Version()
	hp, ho := p.Held(), o.Held()
	same := vp.Same(&vo) && bytes.Equal(p.Get("Content-Encoding"), o.Get("Content-Encoding"))
	switch {
	case p.Complete() != o.Complete(), hp.Within(ho):
		return Object{}, true
	case !same:
		return Object{}, vp.Strong() || vo.Strong()
	case hp.Offset > ho.End() || ho.Offset > hp.End():
		return Object{}, false
	}
	first, second := p, o
	if ho.Offset < hp.Offset {
		first, second = o, p
	}
	a, b := first.Body(), second.Body()
	shared := min(first.Held().End(), second.Held().End()) - second.Held().Offset
	if !bytes.Equal(a[second.Held().Offset-first.Held().Offset:][:shared], b[:shared]) {
		return Object{}, true // its validator lied
	}
	all := rfc9111.Span{Offset: first.Held().Offset, Length: int64(len(a)) + int64(len(b)) - shared}
	if all.Length < o.Complete() && min(hp.Length, ho.Length)*worthJoining < max(hp.Length, ho.Length) {
		return Object{}, false
	}
	return c.combine(f, p, o, all, a, b[shared:]), false
}

// combine lays out the object for two parts, o the one that ended last (RFC 9110 §15.3.7.3): none where it would be too large
// for the cache, or memory is short.
func (c *Cache) combine(f *Fill, p, o Object, all rfc9111.Span, a, b []byte) Object {
	if all.Length > int64(f.limit) || !c.reserve(all.Length) {
		return Object{}
	}
	defer c.held.Add(-all.Length)
	older, newer := p, o
	if p.Received().After(o.Received()) { // they were asked for at the same time, and o took longer
		older, newer = o, p
	}
	d := draft{
		id: c.ids.Add(1), epoch: min(p.Epoch(), o.Epoch()), cells: o.Cells(), status: 206, key: o.Key(), primary: len(o.Primary()),
		lines:    rfc9111.MergePart(older.Fields(nil), newer.Fields(nil)),
		own:      rfc9111.MergePart(older.Own(nil), newer.Own(nil)),
		received: o.Received(), judged: &f.judged, held: all, complete: o.Complete(), took: o.Took(),
	}
	d.lifetime = c.spread(&f.judged, d.id)
	blob, ok := d.build(int(all.Length))
	if !ok {
		return Object{}
	}
	if all.Length == o.Complete() {
		whole(blob)
	}
	return finish(slices.Concat(blob, a, b), len(blob))
}
