package cache

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// Headed takes what the origin's answer to a HEAD says about the stored GET response of res (RFC 9111 §4.3.5):
// where it names the same version, the stored header and its freshness are renewed; where it names another, the
// stored response is stale from now on.
//
// The RFC would have an answer without any validator renew a response, too. Here it renews nothing: monitors send
// HEAD by the minute, and would keep a page for ever that its origin has changed long ago. Nor does a request with
// cookies or authorization, which may have been answered for one visitor.
func (c *Cache) Headed(q *Request, res *Result, head Head, asked, now time.Time) {
	old := res.Object
	if !q.head() || q.facts.cookie || q.facts.authorization || !old.Exists() || old.kind() != kindObject ||
		old.Status() != 200 || head.Status != 200 || c.writes.since(q.hash, asked) {
		return
	}
	same, known := old.named(&head)
	hash := key.Hash(c.seed, old.Key())
	switch {
	case !known:
	case !same && old.Left(now) > 0 && c.tier.Peek(hash).ID() == old.ID():
		c.curb(hash, old.aged(now))
	case same:
		c.renew(q, res, head, hash, asked, now)
	}
}

// renew is Freshen for one of all HEADs that come at a time, where it makes the response fresh: it costs a copy.
func (c *Cache) renew(q *Request, res *Result, head Head, hash uint64, asked, now time.Time) {
	get := q.Clone()
	get.Method = []byte("GET")
	old := res.Object
	a := rfc9111.Assess(get.judged(), &rfc9111.Response{
		Status: 200, Fields: rfc9111.Merge(old.Fields(nil), arrived(head.Fields, now)), Own: rfc9111.Merge(old.Own(nil), head.Own),
	}, &q.Policy.rules, asked, now)
	if a.Reason != "" || a.Lifetime <= a.InitialAge {
		return
	}
	place := c.refreshing.claim(hash)
	if place == nil {
		return
	}
	defer place.Store(0)
	again := *res
	again.Raw = false
	c.Freshen(get, &again, head, asked, now)
}

// named compares the validators and the length in an answer to HEAD with the stored response: known is false where
// they do not tell, same says that all of them agree.
func (o Object) named(head *Head) (same, known bool) {
	if !bytes.Equal(o.Get("Content-Encoding"), head.Fields.Get("Content-Encoding")) {
		return false, false // another representation
	}
	same = head.Length < 0 || head.Length == int64(len(o.Body()))
	known = !same
	for _, v := range [...]struct {
		name string
		have []byte
	}{{"ETag", o.ETag()}, {"Last-Modified", o.LastModifiedValue()}} {
		if said := head.Fields.Get(v.name); len(said) > 0 {
			known = true
			same = same && bytes.Equal(said, v.have)
		}
	}
	return same, known
}

// aged is a copy that is stale from now on.
func (o Object) aged(now time.Time) Object {
	b := bytes.Clone(o.b)
	binary.LittleEndian.PutUint64(b[atLifetime:], uint64(o.Age(now).Milliseconds()))
	binary.LittleEndian.PutUint32(b[atShared:], 0)
	return Object{b}
}
