package route

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// name makes the routes of valid configurations and gives each a unique name.
func name(configs []Config) ([]*Route, []conf.Problem) {
	var f findings
	taken := map[string]int{}
	for i := range configs {
		if n := configs[i].Name; n != "" {
			if first, dup := taken[n]; dup {
				f.addf(at(i)+".name", "%q is the name of routes%s already", n, at(first))
			}
			taken[n] = i
		}
	}
	routes := make([]*Route, len(configs))
	for i, c := range configs {
		r := &Route{Config: c, Name: c.Name, Index: i, Kind: c.Kind(), HeaderBound: len(c.Match.Headers) > 0}
		if r.Name == "" {
			r.Name = unused(derivedName(&c), taken)
			taken[r.Name] = i
		}
		if r.Kind == KindRedirect {
			r.location, _ = parseTemplate(c.Redirect.To)
		}
		routes[i] = r
	}
	return routes, f
}

// derivedName makes a name from the first host and path, of the characters a name may have.
func derivedName(c *Config) string {
	m := &c.Match
	s := strings.ToLower(strings.Join(m.Methods, "-") + " " + m.hosts()[0] + " " + m.paths()[0])
	s = strings.Trim(strings.Map(func(r rune) rune {
		if validName(string(r)) {
			return r
		}
		return '-'
	}, s), "-")
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	if s == "" {
		return "all"
	}
	return s[:min(len(s), 48)]
}

func unused(s string, taken map[string]int) string {
	if _, used := taken[s]; !used {
		return s
	}
	for n := 2; ; n++ {
		candidate := fmt.Sprintf("%s-%d", s, n)
		if _, used := taken[candidate]; !used {
			return candidate
		}
	}
}

// sorted walks a map in the order of its keys, so that messages come in the same order every time.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
