package cache

import (
	"net/url"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// Invalidate makes what is stored under q's key, in all variants, unreachable, and keeps answers that were
// asked for before now from being stored, or joined by requests that begin later (RFC 9111 §4.4).
func (c *Cache) Invalidate(q *Request, now time.Time) {
	q.buildKey(c)
	c.writes.note(q.hash, now)
	c.fills.update(q.hash, q.primaryKey(), func(s *slot) {
		for _, f := range s.fills {
			f.mu.Lock()
			f.invalidated, f.reason = true, FillInvalidated
			f.mu.Unlock()
		}
		s.record = Object{}
	})
	c.tier.Del(q.hash)
}

// InvalidateRelated does the same for the targets that the answer to an unsafe request names in Location and
// Content-Location, where they are of the same origin as q; others are none of q's business (RFC 9111 §4.4).
func (c *Cache) InvalidateRelated(q *Request, answer field.List, now time.Time) {
	for _, name := range [...]string{"Location", "Content-Location"} {
		if ref := answer.Get(name); ref != nil {
			if r, ok := q.related(string(ref)); ok {
				c.Invalidate(r, now)
			}
		}
	}
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
