package route

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// to makes a route that sends to an origin called like itself.
func to(name string, m MatchConfig) Config {
	c := DefaultItem()
	c.Name, c.Match, c.Origin = name, m, "app"
	return c
}

func table(t testing.TB, configs ...Config) *Table {
	t.Helper()
	tab, problems := New(configs)
	if len(problems) > 0 {
		t.Fatalf("New: %v", problems)
	}
	return tab
}

// ask matches a request written as "METHOD scheme://host/path Name:value …" and returns the route's name
// or the reason.
func ask(t testing.TB, tab *Table, request string) string {
	t.Helper()
	parts := strings.Fields(request)
	scheme, rest, ok := strings.Cut(parts[1], "://")
	if !ok {
		t.Fatalf("bad request %q", request)
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if hasPath {
		path = "/" + path
	}
	var fields field.List
	for _, h := range parts[2:] {
		name, value, _ := strings.Cut(h, ":")
		fields.AddString(name, value)
	}
	r, reason := tab.Match(scheme, []byte(host), []byte(path), []byte(parts[0]), fields)
	if r == nil {
		return string(reason)
	}
	if reason != Matched {
		t.Fatalf("%s: route %s with reason %q", request, r.Name, reason)
	}
	return r.Name
}

func TestMatchOrder(t *testing.T) {
	check := func(name string, tab *Table, request, want string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			if got := ask(t, tab, request); got != want {
				t.Errorf("%s: got %s, want %s", request, got, want)
			}
		})
	}
	hosts := table(t,
		to("any", MatchConfig{}),
		to("wild", MatchConfig{Host: "*.example.com"}),
		to("deep", MatchConfig{Host: "*.a.example.com"}),
		to("exact", MatchConfig{Host: "www.example.com"}),
		to("v6", MatchConfig{Host: "[2001:DB8::1]"}))
	check("exact host", hosts, "GET http://www.example.com/", "exact")
	check("host without case", hosts, "GET http://WWW.Example.COM/", "exact")
	check("host with port", hosts, "GET http://www.example.com:8080/", "exact")
	check("host with an empty port", hosts, "GET http://www.example.com:/", "exact")
	check("host with trailing dot", hosts, "GET http://www.example.com.:80/", "exact")
	check("wildcard", hosts, "GET http://shop.example.com/", "wild")
	check("wildcard takes several labels", hosts, "GET http://x.y.example.com/", "wild")
	check("longer wildcard", hosts, "GET http://x.a.example.com/", "deep")
	check("the base of a longer wildcard", hosts, "GET http://a.example.com/", "wild")
	check("wildcard leaves the apex", hosts, "GET http://example.com/", "any")
	check("wildcard needs a label", hosts, "GET http://.example.com/", "any")
	check("suffix without dot", hosts, "GET http://badexample.com/", "any")
	check("address", hosts, "GET http://[2001:db8::1]:443/", "v6")
	check("overlong host", hosts, "GET http://"+strings.Repeat("a.", 200)+"example.com/", "any")

	paths := table(t,
		to("any", MatchConfig{}),
		to("users", MatchConfig{Path: "/users/*"}),
		to("edit", MatchConfig{Path: "/users/*/edit"}),
		to("new", MatchConfig{Path: "/users/new"}),
		to("css", MatchConfig{Path: "/assets/*.css"}),
		to("assets", MatchConfig{Path: "/assets/**"}),
		to("img", MatchConfig{Path: "/img*"}),
		to("deepmap", MatchConfig{Path: "/maps/**/tile/*"}),
		to("escaped", MatchConfig{Path: "/caf%c3%a9"}),
		to("slug", MatchConfig{Path: "/x/[slug]/*"}))
	check("exact path", paths, "GET http://h/users/new", "new")
	check("exact before glob", paths, "GET http://h/users/new/edit", "edit")
	check("glob", paths, "GET http://h/users/7/edit", "edit")
	check("glob takes one segment", paths, "GET http://h/users/7/8/edit", "users")
	check("glob needs a segment", paths, "GET http://h/users/", "users")
	check("prefix needs its slash", paths, "GET http://h/users", "any")
	check("part of a segment", paths, "GET http://h/assets/app.css", "css")
	check("part of a segment, at least a byte", paths, "GET http://h/assets/.css", "assets")
	check("part of a segment, no slash", paths, "GET http://h/assets/a/b.css", "assets")
	check("prefix within a segment", paths, "GET http://h/img-1/a", "img")
	check("prefix within a segment, nothing more", paths, "GET http://h/img", "img")
	check("any depth, none", paths, "GET http://h/maps/tile/3", "deepmap")
	check("any depth, two", paths, "GET http://h/maps/a/b/tile/3/4", "deepmap")
	check("any depth, tried again", paths, "GET http://h/maps/tile", "any")
	check("any depth, last tile counts", paths, "GET http://h/maps/tilex/tile/", "deepmap")
	check("empty path", paths, "GET http://h", "any")
	check("asterisk", paths, "OPTIONS http://h*", "any")
	check("escape, lower-case digits", paths, "GET http://h/caf%c3%a9", "escaped")
	check("escape, upper-case digits", paths, "GET http://h/caf%C3%A9", "escaped")
	check("escape of a plain character", paths, "GET http://h/%75sers/new", "new")
	check("brackets as browsers send them", paths, "GET http://h/x/%5Bslug%5D/p.js", "slug")
	check("paths keep their case", paths, "GET http://h/Users/new", "any")

	methods := table(t,
		to("writes", MatchConfig{Path: "/api/*"}),
		to("reads", MatchConfig{Path: "/api/*", Methods: []string{"GET"}}),
		to("search", MatchConfig{Path: "/api/*", Methods: []string{"GET", "POST"}, Headers: []HeaderMatch{{Name: "X-Search"}}}),
		to("report", MatchConfig{Path: "/only", Methods: []string{"POST", "BREW"}}))
	check("read", methods, "GET http://h/api/1", "reads")
	check("HEAD with GET", methods, "HEAD http://h/api/1", "reads")
	check("write", methods, "POST http://h/api/1", "writes")
	check("unknown method", methods, "FROB http://h/api/1", "writes")
	check("fewer methods first", methods, "GET http://h/api/1 X-Search:1", "reads")
	check("then the header", methods, "POST http://h/api/1 X-Search:1", "search")
	check("wrong method", methods, "GET http://h/only", "method-not-allowed")
	check("methods keep their case", methods, "post http://h/only", "method-not-allowed")
	check("extension method", methods, "BREW http://h/only", "report")
	check("wrong path", methods, "GET http://h/other", "no-route")

	conds := table(t,
		to("plain", MatchConfig{}),
		to("present", MatchConfig{Headers: []HeaderMatch{{Name: "Accept"}}}),
		to("prefix", MatchConfig{Headers: []HeaderMatch{{Name: "Accept", Prefix: "text/"}}}),
		to("longer", MatchConfig{Headers: []HeaderMatch{{Name: "accept", Prefix: "text/x"}}}),
		to("equals", MatchConfig{Headers: []HeaderMatch{{Name: "Accept", Equals: "text/x-component"}}}),
		to("two", MatchConfig{Headers: []HeaderMatch{{Name: "Accept"}, {Name: "RSC", Equals: "1"}}}))
	check("no header", conds, "GET http://h/", "plain")
	check("present", conds, "GET http://h/ ACCEPT:a", "present")
	check("prefix", conds, "GET http://h/ Accept:text/html", "prefix")
	check("longer prefix", conds, "GET http://h/ Accept:text/xml", "longer")
	check("equals", conds, "GET http://h/ Accept:text/x-component", "equals")
	check("a second line", conds, "GET http://h/ Accept:a Accept:text/x-component", "equals")
	check("two conditions", conds, "GET http://h/ Accept:text/x-component RSC:1", "two")

	schemes := table(t,
		to("site", MatchConfig{Host: "example.com"}),
		to("acme", MatchConfig{Scheme: "http", Path: "/.well-known/acme-challenge/*"}),
		to("upgrade", MatchConfig{Scheme: "http"}))
	check("scheme before host", schemes, "GET http://example.com/x", "upgrade")
	check("more specific under a scheme", schemes, "GET http://example.com/.well-known/acme-challenge/x", "acme")
	check("other scheme", schemes, "GET https://example.com/x", "site")
	check("unknown host under the other scheme", schemes, "GET https://other/x", "no-route")

	closed := table(t, to("a", MatchConfig{Host: "a.example", Path: "/a"}), to("b", MatchConfig{Host: "*.b.example"}))
	check("unknown host", closed, "GET http://c.example/", "unknown-host")
	check("no host", closed, "GET http:///", "unknown-host")
	check("known host", closed, "GET http://a.example/b", "no-route")
	check("host beneath a known one", closed, "GET http://x.a.example/a", "unknown-host")
}

