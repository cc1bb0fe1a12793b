package cache

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// Posted is Written for a POST whose answer may be kept for later GETs of its target (RFC 9110 §9.3.3): where the
// route wants that, for a 200 that declares its freshness, names the target in Content-Location and is there whole. The
// Fill then has taken body over, as Begin says. Otherwise it is nil, and body stays the caller's.
func (c *Cache) Posted(q *Request, client netip.Addr, head Head, body Body, asked, now time.Time) *Fill {
	keep := c.keepsPosted(q, &head, body, asked)
	c.Written(q, client, head.Fields, now)
	if !keep {
		return nil
	}
	get := *q
	get.Method, get.HasBody = []byte("GET"), false
	get.gather()
	if bypass(&get) != "" {
		return nil
	}
	get.buildKey(c)
	// It knows of its own write, and of no later one.
	f := c.begin(&get, &Result{Verdict: Alone, began: now}, head, body, asked, c.now(), now)
	if f.State() == Uncacheable {
		return nil
	}
	return f
}

func (c *Cache) keepsPosted(q *Request, head *Head, body Body, asked time.Time) bool {
	switch {
	case !q.Policy.posts || string(q.Method) != "POST" || head.Status != 200 || !body.Ready():
		return false
	case q.Policy.StripsCredentials(): // it was sent with them
		return false
	case !rfc9111.Explicit(head.judged(false), &q.Policy.rules):
		return false
	case head.Fields.Count("Content-Location") != 1:
		return false
	}
	target := q.Policy.AppendTarget(nil, q)
	if !bytes.Equal(target, key.AppendTarget(nil, q.Path, q.Query, q.HasQuery, nil)) {
		return false // the origin saw more than the key will say
	}
	named, ok := q.related(string(head.Fields.Get("Content-Location")))
	if !ok {
		return false
	}
	named.buildKey(c)
	q.buildKey(c)
	return bytes.Equal(named.primaryKey(), q.primaryKey()) && !c.writes.since(q.hash, asked)
}
