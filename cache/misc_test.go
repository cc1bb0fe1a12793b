package cache

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

func TestReasonsAreListedOnce(t *testing.T) {
	seen := map[Reason]bool{}
	word := regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	for _, r := range Reasons() {
		if seen[r] || !word.MatchString(string(r)) {
			t.Errorf("%q is listed twice, or is no word", r)
		}
		seen[r] = true
	}
}

func TestCacheStatus(t *testing.T) {
	check := func(s CacheStatus, want string) {
		t.Helper()
		if got := string(s.Append(nil)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check(CacheStatus{Hit: true, HasTTL: true, TTL: 30*time.Second + 1}, "tzero; hit; ttl=30")
	check(CacheStatus{Hit: true, HasTTL: true, TTL: -time.Millisecond, Detail: "stale-while-revalidate"}, "tzero; hit; ttl=-1; detail=stale-while-revalidate")
	check(CacheStatus{Forward: ForwardURIMiss, Stored: true}, "tzero; fwd=uri-miss; stored")
	check(CacheStatus{Forward: ForwardStale, Status: 304, Stored: true, Collapsed: true}, "tzero; fwd=stale; fwd-status=304; stored; collapsed")
	check(CacheStatus{Forward: ForwardOf(&Result{Reason: BypassPrivateCookie}), Detail: BypassPrivateCookie}, "tzero; fwd=bypass; detail=private-cookie")
	check(CacheStatus{}, "tzero")
}

func TestMarksFadeAndDoNotMix(t *testing.T) {
	var m marks
	m.set(42, withCookies, markUncacheable, t0)
	for _, c := range []struct {
		hash  uint64
		class class
		after time.Duration
		want  Reason
	}{
		{42, withCookies, 0, BypassUncacheable},
		{42, withCookies, 9 * time.Second, BypassUncacheable},
		{42, withCookies, 10 * time.Second, ""},
		{42, 0, 0, ""},
		{42, withCookies | withAuthorization, 0, ""},
		{43, withCookies, 0, ""},
	} {
		if got := m.get(c.hash, c.class, t0.Add(c.after)); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	m.set(42, 0, markTooLarge, t0)
	if got := m.get(42, 0, t0); got != BypassTooLarge {
		t.Errorf("got %q", got)
	}
	m.clear(42, 0)
	if got := m.get(42, 0, t0); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestMemory(t *testing.T) {
	for text, want := range map[string]Memory{"25%": {Percent: 25}, "12.5 %": {Percent: 12.5}, "2GiB": {Size: 2 << 30}} {
		var m Memory
		if err := m.UnmarshalText([]byte(text)); err != nil || m != want {
			t.Errorf("%q: got %+v, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "25", "-1%", "101%", "NaN%", "x%", "lots"} {
		var m Memory
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was read as %s", text, m)
		}
	}
	if n := (Memory{Percent: 25}).Bytes(4 << 30); n != 1<<30 {
		t.Errorf("a quarter of 4 GiB is %d", n)
	}
	if n, err := AvailableMemory(); err != nil || n < 64<<20 {
		t.Errorf("this machine has %d bytes, %v", n, err)
	}
}

func TestConfigFaults(t *testing.T) {
	if p := Default().Validate(); len(p) != 0 {
		t.Errorf("the default: %v", p)
	}
	fault := func(path string, change func(*Config)) {
		t.Helper()
		c := Default()
		change(&c)
		if p := c.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: got %v", path, p)
		}
	}
	fault("memory", func(c *Config) { c.Memory = Memory{Percent: 95} })
	fault("memory", func(c *Config) { c.Memory = Memory{Percent: 0.5} })
	fault("max_object", func(c *Config) { c.MaxObject = 10 })
	fault("max_object", func(c *Config) { c.MaxObject = 2 << 30 })
	fault("max_object", func(c *Config) { c.Memory = Memory{Size: 16 << 20} })
}

func TestRouteFaults(t *testing.T) {
	if p := DefaultRoute().Validate(); len(p) != 0 {
		t.Errorf("the default: %v", p)
	}
	fault := func(path string, change func(*RouteConfig)) {
		t.Helper()
		c := DefaultRoute()
		change(&c)
		if p := c.Validate(); len(p) != 1 || p[0].Path != path {
			t.Errorf("%s: got %v", path, p)
		}
	}
	fault("mode", func(c *RouteConfig) { c.Mode = "always" })
	fault("ttl", func(c *RouteConfig) { c.Mode = "ttl" })
	fault("ttl", func(c *RouteConfig) { c.TTL = conf.Duration(time.Second) })
	fault("override", func(c *RouteConfig) { c.Override = "" })
	fault("override", func(c *RouteConfig) { c.Override = "all" })
	fault("query.mode", func(c *RouteConfig) { c.Query.Mode = "some" })
	fault("query.names", func(c *RouteConfig) { c.Query.Names = []string{"*"} })
	fault("query.names", func(c *RouteConfig) { c.Query = QueryConfig{Mode: "allow"} })
	fault("private_cookies[0]", func(c *RouteConfig) { c.PrivateCookies = []string{"a=b"} })
	fault("set_cookie", func(c *RouteConfig) { c.SetCookie = "maybe" })
	fault("client_reload", func(c *RouteConfig) { c.Reload = "no" })
	fault("max_object", func(c *RouteConfig) { c.MaxObject = 2 << 30 })
}

// TestEveryReasonIsListed reads the sources: a Reason that Reasons does not know is missing from the
// reference and from the metrics.
func TestEveryReasonIsListed(t *testing.T) {
	listed := map[string]bool{`""`: true}
	for _, r := range Reasons() {
		listed[strconv.Quote(string(r))] = true
	}
	for _, dir := range []string{".", "rfc9111"} {
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/reason.go", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				for i, value := range v.Values {
					if lit, ok := value.(*ast.BasicLit); ok && !listed[lit.Value] {
						t.Errorf("%s = %s is not listed", v.Names[i].Name, lit.Value)
					}
				}
			}
			return true
		})
	}
}
