package route

import (
	"fmt"
	"slices"
	"strings"
)

// Shadow names a route that can never take a request.
type Shadow struct {
	Route *Route
	By    []*Route // the routes that take every one of its requests first
	Why   string
}

func (s Shadow) String() string {
	var by []string
	for _, r := range s.By {
		by = append(by, fmt.Sprintf("%q (routes%s)", r.Name, at(r.Index)))
	}
	return fmt.Sprintf("this route can never match: %s takes every request first, since %s", strings.Join(by, " with "), s.Why)
}

// Shadowed returns the routes that can never match. Only provable cases are reported. Since the order
// is most specific first, a rule can be hidden by rules with the same scheme, host and path alone: a
// wider one always stands behind. There it is hidden when the earlier rules' conditions follow from its
// own and their methods together hold all of its methods.
func (t *Table) Shadowed() []Shadow {
	hidden := map[*Route][]*rule{}
	visible := map[*Route]bool{}
	for i := 0; i < len(t.rules); {
		j := i + 1
		for j < len(t.rules) && samePlace(t.rules[i], t.rules[j]) {
			j++
		}
		group := t.rules[i:j]
		for k, r := range group {
			if by := hiddenBy(r, group[:k]); by != nil {
				hidden[r.route] = append(hidden[r.route], by...)
			} else {
				visible[r.route] = true
			}
		}
		i = j
	}
	var out []Shadow
	for _, r := range t.routes {
		if by := hidden[r]; by != nil && !visible[r] {
			out = append(out, newShadow(r, by))
		}
	}
	return out
}

// samePlace compares what comes before methods and conditions in the order.
func samePlace(a, b *rule) bool {
	return a.scheme == b.scheme && a.host == b.host && a.path.class == b.path.class && a.path.text == b.path.text
}

// hiddenBy returns the earlier rules that together take all that r could, or nil.
func hiddenBy(r *rule, earlier []*rule) []*rule {
	var by []*rule
	var seen methodSet
	for _, e := range earlier {
		if e.route == r.route || !follows(e.conds, r.conds) {
			continue
		}
		if e.methods.all() {
			return []*rule{e}
		}
		by = append(by, e)
		seen.bits |= e.methods.bits
		seen.other = append(seen.other, e.methods.other...)
	}
	if r.methods.all() || r.methods.bits&^seen.bits != 0 {
		return nil
	}
	for _, m := range r.methods.other {
		if !slices.Contains(seen.other, m) {
			return nil
		}
	}
	return by
}

// follows reports whether every one of conds is implied by one of given.
func follows(conds, given []condition) bool {
	for _, c := range conds {
		if !slices.ContainsFunc(given, func(g condition) bool { return g.implies(c) }) {
			return false
		}
	}
	return true
}

func newShadow(r *Route, by []*rule) Shadow {
	s := Shadow{Route: r}
	why := "scheme, host and path are the same"
	for _, b := range by {
		if !slices.Contains(s.By, b.route) {
			s.By = append(s.By, b.route)
		}
		if !b.methods.all() {
			why = "scheme, host and path are the same and it has all of the methods"
		}
	}
	if len(r.Config.Match.Headers) > 0 {
		why += ", its header conditions hold whenever this route's do"
	}
	s.Why = why + ", and it comes earlier in the order"
	return s
}
