package route

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// The reference matcher tries every host and path of every route, by regular expressions, and ranks
// what matches by a tuple written down from the package comment. It shares nothing with the table.

// refMemo keeps compiled expressions; one run compiles the same few hundred again and again.
var refMemo sync.Map

func refCompile(expr string) *regexp.Regexp {
	if re, ok := refMemo.Load(expr); ok {
		return re.(*regexp.Regexp)
	}
	re := regexp.MustCompile(expr)
	refMemo.Store(expr, re)
	return re
}

type refRule struct {
	name string
	rank []int // smaller goes first, compared element by element
}

func refMatch(configs []Config, scheme, host, path, method string, fields field.List) string {
	best := refRule{name: "-"}
	for i, c := range configs {
		for _, h := range c.Match.hosts() {
			for _, p := range c.Match.paths() {
				m := c.Match
				if m.Scheme != "" && m.Scheme != scheme || !refHost(h, host) || !refPath(p, path) ||
					!refMethod(m.Methods, method) || !refHeaders(m.Headers, fields) {
					continue
				}
				r := refRule{c.Name, refRank(m, h, p, i)}
				if best.rank == nil || slices.Compare(r.rank, best.rank) < 0 {
					best = r
				}
			}
		}
	}
	return best.name
}

func refHost(pattern, host string) bool {
	host = strings.ToLower(strings.TrimSuffix(refCompile(`:[0-9]*$`).ReplaceAllString(host, ""), "."))
	if pattern == "" {
		return true
	}
	expr := regexp.QuoteMeta(pattern)
	expr = strings.Replace(expr, `\*`, `.+`, 1)
	return refCompile("(?s)^" + expr + "$").MatchString(host)
}

func refPath(pattern, path string) bool {
	if pattern == "" {
		return true
	}
	if path == "" {
		path = "/"
	}
	expr := regexp.QuoteMeta(pattern)
	if rest, ok := strings.CutSuffix(expr, `/\*\*`); ok {
		expr = rest + "/TAIL"
	} else if rest, ok := strings.CutSuffix(expr, `\*`); ok {
		expr = rest + "TAIL"
	}
	expr = strings.ReplaceAll(expr, `/\*\*/`, "/(DEEP)")
	for strings.Contains(expr, `(DEEP)\*\*/`) { // neighbours share a slash
		expr = strings.ReplaceAll(expr, `(DEEP)\*\*/`, "(DEEP)")
	}
	expr = strings.ReplaceAll(expr, `\*`, `[^/]+`)
	expr = strings.ReplaceAll(expr, "(DEEP)", `([^/]*/)*`)
	expr = strings.ReplaceAll(expr, "TAIL", `.*`)
	return refCompile("(?s)^" + expr + "$").MatchString(path)
}

func refMethod(list []string, method string) bool {
	return len(list) == 0 || slices.Contains(list, method) || method == "HEAD" && slices.Contains(list, "GET")
}

func refHeaders(list []HeaderMatch, fields field.List) bool {
	for _, h := range list {
		if !slices.ContainsFunc(fields, func(f field.Field) bool {
			v := string(f.Value)
			return strings.EqualFold(string(f.Name), h.Name) && (h.Equals == "" || v == h.Equals) && strings.HasPrefix(v, h.Prefix)
		}) {
			return false
		}
	}
	return true
}

func refRank(m MatchConfig, host, path string, index int) []int {
	rank := []int{-len(m.Scheme)}
	switch {
	case host == "":
		rank = append(rank, 2, 0)
	case host[0] == '*':
		rank = append(rank, 1, -len(host))
	default:
		rank = append(rank, 0, 0)
	}
	if strings.HasSuffix(path, "/**") {
		path = path[:len(path)-1]
	}
	first := strings.IndexByte(path, '*')
	switch {
	case path == "" || path == "/*":
		rank = append(rank, 2, 0, 0, 0, 0)
	case first < 0:
		rank = append(rank, 0, 0, 0, 0, 0)
	default:
		stars, deep := strings.Count(path, "*"), strings.Count(path, "**")
		rank = append(rank, 1, -first, stars-len(path), deep, stars-2*deep)
	}
	methods := 1000
	if len(m.Methods) > 0 {
		methods = len(m.Methods)
		if slices.Contains(m.Methods, "GET") && !slices.Contains(m.Methods, "HEAD") {
			methods++
		}
	}
	equals, prefixes := 0, 0
	for _, h := range m.Headers {
		if h.Equals != "" {
			equals++
		} else if h.Prefix != "" {
			prefixes += 1 + len(h.Prefix)
		}
	}
	return append(rank, methods, -len(m.Headers), -equals, -prefixes, index)
}

// source makes random configurations and requests over a small alphabet, so that they collide.
type source struct{ *rand.Rand }

func (s source) pick(list ...string) string { return list[s.IntN(len(list))] }

