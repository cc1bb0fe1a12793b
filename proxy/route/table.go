// Package route holds the routing table: from scheme, host, path, method and headers of a request to
// the one route that takes it.
//
// # Order
//
// Of all routes that match, the most specific takes the request. In this order, each line deciding
// only where those above it tie:
//
//  1. routes bound to a scheme before those that are not (so that http→https is one route);
//  2. host: exact name, then wildcards, the longer first, then any host;
//  3. path: exact path, then patterns, the longer part before the first wildcard first, then more
//     literal bytes, fewer **, fewer *; then any path;
//  4. routes with methods before those without, fewer methods first;
//  5. more header conditions first; among as many, equality before prefix before presence;
//  6. the order of the file.
//
// A request whose method or headers do not suit the most specific route goes on to the next. Hosts are
// compared without case, port and trailing dot; paths as spelling.go says.
//
// The package is pure: a [Table] is immutable data, and matching allocates nothing.
package route

import (
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Route is one compiled item of the configuration. It is shared by all requests: read only.
type Route struct {
	Config Config
	Name   string // as configured, or made from host and path; unique in the table
	Index  int    // place in the configuration's list
	Kind   Kind

	// HeaderBound is set when request headers took part in choosing the route. Such a route can share
	// host, path and query with another one, so that its cached answers need a key of their own.
	HeaderBound bool

	location template
}

// MissReason says why no route took a request; it is one of the words shared by logs and metrics.
type MissReason string

// The reasons. Matched is the empty one.
const (
	Matched       MissReason = ""
	UnknownHost   MissReason = "unknown-host"       // no route names the host: 421
	NoRoute       MissReason = "no-route"           // host known, no route for the path: 404
	WrongMethod   MissReason = "method-not-allowed" // only other methods have a route: 405 with Allow
	AmbiguousPath MissReason = "ambiguous-path"     // another reading of the path selects another route: 400
)

// Table is a compiled, immutable set of routes.
type Table struct {
	routes  []*Route
	rules   []*rule // in order
	schemes map[string]*hostTable
	any     *hostTable // rules bound to no scheme
	choice  bool       // some rule has a path: readings can differ
}

// hostTable finds rules by host.
type hostTable struct {
	exact map[string]*pathTable
	wild  map[string]*pathTable // by suffix with its leading dot
	any   *pathTable
}

// pathTable finds the rules of one host by path.
type pathTable struct {
	exact    map[string][]*rule
	prefixes []prefix // sorted by lit
	any      []*rule
}

// prefix holds the pattern rules whose bytes before the first wildcard are lit. parent is the longest
// other prefix of the table that is a prefix of lit, or -1.
type prefix struct {
	lit    string
	parent int
	rules  []*rule
}

// New compiles the routes. The problems' paths begin with the item's index. The table is nil when an
// item is invalid; routes that can never match ([Table.Shadowed]) are problems too, but the table is
// there, so that a caller can show it.
func New(configs []Config) (*Table, []conf.Problem) {
	var problems []conf.Problem
	for i := range configs {
		problems = append(problems, conf.Under(at(i), configs[i].Validate())...)
	}
	routes, dup := name(configs)
	problems = append(problems, dup...)
	if len(problems) > 0 {
		return nil, problems
	}
	t := &Table{routes: routes, schemes: map[string]*hostTable{}, any: newHostTable()}
	for _, r := range routes {
		t.rules = append(t.rules, rulesOf(r)...)
	}
	slices.SortFunc(t.rules, compare)
	for _, r := range t.rules {
		t.index(r)
	}
	t.link()
	for _, s := range t.Shadowed() {
		problems = append(problems, conf.Problem{Path: at(s.Route.Index), Reason: s.String()})
	}
	return t, problems
}

// Routes returns the routes in the order of the configuration.
func (t *Table) Routes() []*Route { return t.routes }

// rulesOf expands a valid route into its rules, one for each host and path.
func rulesOf(r *Route) []*rule {
	m := &r.Config.Match
	methods, conds := newMethodSet(m.Methods), newConditions(m.Headers)
	var out []*rule
	for _, h := range m.hosts() {
		for _, p := range m.paths() {
			host, _ := parseHost(h) // Validate has seen them
			path, _ := parsePath(p)
			out = append(out, &rule{route: r, scheme: m.Scheme, host: host, path: path, methods: methods, conds: conds})
		}
	}
	return out
}

func newHostTable() *hostTable {
	return &hostTable{exact: map[string]*pathTable{}, wild: map[string]*pathTable{}, any: &pathTable{}}
}

// index files a rule. Rules come in order, so every list in the tables is in order.
func (t *Table) index(r *rule) {
	ht := t.any
	if r.scheme != "" {
		if ht = t.schemes[r.scheme]; ht == nil {
			ht = newHostTable()
			t.schemes[r.scheme] = ht
		}
	}
	pt := ht.any
	switch r.host.class {
	case hostExact:
		pt = pathTableOf(ht.exact, r.host.name)
	case hostWild:
		pt = pathTableOf(ht.wild, r.host.name)
	}
	t.choice = t.choice || r.path.class != pathAny
	pt.add(r)
}

func pathTableOf(m map[string]*pathTable, name string) *pathTable {
	pt := m[name]
	if pt == nil {
		pt = &pathTable{}
		m[name] = pt
	}
	return pt
}

func (pt *pathTable) add(r *rule) {
	switch r.path.class {
	case pathAny:
		pt.any = append(pt.any, r)
	case pathExact:
		if pt.exact == nil {
			pt.exact = map[string][]*rule{}
		}
		pt.exact[r.path.lit] = append(pt.exact[r.path.lit], r)
	default:
		pt.addPrefix(r)
	}
}

func (pt *pathTable) addPrefix(r *rule) {
	i, found := slices.BinarySearchFunc(pt.prefixes, r.path.lit, func(p prefix, lit string) int {
		return strings.Compare(p.lit, lit)
	})
	if !found {
		pt.prefixes = slices.Insert(pt.prefixes, i, prefix{lit: r.path.lit})
	}
	pt.prefixes[i].rules = append(pt.prefixes[i].rules, r)
}

// link completes the index.
func (t *Table) link() {
	t.any.link()
	for _, ht := range t.schemes {
		ht.link()
	}
}

func (ht *hostTable) link() {
	ht.any.link()
	for _, pt := range ht.exact {
		pt.link()
	}
	for _, pt := range ht.wild {
		pt.link()
	}
}

// link sets the parents, once all prefixes are known. Sorted, the ancestors of a prefix stand before
// it, and the longest is found on its predecessor's chain.
func (pt *pathTable) link() {
	for i := range pt.prefixes {
		p := i - 1
		for p >= 0 && !hasPrefix([]byte(pt.prefixes[i].lit), pt.prefixes[p].lit) {
			p = pt.prefixes[p].parent
		}
		pt.prefixes[i].parent = p
	}
}
