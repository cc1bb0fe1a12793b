package origin

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestReloadKeepsConnectionsAndCounters(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	old := g.Pool("app")
	c := g.cfg
	c.Timeouts.FirstByte = ms(12_345)
	if _, err := g.Apply(map[string]Config{"app": c, "other": c}); err != nil {
		t.Fatal(err)
	}
	if g.Pool("app") == old || g.Pool("other") == nil || g.Pool("app").Config().Timeouts.FirstByte != ms(12_345) {
		t.Error("the new settings are not in force")
	}
	g.answers(get("/"), 200)
	if st := g.target(); s.conns.Load() != 1 || st.Requests != 2 {
		t.Errorf("%d connections, stats %+v", s.conns.Load(), st)
	}
}

func TestBuildChangesNothing(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	before := g.Pool("app")
	set, err := g.Build(map[string]Config{"new": config(s.url())})
	if err != nil || set.Pool("new") == nil || set.Pool("app") != nil {
		t.Fatalf("set %v, %v", set, err)
	}
	if g.Pool("app") != before || g.Pool("new") != nil {
		t.Error("Build had an effect")
	}
	bad := config("https://127.0.0.1:1")
	bad.TLS.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	if _, err := g.Apply(map[string]Config{"app": bad}); err == nil || !strings.Contains(err.Error(), "cannot set up origin app: cannot read tls.ca_file") {
		t.Errorf("error %v", err)
	}
	if g.Pool("app") != before {
		t.Error("a failed Apply had an effect")
	}
}

func TestRemovedTargetDrains(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			if strings.Contains(h, "/slow") {
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				<-release
				p.say("slow")
				continue
			}
			p.say(ok("fast"))
		}
	})
	g := start(t, config(s.url()))
	old := g.Pool("app")
	slow, err := g.do(get("/slow"))
	if err != nil {
		t.Fatal(err)
	}
	g.answers(get("/fast"), 200)
	g.Apply(map[string]Config{})
	if st := g.target(); st.State != "draining" || st.Open != 1 || st.Idle != 0 {
		t.Errorf("stats %+v", st)
	}
	close(release)
	if b, err := io.ReadAll(&slow.Body); string(b) != "slow" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	slow.Close()
	eventually(t, "the target's end", func() bool { return len(g.Stats()) == 0 })

	// A request that still holds the old configuration is served, and leaves nothing behind.
	g.answersOn(old, "/fast", "fast")
	eventually(t, "the target's end again", func() bool { return len(g.Stats()) == 0 })
}

func (g *rig) answersOn(p *Pool, target, want string) {
	g.t.Helper()
	r, err := p.Do(g.t.Context(), get(target))
	if err != nil {
		g.t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(&r.Body); string(b) != want || err != nil {
		g.t.Errorf("read %q, %v", b, err)
	}
}

func TestTargetThatComesBack(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	g.Apply(map[string]Config{})
	g.Apply(map[string]Config{"app": g.cfg})
	g.answers(get("/"), 200)
	g.answers(get("/"), 200)
	eventually(t, "one target left", func() bool { return len(g.Stats()) == 1 })
	if st := g.target(); st.State != "healthy" || st.Idle != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestTargetsAreNamedProperly(t *testing.T) {
	is := func(raw, dial, url, authority string) {
		t.Helper()
		a, err := parseTarget(raw)
		if err != nil || a.dial() != dial || a.url() != url || a.authority() != authority {
			t.Errorf("%s: %s %s %s, %v", raw, a.dial(), a.url(), a.authority(), err)
		}
	}
	is("http://app", "app:80", "http://app:80", "app")
	is("http://App:3000/", "app:3000", "http://app:3000", "app:3000")
	is("https://app", "app:443", "https://app:443", "app")
	is("https://[::1]", "[::1]:443", "https://[::1]:443", "[::1]")
	is("http://[::1]:81", "[::1]:81", "http://[::1]:81", "[::1]:81")
}

func TestConfigProblems(t *testing.T) {
	has := func(path, reason string, change func(c *Config)) {
		t.Helper()
		c := config("http://a:1")
		change(&c)
		ps := c.Validate()
		if len(ps) != 1 || ps[0].Path != path || !strings.Contains(ps[0].Reason, reason) {
			t.Errorf("problems %v, want %s: …%s…", ps, path, reason)
		}
	}
	c := config("http://a:1")
	if ps := c.Validate(); len(ps) > 0 {
		t.Errorf("the default has problems: %v", ps)
	}
	targets := func(list ...string) func(c *Config) { return func(c *Config) { c.Targets = list } }
	has("targets", "no target", targets())
	has("targets[0]", "not an address", targets("a:3000"))
	has("targets[0]", "not an address", targets("ftp://a"))
	has("targets[0]", "name or password", targets("http://me:secret@a"))
	has("targets[0]", "has the path", targets("http://a/api"))
	has("targets[0]", "query", targets("http://a?x"))
	has("targets[0]", "port", targets("http://a:99999"))
	has("targets[1]", "same target as targets[0]", targets("http://a", "http://A:80/"))
	has("balance", "round_robin or least_connections", func(c *Config) { c.Balance = "random" })
	has("host", "not a host", func(c *Config) { c.Host = "http://x" })
	has("tls", "belong together", func(c *Config) { c.Targets = []string{"https://a"}; c.TLS.CertFile = "x" })
	has("tls", "no target begins with https", func(c *Config) { c.TLS.ServerName = "x" })
	has("tls.insecure_skip_verify", "contradicts", func(c *Config) {
		c.Targets, c.TLS.CAFile, c.TLS.InsecureSkipVerify = []string{"https://a"}, "x", true
	})
	has("timeouts.connect", "longer than 0", func(c *Config) { c.Timeouts.Connect = 0 })
	has("pool.max_connections", "least is 1", func(c *Config) { c.Pool.MaxConnections = 0 })
	has("health.path", "not a path", func(c *Config) { c.Health.Path = "healthz" })
	has("health.path", "not a path", func(c *Config) { c.Health.Path = "/a b" })
	has("health.expect", "not a range", func(c *Config) { c.Health.Path = "/"; c.Health.Expect = StatusRange{300, 200} })
	has("passive.failures", "negative", func(c *Config) { c.Passive.Failures = -1 })
	for _, p := range (Config{Targets: []string{"http://me:secret@a"}}).Validate() {
		if strings.Contains(p.Reason, "secret") {
			t.Errorf("a secret in %v", p)
		}
	}
}

func TestStatusRange(t *testing.T) {
	is := func(text string, want StatusRange, valid bool) {
		t.Helper()
		var r StatusRange
		if err := r.UnmarshalText([]byte(text)); (err == nil) != valid || r != want {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
	is("200", StatusRange{200, 200}, true)
	is("200-399", StatusRange{200, 399}, true)
	is("2xx", StatusRange{}, false)
	is("", StatusRange{}, false)
	if b, _ := (StatusRange{200, 204}).MarshalText(); string(b) != "200-204" {
		t.Errorf("written %s", b)
	}
}
