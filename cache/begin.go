package cache

import (
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Begin judges the origin's answer to a Miss or an Alone as soon as its head is there. asked is when the
// request was sent, now when the head arrived.
//
// When the answer may be stored, the fill takes body over: the caller reads it through the fill's Reader like
// everybody else and must not touch body again. A body that is all there is taken at once, otherwise a
// goroutine of the cache's own reads it. When it may not, the fill is Uncacheable, says why, and body stays
// the caller's.
func (c *Cache) Begin(q *Request, res *Result, head Head, body Body, asked, now time.Time) *Fill {
	return c.begin(q, res, head, body, asked, asked, now)
}

// begin is Begin for an answer that knows of every write until since.
func (c *Cache) begin(q *Request, res *Result, head Head, body Body, asked, since, now time.Time) *Fill {
	c.count.add(countFill)
	c.relieve()
	f := &Fill{c: c, class: q.class(), status: head.Status, total: head.Length, primary: q.hash, asked: since, delay: q.Policy.writeInterval, anew: res.anew}
	if f.held, f.complete = res.part(&head); f.complete > 0 {
		f.total, head.Length = f.held.Length, f.held.Length
	}
	f.verbatim = f.complete == 0 && res.verbatim(q, &head, now)
	f.judged = rfc9111.Assess(q.judged(), head.judged(f.complete > 0 || f.verbatim), &q.Policy.rules, asked, now)
	f.reason = c.refuses(q, res, &head, f.judged.Reason)
	switch {
	case f.reason == "":
	case q.sharesError(res, &head, f.reason):
		f.transient, f.reason = true, FillShared
	default:
		return c.uncacheable(q, res, f, now)
	}
	ready := body.Ready()
	f.shareable = f.transient || f.judged.Traits&rfc9111.TraitShareable != 0
	d := draft{
		id: c.ids.Add(1), status: head.Status, lines: head.Fields, own: head.Own, received: now, judged: &f.judged,
		held: f.held, complete: f.complete, epoch: res.epoch, took: now.Sub(asked),
	}
	d.lifetime = c.spread(&f.judged, d.id)
	if reason := c.register(q, f, &d, &head, now); reason != "" {
		f.reason = reason
		return c.uncacheable(q, res, f, now)
	}
	f.takeLease(res)
	c.start(f, body, ready, now)
	return f
}

// Declines tells of the answer to an Alone, for which nobody waits, why it may not be stored: what Begin would
// say, without the Fill that nobody but the caller would ever look at. Where it says nothing, Begin is to be
// asked. Answers that are marked as uncacheable are nearly always so again, and this is what they cost.
func (c *Cache) Declines(q *Request, res *Result, head *Head, now time.Time) Reason {
	_, complete := res.part(head)
	forbidden := rfc9111.Forbids(q.judged(), head.judged(complete > 0 || res.verbatim(q, head, now)), &q.Policy.rules)
	reason := c.refuses(q, res, head, forbidden)
	if reason == "" || q.sharesError(res, head, reason) {
		return ""
	}
	c.count.add(countDeclined)
	c.spurn(q, res, reason, head.Status, now)
	return reason
}

func (q *Request) judged() *rfc9111.Request {
	return &rfc9111.Request{
		Method: q.Method, HasQuery: q.HasQuery, HasBody: q.HasBody,
		NoStore: q.facts.directives.Any(rfc9111.NoStore), Authorization: q.facts.authorization, Cookie: q.facts.cookie,
	}
}

// judged is the head as it is judged: a part as if it were an incomplete 200 (RFC 9111 §3.3).
func (h *Head) judged(partial bool) *rfc9111.Response {
	r := &rfc9111.Response{Status: h.Status, Fields: h.Fields, Own: h.Own}
	if partial {
		r.Status = 200
	}
	return r
}

// refuses adds to the RFC's judgement what this cache cannot or will not hold.
func (c *Cache) refuses(q *Request, res *Result, head *Head, judged Reason) Reason {
	switch {
	case res.Raw:
		return res.Reason
	case judged != "":
		return judged
	case res.Partial && head.Status >= 400:
		return BypassRange // it may be the range that it speaks of
	case head.UntilClose:
		return BypassUntilClose
	case head.Length > c.limit(q):
		return BypassTooLarge
	case c.held.Load()+max(head.Length, 0) > c.maxHeld: // register asks in earnest; this spares it the work
		return BypassMemory
	}
	return ""
}

func (c *Cache) limit(q *Request) int64 {
	if q.Policy.maxObject > 0 {
		return min(q.Policy.maxObject, c.maxObject)
	}
	return c.maxObject
}

// sharesError reports whether a 5xx that may not be stored is still handed to those who waited for it. RFC
// 9111 knows no such sharing; without it a crowd would reach a failing origin one by one. The answer to a
// request with credentials is never shared, nor one that speaks of a visitor.
func (q *Request) sharesError(res *Result, head *Head, reason Reason) bool {
	return q.Policy.shareErrors && !res.Raw && reason == rfc9111.NotStatus && head.Status >= 500 &&
		q.class() == 0 && !head.UntilClose && !head.Fields.Has("Set-Cookie")
}

// uncacheable ends a fill before it began, and frees who waits.
func (c *Cache) uncacheable(q *Request, res *Result, f *Fill, now time.Time) *Fill {
	f.state = Uncacheable
	f.blob, f.head = nil, Object{}
	c.count.add(countUncacheable)
	c.spurn(q, res, f.reason, f.status, now)
	return f
}

// spurn remembers for a while that there is nothing to wait for. An error says nothing about the next answer
// and leaves no mark.
func (c *Cache) spurn(q *Request, res *Result, reason Reason, status int, now time.Time) {
	if res.Raw || !spurned(reason, status) {
		return
	}
	kind := markUncacheable
	if reason == BypassTooLarge {
		kind = markTooLarge
	}
	c.marks.set(res.mark(q.hash), q.class(), kind, now)
}

func spurned(reason Reason, status int) bool {
	return reason != BypassMemory && reason != BypassClosing && reason != rfc9111.NotRequestNoStore && status < 500
}

// register gives the fill its key, lays its blob out and makes it visible to other requests.
func (c *Cache) register(q *Request, f *Fill, d *draft, head *Head, now time.Time) Reason {
	if !c.enter() {
		return BypassClosing
	}
	reason := Reason("")
	vary := rfc9111.VaryOf(head.Fields)
	c.fills.update(q.hash, q.primaryKey(), func(s *slot) {
		f.outrun()
		if f.transient || f.invalidated {
			f.record = c.alike(q, &vary)
		} else {
			f.record = c.family(q, s, f, &vary, now)
		}
		d.key, d.primary = q.withSuffix(f.record), q.primary
		if f.verbatim {
			d.key = c.appendQuestion(d.key, q)
		}
		if d.cells, reason = q.appendCells(head.Fields, head.Own); reason != "" {
			return
		}
		blob, ok := d.build(int(min(max(head.Length, 0), firstBody)))
		if !ok || int64(len(blob)) > c.limit(q) || max(head.Length, 0) > c.limit(q)-int64(len(blob)) {
			reason = FillHeadTooLarge
			if ok {
				reason = BypassTooLarge
			}
			return
		}
		if !f.admit(blob) {
			reason = BypassMemory
			return
		}
		f.hash = key.Hash(c.seed, d.key)
		if !f.verbatim {
			c.introduce(q, s, f, head.Fields)
		}
		f.bodyAt, f.limit = len(blob), int(c.limit(q))-len(blob)
		f.head = Object{append([]byte(nil), blob...)}
		if !f.transient && !f.invalidated && f.shareable {
			s.fills = append(s.fills, f)
		}
	})
	if reason != "" {
		c.fillers.Done()
	}
	return reason
}

// admit counts what a fill needs beside its first blob: the rest of the announced length, or for a body of
// unknown length the first growth and the window that it falls back to.
func (f *Fill) admit(blob []byte) bool {
	size := int64(cap(blob))
	switch room := size - int64(len(blob)); {
	case f.total < 0:
		f.spare = int64(len(blob)) + firstBody + leastWindow
	case f.total > room:
		f.spare = int64(len(blob)) + f.total
	}
	if !f.c.reserve(size + f.spare) {
		f.spare = 0
		return false
	}
	f.blob, f.block, f.charged = blob, &block{size: size}, size+f.spare
	return true
}

// outrun notes that the key was written after this answer was asked for. Those who wait for it began before
// the write and may have it; nobody else may, and it is not stored. Called with the slot locked: an
// invalidation notes the write first and visits the slot then, so that one of both is seen.
func (f *Fill) outrun() {
	if !f.transient && f.c.writes.since(f.primary, f.asked) {
		f.invalidated, f.reason = true, FillInvalidated
	}
}

// family returns the vary record under which the response is stored, or none for one that does not vary and
// has no varying siblings. A new record goes to the tier at once. Called with the slot locked.
func (c *Cache) family(q *Request, s *slot, f *Fill, vary *rfc9111.Vary, now time.Time) Object {
	have := s.record
	if !have.Exists() {
		if o := c.tier.Peek(q.hash); o.Exists() && o.kind() == kindVary && string(o.Primary()) == string(q.primaryKey()) {
			have = o
		}
	}
	if have.Exists() && (have.ended(now) || f.anew) {
		have = Object{}
	}
	var names varyNames
	if have.Exists() {
		names = namesOf(have)
	}
	all, grown := union(names, vary)
	if grown {
		have = all.record(c.ids.Add(1), q.primaryKey(), nil)
		c.tier.Set(q.hash, have)
		s.record = have
	}
	return have
}

// alike returns a vary record that nobody stores, so that what is shared and not stored reaches those alone
// whom it was selected for.
func (c *Cache) alike(q *Request, vary *rfc9111.Vary) Object {
	if vary.N == 0 {
		return Object{}
	}
	names := varyNames{n: vary.N}
	copy(names.names[:], vary.Names[:vary.N])
	return names.record(c.ids.Add(1), q.primaryKey(), nil)
}

// introduce makes the response known where it is not looked for under its own key. Called with the slot locked.
func (c *Cache) introduce(q *Request, s *slot, f *Fill, fields field.List) {
	if f.transient || f.invalidated {
		return
	}
	if f.record.Exists() {
		f.record = c.enrol(q, s, f.record, f.hash)
	}
	f.also = c.otherNames(q, f, fields)
}

// start pumps the body, here and now if that cannot block.
func (c *Cache) start(f *Fill, body Body, ready bool, now time.Time) {
	c.running.Add(1)
	if a, ok := body.(Aborter); ok {
		f.mu.Lock()
		f.abort = a.Abort
		f.mu.Unlock()
	}
	if ready {
		f.pump(body, true, now)
		return
	}
	c.orphans.add(f, c.now().Add(firstReader))
	go f.pump(body, false, now)
}

// ended is called once by every fill's pump.
func (c *Cache) ended(f *Fill, object Object, keep bool, now time.Time) {
	defer c.fillers.Done()
	defer c.running.Add(-1)
	c.orphans.remove(f)
	switch {
	case keep:
		c.keep(f, object, now)
		return
	case f.wasAbandoned():
		c.count.add(countAbandoned)
	case f.State() == Failed:
		c.count.add(countFailed)
	}
	f.endLease(EndFailed) // where it was too large, that was told already
	if f.shareable && !f.transient {
		c.fills.remove(f)
	}
}

// keep stores a finished object. The mark of its kind goes: it proved cacheable.
func (c *Cache) keep(f *Fill, object Object, now time.Time) {
	c.count.add(countStored)
	mark := f.primary
	if f.complete > 0 || f.verbatim {
		mark ^= partMark
	}
	if f.shareable {
		c.marks.clear(mark, f.class)
	} else {
		c.marks.set(mark, f.class, markUncacheable, now)
	}
	stored := c.put(f, object)
	if !stored {
		c.count.add(countDropped)
	}
	f.offerShared(object)
	if !f.shareable {
		return
	}
	if stored {
		select {
		case c.settling <- f:
			return
		default: // the tier is far behind: better a second fetch than a queue without end
		}
	}
	c.fills.remove(f)
}

// put stores an object, and takes it back when its key was written meanwhile: the invalidation's Del may have
// come before the Set.
func (c *Cache) put(f *Fill, object Object) bool {
	if object.Partial() {
		return c.putPart(f, object)
	}
	stored := c.tier.Set(f.hash, f.curbed(object))
	if f.withdrawn() {
		c.tier.Del(f.hash)
	}
	if f.verbatim {
		return stored
	}
	c.dropParts(f.hash) // they are of this response or of an older one
	if stored {
		c.announce(f)
	}
	return stored
}

// outgrown is called by a fill that turned out too large, for the cache or for what memory is left. The
// latter says nothing about the next answer and leaves no mark; nor does an error.
func (c *Cache) outgrown(f *Fill) {
	c.count.add(countTooLarge)
	f.endLease(EndTooLarge)
	if f.Reason() == BypassTooLarge {
		for cl := range class(4) {
			c.marks.set(f.primary, cl, markTooLarge, c.now())
		}
	}
	if f.shareable && !f.transient {
		c.fills.remove(f)
	}
}
