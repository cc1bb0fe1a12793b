package cache

import (
	"encoding/binary"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Freshen gives the stored object of res the header and the freshness of the origin's 304 (RFC 9111 §4.3.4)
// and stores the result. head is the 304's. When that may not be stored, the fill is Uncacheable with an
// Object for the leader to answer with; the stored object stays as it was, unless the origin takes it back.
func (c *Cache) Freshen(q *Request, res *Result, head Head, asked, now time.Time) *Fill {
	c.count.add(countFill)
	old := res.Object
	lines := rfc9111.Merge(old.Fields(nil), arrived(head.Fields, now))
	own := rfc9111.Merge(old.Own(nil), head.Own)
	f := &Fill{c: c, class: q.class(), status: old.Status(), total: int64(len(old.Body())), primary: q.hash, asked: asked, delay: q.Policy.writeInterval, anew: res.anew}
	f.judged = rfc9111.Assess(q.judged(), &rfc9111.Response{Status: old.Status(), Fields: lines, Own: own},
		&q.Policy.rules, asked, now)
	f.reason = f.judged.Reason
	f.shareable = f.judged.Traits&rfc9111.TraitShareable != 0
	edition := c.ids.Add(1)
	d := draft{
		id: old.ID(), epoch: res.epoch, status: old.Status(), lines: lines, own: own, received: now, judged: &f.judged,
		lifetime: c.spread(&f.judged, edition), took: now.Sub(asked),
	}
	entered := c.enter()
	if !entered && f.reason == "" {
		f.reason = BypassClosing
	}
	if entered {
		defer c.fillers.Done()
	}
	d.key, d.primary = old.Key(), len(old.Primary())
	f.record = res.record
	if f.reason == "" && !c.writes.since(q.hash, asked) {
		c.refamily(q, f, &d, lines, now)
	}
	if cells, reason := q.appendCells(lines, own); f.reason == "" {
		d.cells, f.reason = cells, reason
	}
	b, ok := d.build(len(old.Body()))
	if !ok {
		f.reason, f.object = FillHeadTooLarge, old
	} else {
		binary.LittleEndian.PutUint64(b[atEdition:], edition)
		f.object = finish(append(b, old.Body()...), len(b))
	}
	f.head = f.object
	if f.reason != "" {
		if f.takesBack() {
			c.tier.Del(key.Hash(c.seed, old.Key()))
		}
		object := f.object
		c.uncacheable(q, res, f, now)
		f.object = object
		return f
	}
	f.state = Complete
	f.takeLease(res)
	f.hash = key.Hash(c.seed, d.key)
	c.fills.update(q.hash, q.primaryKey(), func(s *slot) {
		if f.outrun(); f.shareable && !f.invalidated {
			s.fills = append(s.fills, f)
		}
	})
	if !f.withdrawn() {
		c.keep(f, f.object, now)
	}
	f.endLease(EndFailed) // unless it was kept
	return f
}

// takesBack reports whether the origin told somebody without credentials that the response is not to be kept.
// What it tells a visitor who has some is about that visitor: were the object dropped for that, everyone with
// a cookie could drop it for all. It needs validating anyway, and the next answer may speak for everybody.
func (f *Fill) takesBack() bool {
	return f.class == 0 && (f.reason == rfc9111.NotNoStore || f.reason == rfc9111.NotPrivate)
}

// arrived gives the 304's fields that speak about the stored response. Its Date is when the response was
// found good, so a 304 without one gets the time of its arrival (RFC 9110 §6.6.1).
func arrived(fields field.List, now time.Time) field.List {
	out := make(field.List, 0, len(fields)+1)
	for _, f := range fields {
		if !notStored(f.Name) || field.EqualFold(f.Name, "Age") {
			out = append(out, f)
		}
	}
	if _, ok := rfc9111.ParseDate(out.Get("Date"), now); !ok {
		out.Set("Date", rfc9111.AppendDate(nil, now))
	}
	return out
}

// refamily finds the key of the freshened response: its 304 may have changed Vary.
func (c *Cache) refamily(q *Request, f *Fill, d *draft, lines field.List, now time.Time) {
	vary := rfc9111.VaryOf(lines)
	c.fills.update(q.hash, q.primaryKey(), func(s *slot) {
		f.record = c.family(q, s, f, &vary, now)
		d.key, d.primary = append([]byte(nil), q.withSuffix(f.record)...), q.primary
		f.hash = key.Hash(c.seed, d.key)
		c.introduce(q, s, f, lines)
	})
}
