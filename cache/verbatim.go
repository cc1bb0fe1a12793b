package cache

import (
	"encoding/binary"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// Some origins announce a longer piece than they send, complete by the message's framing as it is. Where its bytes
// belong cannot be told, so that nothing is ever cut from such a 206 or joined with it (RFC 9110 §14.4). It is kept
// verbatim, under the question it answers: who asks for the same range, spelled the same way, gets what the origin
// answers to that, header and all, and nobody else gets any of it.

// verbatim reports whether an answer to a range is of that kind: it says that it has what was asked for, and is
// shorter than it says.
func (r *Result) verbatim(q *Request, head *Head, now time.Time) bool {
	if !r.Partial || head.Status != 206 || head.Length <= 0 || q.Fields.Has("If-Range") {
		return false
	}
	announced, complete, ok := rfc9111.PartOf(head.Fields, -1)
	if !ok || head.Length >= announced.Length {
		return false
	}
	asked := rfc9111.RangeOf(q.Fields, complete, nil, time.Time{}, now, now)
	return asked.Within(announced)
}

// appendQuestion appends to a full key what makes it the name of a verbatim answer. The number of writes is part of
// it: an answer from before a write is found by nobody after it.
func (c *Cache) appendQuestion(full []byte, q *Request) []byte {
	full = binary.LittleEndian.AppendUint64(full, uint64(c.writes.epoch(q.hash)))
	full = binary.LittleEndian.AppendUint64(full, uint64(c.delayed.epoch(q.hash)))
	return q.appendRange(full)
}

// findVerbatim returns the fresh answer to the very same question, or none.
func (c *Cache) findVerbatim(q *Request, r *Result, now time.Time) Object {
	if !q.asksPart() || q.Fields.Has("If-Range") {
		return Object{}
	}
	name := c.appendQuestion(q.withSuffix(r.record), q)
	o := c.tier.Get(key.Hash(c.seed, name))
	if !o.Exists() || o.kind() != kindObject || o.Status() != 206 || string(o.Key()) != string(name) || c.gone(o) || !c.mayUse(q, o, now) {
		return Object{}
	}
	return o
}
