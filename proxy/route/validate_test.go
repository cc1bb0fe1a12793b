package route

import (
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

func TestValidate(t *testing.T) {
	check := func(name, path, reason string, change func(*Config)) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			c := DefaultItem()
			c.Origin = "app"
			change(&c)
			problems := c.Validate()
			if path == "" && reason == "" {
				if len(problems) > 0 {
					t.Errorf("refused: %v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Path != path || !strings.Contains(problems[0].Reason, reason) {
				t.Errorf("got %v, want %s: …%s…", problems, path, reason)
			}
		})
	}
	ok := func(name string, change func(*Config)) { check(name, "", "", change) }
	redirect := func(to string) func(*Config) {
		return func(c *Config) { c.Origin, c.Redirect.To = "", to }
	}
	ok("default", func(c *Config) {})
	check("name", "name", "not a name", func(c *Config) { c.Name = "a b" })
	check("scheme", "match.scheme", "http and https", func(c *Config) { c.Match.Scheme = "ftp" })
	check("host with port", "match.host", "leave the port out", func(c *Config) { c.Match.Host = "example.com:80" })
	check("host with scheme", "match.host", "leave", func(c *Config) { c.Match.Host = "https://example.com" })
	check("host with inner wildcard", "match.host", "whole labels", func(c *Config) { c.Match.Host = "a.*.com" })
	check("international host", "match.host", "xn--", func(c *Config) { c.Match.Host = "bücher.example" })
	check("empty label", "match.hosts[1]", "label", func(c *Config) { c.Match.Hosts = []string{"a", "a..b"} })
	check("host twice", "match.hosts[1]", "twice", func(c *Config) { c.Match.Hosts = []string{"a.b", "A.B"} })
	check("host and hosts", "match.hosts", "host is given as well", func(c *Config) { c.Match.Host, c.Match.Hosts = "a", []string{"b"} })
	check("IPv6 with port", "match.host", "IPv6", func(c *Config) { c.Match.Host = "[::1]:80" })
	check("path without slash", "match.path", "begin with /", func(c *Config) { c.Match.Path = "a/b" })
	check("path with query", "match.path", "query", func(c *Config) { c.Match.Path = "/a?b" })
	check("path with space", "match.path", "escaped", func(c *Config) { c.Match.Path = "/a b" })
	check("path not ASCII", "match.path", "escaped", func(c *Config) { c.Match.Path = "/café" })
	check("path with dot segment", "match.path", ". and ..", func(c *Config) { c.Match.Path = "/a/../b" })
	check("path with escaped dot segment", "match.path", ". and ..", func(c *Config) { c.Match.Path = "/a/%2e%2E/b" })
	check("path with escaped slash", "match.path", "%2F", func(c *Config) { c.Match.Path = "/a%2Fb" })
	check("path with a broken escape", "match.path", "hexadecimal", func(c *Config) { c.Match.Path = "/a%2" })
	check("path with empty segment", "match.path", "//", func(c *Config) { c.Match.Path = "/a//b" })
	check("path with parameters", "match.path", "ambiguously", func(c *Config) { c.Match.Path = "/a;b" })
	check("escaped asterisk", "match.path", "asterisk", func(c *Config) { c.Match.Path = "/a%2A" })
	check("two stars in a segment", "match.path", "one *", func(c *Config) { c.Match.Path = "/*a*/b" })
	check("double star within a segment", "match.path", "one *", func(c *Config) { c.Match.Path = "/a**/b" })
	check("long path", "match.path", "longer than", func(c *Config) { c.Match.Path = "/" + strings.Repeat("a", 2000) })
	check("lower-case method", "match.methods[0]", "write GET", func(c *Config) { c.Match.Methods = []string{"get"} })
	check("method twice", "match.methods[1]", "twice", func(c *Config) { c.Match.Methods = []string{"PUT", "PUT"} })
	check("CONNECT", "match.methods[0]", "answers it itself", func(c *Config) { c.Match.Methods = []string{"CONNECT"} })
	check("not a method", "match.methods[0]", "not a method", func(c *Config) { c.Match.Methods = []string{"A B"} })
	check("header name", "match.headers[0].name", "not a header name", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "a b"}} })
	check("header with underscore", "match.headers[0].name", "underscore", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "a_b"}} })
	check("host as header", "match.headers[0].name", "use host", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "Host"}} })
	check("header twice", "match.headers[1].name", "already", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "A"}, {Name: "a"}} })
	check("two conditions in one", "match.headers[0].prefix", "one of them", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "A", Equals: "1", Prefix: "1"}} })
	check("value that cannot be", "match.headers[0]", "never match", func(c *Config) { c.Match.Headers = []HeaderMatch{{Name: "A", Equals: " x"}} })
	check("nothing to do", "", "does nothing", func(c *Config) { c.Origin = "" })
	check("two things to do", "redirect", "one thing only", func(c *Config) { c.Redirect.To = "https://a/" })
	check("compress", "compress", "auto, on and off", func(c *Config) { c.Compress = "gzip" })
	check("negative limit", "body_limit", "negative", func(c *Config) { c.BodyLimit = -1 })
	check("a part longer than the whole", "timeouts.first_byte", "longer than total", func(c *Config) {
		c.Timeouts.Total, c.Timeouts.FirstByte = conf.Duration(time.Second), conf.Duration(time.Minute)
	})

	ok("apex to www", redirect("{scheme}://www.example.com{path}{query}"))
	ok("relative", redirect("/new{path}"))
	ok("query only", redirect("https://example.com{query}"))
	check("path first", "redirect.to", "must begin with", redirect("{path}"))
	check("path as authority", "redirect.to", "another site", redirect("/{path}"))
	check("network path", "redirect.to", "another site", redirect("//example.com"))
	check("no host", "redirect.to", "host is missing", redirect("https://{path}"))
	check("other scheme", "redirect.to", "must begin with", redirect("javascript:alert(1)"))
	check("credentials", "redirect.to", "credentials", redirect("https://a@b/"))
	check("unknown placeholder", "redirect.to", "{uri} is not one of", redirect("https://a{uri}"))
	check("open brace", "redirect.to", "braces", redirect("https://a{path"))
	check("closing brace", "redirect.to", "braces", redirect("https://a}path"))
	check("host behind the path", "redirect.to", "belong before", redirect("https://a/{host}"))
	check("line end", "redirect.to", "escaped form", redirect("https://a/\r\nSet-Cookie:a"))
	check("to itself", "redirect.to", "forever", redirect("{scheme}://{host}{path}{query}"))
	check("https to https", "redirect.to", "add scheme: http", redirect("https://{host}{path}{query}"))
	check("status", "redirect.status", "303", func(c *Config) { c.Origin, c.Redirect = "", RedirectConfig{To: "https://a/", Status: 300} })
	check("status alone", "redirect.to", "missing", func(c *Config) { c.Origin, c.Redirect = "", RedirectConfig{Status: 301} })

	respond := func(r RespondConfig) func(*Config) { return func(c *Config) { c.Origin, c.Respond = "", r } }
	ok("respond", respond(RespondConfig{Status: 410, Body: "gone", ContentType: "text/plain", Headers: map[string]string{"Cache-Control": "max-age=60"}}))
	check("no status", "respond.status", "missing", respond(RespondConfig{Body: "x"}))
	check("interim status", "respond.status", "final", respond(RespondConfig{Status: 101}))
	check("body where none can be", "respond.body", "has no body", respond(RespondConfig{Status: 204, Body: "x"}))
	check("header of ours", "respond.headers.Content-Length", "itself", respond(RespondConfig{Status: 200, Headers: map[string]string{"Content-Length": "3"}}))
	check("header name in respond", "respond.headers", "not a header name", respond(RespondConfig{Status: 200, Headers: map[string]string{"a:b": "3"}}))
	check("split value", "respond.headers.A", "control", respond(RespondConfig{Status: 200, Headers: map[string]string{"A": "3\r\nB: 4"}}))
	check("split type", "respond.content_type", "control", respond(RespondConfig{Status: 200, ContentType: "a\n"}))
}

