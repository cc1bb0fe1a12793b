package cache

import (
	"bytes"

	"github.com/tzero-edge/tzero/cache/key"
)

// Pin keeps what is stored for q, now and whenever it is stored anew, where nothing pushes it out: the response,
// and for a negotiated one the vary record before it. It reports whether there is something, and it is pinned.
func (c *Cache) Pin(q *Request) bool {
	full, there := c.pinnable(q)
	pinned := c.tier.Pin(q.hash)
	if full != q.hash {
		pinned = c.tier.Pin(full) && pinned
	}
	return pinned && there
}

// Unpin ends that.
func (c *Cache) Unpin(q *Request) {
	full, _ := c.pinnable(q)
	c.tier.Unpin(q.hash)
	if full != q.hash {
		c.tier.Unpin(full)
	}
}

// pinnable gives the hash of q's full key, and whether q's own object, or vary record, stands under the primary one.
func (c *Cache) pinnable(q *Request) (full uint64, there bool) {
	q.gather()
	q.buildKey(c)
	o := c.tier.Peek(q.hash)
	if !o.Exists() || !bytes.Equal(o.Primary(), q.primaryKey()) {
		return q.hash, false
	}
	if o.kind() == kindVary {
		return key.Hash(c.seed, q.withSuffix(o)), true
	}
	return q.hash, true
}