// The table hides the admin pages; every spelling that some origin may take for them must be refused
// or hidden too, and honest paths must pass.
func TestAmbiguousPaths(t *testing.T) {
	deny := DefaultItem()
	deny.Name, deny.Match.Paths, deny.Respond.Status = "deny", []string{"/admin", "/admin/*", "/api/internal/*"}, 403
	tab := table(t, deny, to("site", MatchConfig{}), to("api", MatchConfig{Path: "/api/*"}), to("project", MatchConfig{Path: "/api/projects/*/raw"}))
	for path, want := range map[string]string{
		"/admin":                            "deny",
		"/admin/x":                          "deny",
		"/%61dmin/x":                        "deny",
		"/admin%2Fx":                        "ambiguous-path",
		"/admin%2fx":                        "ambiguous-path",
		`/admin\x`:                          "ambiguous-path",
		"/admin%5cx":                        "ambiguous-path",
		"//admin/x":                         "ambiguous-path",
		"/a/../admin/x":                     "ambiguous-path",
		"/./admin":                          "ambiguous-path",
		"/admin/.":                          "deny",
		"/a/%2e%2e/admin/x":                 "ambiguous-path",
		"/a/.%2E/admin":                     "ambiguous-path",
		"/a%2f..%2fadmin":                   "ambiguous-path",
		"/a/..;/admin/x":                    "ambiguous-path",
		"/admin;v=1/x":                      "ambiguous-path",
		"/admin%3Bv=1/x":                    "ambiguous-path",
		"/admin;":                           "ambiguous-path",
		"/%2561dmin/x":                      "ambiguous-path",
		"/a/%252e%252e/admin":               "ambiguous-path",
		"/admin%3Fx":                        "ambiguous-path",
		"/admin%23":                         "ambiguous-path",
		"/admin%00.css":                     "ambiguous-path",
		"/admin/../x":                       "ambiguous-path",
		"/api/../x":                         "ambiguous-path",
		"/api//internal/x":                  "ambiguous-path",
		"/api/x/..%2f..%2f/admin":           "ambiguous-path",
		"/api/projects/a%2Fb/raw":           "ambiguous-path",
		"/api/projects/a/raw":               "project",
		"/api/files/a%2Fb":                  "api",
		"/api/a//b":                         "api",
		"/api/a;v=1/b":                      "api",
		"/api/100%25":                       "api",
		"/api/a/../b":                       "api",
		"/Admin":                            "site",
		"/administrator":                    "site",
		"/.well-known/security.txt":         "site",
		"/a..b/..c/d..":                     "site",
		"/caf%C3%A9/%E2%82%AC%20x":          "site",
		"/broken%zz%":                       "site",
		"/x/" + strings.Repeat("a%2F", 500): "site",
		"/x/" + strings.Repeat("a%2F", 600): "ambiguous-path",
		"/x/" + strings.Repeat("a%20", 900): "site",
		"/%40user/%7Ejo/a%2Bb/%5Bx%5D":      "site",
	} {
		if got := ask(t, tab, "GET http://h"+path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	written, reading, other := tab.OtherReading("http", []byte("h"), []byte("/a/%2e%2e/admin/x"), []byte("GET"), nil)
	if written.Name != "site" || reading != "/admin/x" || other.Name != "deny" {
		t.Errorf("explained as %v, %q, %v", written, reading, other)
	}
	open := table(t, to("all", MatchConfig{}))
	if got := ask(t, open, "GET http://h/a/../%2e%2e%2fb;c//d"); got != "all" {
		t.Errorf("a table without choice refused a path: %s", got)
	}
}

func TestAllow(t *testing.T) {
	tab := table(t,
		to("a", MatchConfig{Path: "/a", Methods: []string{"GET", "BREW"}}),
		to("b", MatchConfig{Path: "/a", Methods: []string{"POST"}, Headers: []HeaderMatch{{Name: "X"}}}),
		to("c", MatchConfig{Path: "/*", Methods: []string{"DELETE", "BREW"}}))
	got := string(tab.AppendAllow([]byte("Allow: "), "http", []byte("h"), []byte("/%61"), nil))
	if want := "Allow: GET, HEAD, DELETE, BREW"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestShadowed(t *testing.T) {
	check := func(name, want string, configs ...Config) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			tab, problems := New(configs)
			if tab == nil {
				t.Fatal(problems)
			}
			got := ""
			for _, s := range tab.Shadowed() {
				got += s.Route.Name + "<"
				for _, by := range s.By {
					got += by.Name
				}
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if (got != "") != (len(problems) > 0) {
				t.Errorf("problems: %v", problems)
			}
		})
	}
	m := func(path string, methods ...string) MatchConfig { return MatchConfig{Path: path, Methods: methods} }
	h := func(list ...HeaderMatch) MatchConfig { return MatchConfig{Headers: list} }
	check("the same twice", "b<a", to("a", m("/x")), to("b", m("/x")))
	check("any path in two spellings", "b<a", to("a", m("/*")), to("b", m("")))
	check("a pattern in two spellings", "b<a", to("a", m("/x/*")), to("b", m("/x/**")))
	check("an escape in two spellings", "b<a", to("a", m("/%7Ex")), to("b", m("/~x")))
	check("a prefix above an exact path hides nothing", "", to("a", m("/x/*")), to("b", m("/x/y")))
	check("HEAD is in GET", "b<a", to("a", m("/x", "GET")), to("b", MatchConfig{Path: "/x", Methods: []string{"HEAD", "GET"}}))
	check("HEAD alone is more specific", "", to("a", m("/x", "GET")), to("b", m("/x", "HEAD")))
	check("two together hide a third", "c<ab", to("a", m("/x", "GET")), to("b", m("/x", "POST", "PUT")), to("c", m("/x", "GET", "POST", "PUT")))
	check("two together but for one method", "", to("a", m("/x", "GET")), to("b", m("/x", "POST")), to("c", m("/x", "GET", "POST", "PUT")))
	check("a read/write split", "", to("a", m("/x", "GET", "HEAD")), to("b", m("/x")))
	check("presence first in the file", "", to("a", h(HeaderMatch{Name: "X"})), to("b", h(HeaderMatch{Name: "X", Equals: "1"})))
	check("the same condition", "b<a", to("a", h(HeaderMatch{Name: "x", Prefix: "1"})), to("b", h(HeaderMatch{Name: "X", Prefix: "1"})))
	check("one of two hosts", "", to("a", MatchConfig{Host: "a.example"}), to("b", MatchConfig{Hosts: []string{"a.example", "b.example"}}))
	check("both hosts, by two routes", "c<ab", to("a", MatchConfig{Host: "a.example"}), to("b", MatchConfig{Host: "b.example"}),
		to("c", MatchConfig{Hosts: []string{"A.example", "b.example."}}))
	check("another scheme", "", to("a", MatchConfig{Scheme: "http"}), to("b", MatchConfig{Scheme: "https"}), to("c", MatchConfig{}))
}

func TestExplain(t *testing.T) {
	www := DefaultItem()
	www.Match.Host, www.Redirect.To = "example.com", "{scheme}://www.example.com{path}{query}"
	tab := table(t, to("site", MatchConfig{}), www,
		to("rsc", MatchConfig{Path: "/x/*", Methods: []string{"GET"}, Headers: []HeaderMatch{{Name: "RSC", Equals: "1"}}}))
	var got []string
	for _, p := range tab.Explain() {
		got = append(got, fmt.Sprintf("%s | %s | %s", p.Route.Name, p, p.Does))
	}
	want := []string{
		"example.com | example.com/* | redirect 308 {scheme}://www.example.com{path}{query}",
		"rsc | GET,HEAD */x/* [rsc: 1] | origin app",
		"site | */* | origin app",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	tab := big(t, 200)
	fields := field.List{{Name: []byte("Accept"), Value: []byte("*/*")}}
	for _, path := range []string{"/p77/x/edit", "/p77", "/none/at/all", "/p77/a%2Fb/c;d//../e"} {
		host, p, method := []byte("H7.Example.com:443"), []byte(path), []byte("GET")
		if n := testing.AllocsPerRun(100, func() { tab.Match("https", host, p, method, fields) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

// big makes a table of n paths on ten hosts, three routes each.
func big(t testing.TB, n int) *Table {
	var configs []Config
	for i := range n {
		host := fmt.Sprintf("h%d.example.com", i%10)
		configs = append(configs,
			to("", MatchConfig{Host: host, Path: fmt.Sprintf("/p%d", i)}),
			to("", MatchConfig{Host: host, Path: fmt.Sprintf("/p%d/*", i)}),
			to("", MatchConfig{Host: host, Path: fmt.Sprintf("/p%d/*/edit", i), Methods: []string{"GET"}}))
	}
	return table(t, append(configs, to("rest", MatchConfig{}))...)
}

func BenchmarkMatch(b *testing.B) {
	tab := big(b, 2000)
	fields := field.List{{Name: []byte("Accept"), Value: []byte("*/*")}}
	for name, path := range map[string]string{"exact": "/p77", "glob": "/p77/abc/edit", "fallback": "/nothing/here", "ambiguous": "/p77/a%2Fb",
		"hostile": "/p77" + strings.Repeat("/%2561;%2f/../b", 130)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tab.Match("https", []byte("h7.example.com"), []byte(path), []byte("GET"), fields)
			}
		})
	}
}