func (s source) path(pattern bool) string {
	segments := []string{"a", "b", "ab", "c"}
	if pattern {
		segments = append(segments, "*", "*", "a*", "*b", "**", "a*b")
	} else {
		segments = append(segments, "aab", "", "axb")
	}
	out := ""
	for range 1 + s.IntN(4) {
		out += "/" + s.pick(segments...)
	}
	return out
}

func (s source) match() MatchConfig {
	m := MatchConfig{Scheme: s.pick("", "", "", "http", "https"), Host: s.pick("", "", "x.t", "y.x.t", "*.t", "*.x.t")}
	if s.IntN(4) > 0 {
		m.Path = s.path(true)
	}
	for _, name := range []string{"GET", "HEAD", "POST", "BREW"} {
		if s.IntN(5) == 0 {
			m.Methods = append(m.Methods, name)
		}
	}
	for _, name := range []string{"H1", "H2"} {
		switch s.IntN(8) {
		case 0:
			m.Headers = append(m.Headers, HeaderMatch{Name: name})
		case 1:
			m.Headers = append(m.Headers, HeaderMatch{Name: name, Prefix: s.pick("v", "vv")})
		case 2:
			m.Headers = append(m.Headers, HeaderMatch{Name: name, Equals: s.pick("v", "vv")})
		}
	}
	return m
}

func TestAgainstReference(t *testing.T) {
	s := source{rand.New(rand.NewPCG(7, 11))}
	for round := range 600 {
		var configs []Config
		for i := range 1 + s.IntN(12) {
			c := to(fmt.Sprintf("r%d", i), s.match())
			if len(c.Validate()) == 0 {
				configs = append(configs, c)
			}
		}
		tab, problems := New(configs)
		if tab == nil {
			t.Fatal(problems)
		}
		shadowed := map[string]bool{}
		for _, sh := range tab.Shadowed() {
			shadowed[sh.Route.Name] = true
		}
		for range 40 {
			scheme, host := s.pick("http", "https"), s.pick("x.t", "X.t:80", "y.x.t.", "z.x.t", "q", "t")
			path, method := s.path(false), s.pick("GET", "HEAD", "POST", "BREW", "PUT")
			var fields field.List
			for _, n := range []string{"h1", "h2"} {
				if s.IntN(2) == 0 {
					fields.AddString(n, s.pick("v", "vv", "w"))
				}
			}
			want := refMatch(configs, scheme, host, path, method, fields)
			r, reason := tab.Match(scheme, []byte(host), []byte(path), []byte(method), fields)
			got := "-"
			if r != nil {
				got = r.Name
			}
			if reason == AmbiguousPath && strings.Contains(path, "//") {
				continue
			}
			if got != want {
				t.Fatalf("round %d: %s %s://%s%s %q: got %s, want %s in %+v", round, method, scheme, host, path, fields, got, want, configs)
			}
			if shadowed[got] {
				t.Fatalf("%s matched but is reported as shadowed in %+v", got, configs)
			}
		}
	}
}

// FuzzPattern holds the glob matcher against regular expressions.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{
		{"/a/*", "/a/b/c"}, {"/a/**/b", "/a/b"}, {"/**/a/**/b*", "/a/x/a/b/bc"}, {"/a*b/c", "/aab/c"}, {"/*/", "/x/"},
		{"/**/**/x", "/x"}, {"/a/**/b/*", "/a/b/b/"}, {"/*a/**", "/ba/"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		p, err := parsePath(text)
		if err != nil || p.class != pathPattern || strings.Contains(text, "%") || len(path) > 200 {
			return
		}
		got := hasPrefix([]byte(path), p.lit) && p.match([]byte(path))
		if want := refPath(text, path); got != want {
			t.Fatalf("%q on %q: got %v, want %v", text, path, got, want)
		}
	})
}

// FuzzMatch feeds raw bytes to a table with everything in it. Whatever the spelling, what some reading
// takes for an admin page must never reach the site.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"/admin/x", "/%61dmin%2fx", "//admin/./x", "/a;b/../admin", "/%252e%252e/admin", "*", "", `/\..\admin/`, "/a/%", "/%00"} {
		f.Add("h.example", s, "GET")
	}
	deny := DefaultItem()
	deny.Name, deny.Match.Paths, deny.Respond.Status = "deny", []string{"/admin", "/admin/*"}, 403
	tab := table(f, deny, to("site", MatchConfig{}), to("api", MatchConfig{Host: "*.example", Path: "/api/**/x"}))
	f.Fuzz(func(t *testing.T, host, path, method string) {
		before := path
		r, reason := tab.Match("https", []byte(host), []byte(path), []byte(method), nil)
		if (r == nil) == (reason == Matched) {
			t.Fatalf("%q: route %v with reason %q", path, r, reason)
		}
		if path != before {
			t.Fatalf("%q was changed", before)
		}
		if r == nil || r.Name == "deny" || path == "" || path[0] != '/' {
			return
		}
		for _, how := range readings {
			read := string(how.append(nil, []byte(path)))
			if read == "/admin" || strings.HasPrefix(read, "/admin/") {
				t.Fatalf("%q went to %s but reads as %q", path, r.Name, read)
			}
		}
	})
}