func TestNewReportsPlaces(t *testing.T) {
	_, problems := New([]Config{to("a", MatchConfig{}), to("a", MatchConfig{Path: "x"})})
	if got := problems[0].String() + "; " + problems[1].String(); !strings.HasPrefix(got, "[1].match.path: ") || !strings.Contains(got, "[1].name: \"a\" is the name of routes[0]") {
		t.Error(got)
	}
	tab, problems := New([]Config{to("a", MatchConfig{}), to("b", MatchConfig{})})
	if tab == nil || len(problems) != 1 || problems[0].Path != "[1]" || !strings.Contains(problems[0].Reason, `"a" (routes[0])`) {
		t.Error(problems)
	}
}

func TestDerivedNames(t *testing.T) {
	tab := table(t, to("", MatchConfig{}), to("", MatchConfig{Host: "*.example.com", Path: "/a/*/b"}),
		to("", MatchConfig{Host: "example.com", Path: "/a/*/b"}), to("", MatchConfig{Path: "/x", Methods: []string{"GET", "HEAD"}}))
	var got []string
	for _, r := range tab.Routes() {
		got = append(got, r.Name)
	}
	if want := "all .example.com-a-b example.com-a-b get-head-x"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLocation(t *testing.T) {
	check := func(to, request, want string) {
		t.Run(to, func(t *testing.T) {
			t.Helper()
			c := DefaultItem()
			c.Redirect.To, c.Match.Scheme = to, "http"
			tab := table(t, c)
			target, query, hasQuery := strings.Cut(request, "?")
			got := tab.Routes()[0].AppendLocation(nil, "http", []byte("Example.com:8080"), []byte(target), []byte(query), hasQuery)
			if string(got) != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	check("https://{host}{path}{query}", "/a//b%2F?x=1&y", "https://Example.com/a//b%2F?x=1&y")
	check("https://{host}{path}{query}", "/a?", "https://Example.com/a?")
	check("https://{host}{path}{query}", "/a", "https://Example.com/a")
	check("https://{host}{path}{query}", "*", "https://Example.com/")
	check("{scheme}://www.example.com{path}", "//evil.example", "http://www.example.com//evil.example")
	check("https://www.{host}/new{path}", `/\evil"é`+"\r\n", "https://www.Example.com/new/%5Cevil%22%C3%A9%0D%0A")
	check("/moved", "/x?y", "/moved")
}
