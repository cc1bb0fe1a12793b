package proxy

import (
	"net/url"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
)

// Keyed is the target, path and query, of a page as it is keyed: on the terms of the route that a GET of it has. Routes
// that go by a header are not found without it; of those, all parameters count.
func (g *Generation) Keyed(u *url.URL) []byte {
	q := cache.Request{Path: []byte(u.EscapedPath()), Query: []byte(u.RawQuery), HasQuery: u.RawQuery != "" || u.ForceQuery}
	if len(q.Path) == 0 {
		q.Path = []byte("/")
	}
	r, _ := g.Table.Match(u.Scheme, field.AppendLower(nil, []byte(u.Host)), q.Path, methodGet, nil)
	if r == nil || g.Plans[r.Index].Cache == nil {
		return []byte(u.RequestURI())
	}
	return g.Plans[r.Index].Cache.AppendTarget(nil, &q)
}
