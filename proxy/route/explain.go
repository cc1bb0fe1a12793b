package route

import (
	"fmt"
	"strings"
)

// Place is one line of the table in the order in which requests try it.
type Place struct {
	Route   *Route
	Scheme  string // "" for both
	Host    string // "*" for any
	Path    string // "/*" for any
	Methods string // "" for any
	Headers string
	Does    string // what becomes of the request
}

// Explain returns the table in matching order, one line for each host and path of a route.
func (t *Table) Explain() []Place {
	out := make([]Place, 0, len(t.rules))
	for _, r := range t.rules {
		p := Place{
			Route: r.route, Scheme: r.scheme, Host: r.host.String(), Path: r.path.text,
			Methods: strings.Join(r.methods.names(), ","), Does: r.route.Does(),
		}
		var conds []string
		for _, c := range r.conds {
			conds = append(conds, c.String())
		}
		p.Headers = strings.Join(conds, "; ")
		out = append(out, p)
	}
	return out
}

// String shows the line's conditions, for messages and `tzero explain`.
func (p Place) String() string {
	s := p.Host + p.Path
	if p.Scheme != "" {
		s = p.Scheme + "://" + s
	}
	if p.Methods != "" {
		s = p.Methods + " " + s
	}
	if p.Headers != "" {
		s += " [" + p.Headers + "]"
	}
	return s
}

// Does says in a few words what the route does with a request.
func (r *Route) Does() string {
	switch r.Kind {
	case KindRedirect:
		return fmt.Sprintf("redirect %d %s", r.Config.redirectStatus(), r.Config.Redirect.To)
	case KindRespond:
		return fmt.Sprintf("respond %d", r.Config.Respond.Status)
	}
	return "origin " + r.Config.Origin
}
