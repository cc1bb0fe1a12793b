package cache

import (
	"time"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/internal/field"
)

// A purge is a number: every object remembers the last one from before its fill, and where purges would speak of it
// (package purge). What a later purge hit is found out when it is looked at, so that nothing has to be searched for,
// and a fill that began before a purge does not land after it.

// Epochs is the table of purges. It belongs to the cache; whoever brings purges from other nodes applies them there.
func (c *Cache) Epochs() *purge.Epochs { return c.epochs }

// purged says whether the object was purged since its fill began. While there was none, or none since, that is one
// comparison.
func (c *Cache) purged(o Object) purge.Verdict {
	since := o.Epoch()
	if since >= c.epochs.Latest() {
		return purge.Clean
	}
	return c.epochs.Check(since, o.Cells())
}

// gone reports that the object was purged and is not to be used in any way.
func (c *Cache) gone(o Object) bool { return c.purged(o) == purge.HardPurged }

// A node that is cut off from the others does not learn of purges. Depending on the configuration it goes on with what
// is stored, each object for at most trusted, or asks the origin about everything.

// trusted is how long a node that is cut off goes on with an object without asking.
const trusted = 30 * time.Second

// CutOff tells the cache that it does not learn of purges any more since at.
func (c *Cache) CutOff(at time.Time) { c.cut.Store(max(at.UnixMilli(), 1)) }

// Rejoined tells it that it has learned of all of them and learns again.
func (c *Cache) Rejoined() { c.cut.Store(0) }

// distrusts reports that the object is to be validated because a purge may have been missed.
func (c *Cache) distrusts(o Object, now time.Time) bool {
	cut := c.cut.Load()
	switch {
	case cut == 0:
		return false
	case c.sharing != nil && c.sharing.Suspicious:
		return true
	}
	return now.UnixMilli() > max(cut, o.i64(atReceived))+trusted.Milliseconds()
}

// appendCells finds the places in the table of purges that will speak of the response to q.
func (q *Request) appendCells(fields, own field.List) ([]byte, Reason) {
	all := fields
	if len(own) > 0 {
		all = append(append(make(field.List, 0, len(fields)+len(own)), fields...), own...)
	}
	target := q.Policy.AppendTarget(nil, q)
	cells, ok := purge.AppendCells(nil, purge.Page{Scheme: q.Scheme, Host: q.Host, Path: q.Path, Target: target}, all)
	if !ok {
		return nil, FillTags
	}
	return cells, ""
}

// purgeGroups does what the answer to a write says about groups of the origin's responses (RFC 9875 §3). Where its client
// writes too often for that to take effect at once, what is stored is used until it is renewed.
func (c *Cache) purgeGroups(q *Request, answer field.List, wait time.Duration) {
	names := purge.Invalidated(answer)
	if len(names) == 0 || len(names) > purge.MaxTags {
		return
	}
	var cells []purge.Cell
	for _, name := range names {
		cells = append(cells, purge.Group(q.Scheme, q.Host, name))
	}
	kind := purge.Hard
	if wait > 0 {
		kind = purge.Soft
	}
	if c.sharing != nil {
		c.sharing.Purge(kind, cells)
		return
	}
	c.epochs.Next(kind, cells)
}

// isTag reports whether a field names what a response is purged by and speaks to caches of this kind alone.
func isTag(name []byte) bool {
	return field.EqualFold(name, "Surrogate-Key") || field.EqualFold(name, "Cache-Tag")
}
