package proxy

import (
	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/internal/field"
)

// Keyed is the target, path and query, of a page as it is keyed: on the terms of the route that a GET of it has. Routes
// that go by a header are not found without it; of those, all parameters count.
func (g *Generation) Keyed(a *purge.Address) []byte {
	q := cache.Request{Path: []byte(a.Path), Query: []byte(a.Query), HasQuery: a.HasQuery}
	r, _ := g.Table.Match(a.Scheme, field.AppendLower(nil, []byte(a.Host)), q.Path, methodGet, nil)
	if r == nil || g.Plans[r.Index].Cache == nil {
		whole := a.Path
		if a.HasQuery {
			whole += "?" + a.Query
		}
		return []byte(whole)
	}
	return g.Plans[r.Index].Cache.AppendTarget(nil, &q)
}
