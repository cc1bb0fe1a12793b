package proxy

import (
	"maps"
	"slices"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/route"
	"github.com/tzero-edge/tzero/ratelimit"
)

// Generation is everything that a configuration decides about requests: immutable data, swapped whole.
// A request pins one and keeps it until its end. It starts no goroutine and owns nothing that has to be
// closed; long-lived services are handed to it as references.
type Generation struct {
	Number uint64
	Hash   string // of the effective configuration
	Since  time.Time

	Table   *route.Table
	Plans   []Plan // by route.Route.Index
	Clients *headers.Policy
	Encoder *encode.Encoder
	Limits  *ratelimit.Set
}

// Plan is what a route's configuration was compiled to.
type Plan struct {
	Route      *route.Route
	Pool       *origin.Pool // nil for redirects and fixed answers
	OriginName string
	ThirdParty bool

	Cache     *cache.Policy
	Timeouts  origin.Timeouts
	BodyLimit int64         // bytes; 0: none
	BodyTime  time.Duration // for the whole content of a request; 0: no bound
	Request   *headers.Changes
	Response  *headers.Changes
	Compress  encode.Mode
	Limits    ratelimit.Chain
	Fixed     *FixedAnswer
}

// FixedAnswer is a response that a route spells out.
type FixedAnswer struct {
	body   []byte
	fields field.List
}

// Fixed makes a FixedAnswer.
func Fixed(body, contentType string, more map[string]string) *FixedAnswer {
	f := &FixedAnswer{body: []byte(body)}
	if contentType == "" {
		contentType = "text/plain; charset=utf-8"
	}
	if body != "" {
		f.fields.AddString("Content-Type", contentType)
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		f.fields.AddString(name, more[name])
	}
	return f
}

// RouteNames lists the routes in the order of the configuration.
func (g *Generation) RouteNames() []string {
	names := make([]string, len(g.Plans))
	for i := range g.Plans {
		names[i] = g.Plans[i].Route.Name
	}
	return names
}
