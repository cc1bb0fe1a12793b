package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/ratelimit"
)

const limitsConfig = `
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
state_dir: %q
origins: {app: {targets: [%q]}}
routes:
  - {name: pages, match: {path: "/*"}, origin: app}
  - {name: forms, match: {path: "/forms/*"}, origin: app, rate_limits: [forms]}
rate_limits:
  policies:
    pages: {rate: %s}
    forms: {rate: 2/1h, count: all}
  default: [pages]
  allow: [127.0.0.9]
  deny: [127.0.0.8]
logging: {decisions: {sample: 0}}
shutdown: {think: 0s, grace: 1s}
`

// limited is a gateway with rate limits.
type limited struct {
	t        *testing.T
	svc      *services
	file     string
	dir, app string
	asked    atomic.Int64
}

func (g *limited) write(rate string) {
	if err := os.WriteFile(g.file, fmt.Appendf(nil, limitsConfig, g.dir, g.app, rate), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func newLimited(t *testing.T) *limited {
	g := &limited{t: t, dir: t.TempDir()}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/crowded" {
			time.Sleep(200 * time.Millisecond)
		}
		if r.URL.Path == "/private" {
			w.Header().Set("Cache-Control", "private")
		}
		fmt.Fprint(w, "page")
	}))
	t.Cleanup(app.Close)
	g.app, g.file = app.URL, filepath.Join(g.dir, "tzero.yaml")
	g.write("3/1h")
	in := configs.Input{Path: g.file}
	l, err := in.Load()
	if err != nil {
		t.Fatal(err)
	}
	if g.svc, err = newServices(in, l, io.Discard); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.svc.run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return g
}

// get asks from a loopback address of its own.
func (g *limited) get(from, path string) *http.Response {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c := http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	res, err := c.Get("http://" + g.svc.listener.Addrs()[0].String() + path)
	if err != nil {
		g.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return res
}

func (g *limited) status(from, path string, want int) {
	g.t.Helper()
	if res := g.get(from, path); res.StatusCode != want {
		g.t.Errorf("%s from %s: %s, not %d", path, from, res.Status, want)
	}
}

func TestRateLimits(t *testing.T) {
	g := newLimited(t)
	for i := range 3 {
		g.status("127.0.0.1", fmt.Sprint("/page", i), 200)
	}
	g.status("127.0.0.1", "/page9", 429)
	g.status("127.0.0.1", "/private", 429)
	for range 5 {
		g.status("127.0.0.1", "/page1", 200) // stored, so free
	}
	g.status("127.0.0.2", "/page9", 200)
	for i := range 9 {
		g.status("127.0.0.9", fmt.Sprint("/allowed", i), 200)
	}
	g.status("127.0.0.8", "/page1", 403)

	for range 2 {
		g.status("127.0.0.3", "/forms/a", 200)
	}
	g.status("127.0.0.3", "/forms/a", 429) // stored, and counted
	res := g.get("127.0.0.3", "/forms/a")
	if res.Header.Get("Retry-After") == "" || res.Header.Get("RateLimit-Policy") != `"forms";q=2;w=3600` || !strings.HasPrefix(res.Header.Get("RateLimit"), `"forms";r=0;t=`) {
		t.Error(res.Header)
	}

	st := g.svc.status().RateLimits
	if st == nil || st.Keys == 0 || st.Denied != 1 || len(st.Policies) != 2 || st.Policies[0].Name != "forms" || st.Policies[0].Limited != 2 || st.Policies[1].Limited != 2 {
		t.Errorf("%+v", st)
	}
}

// TestRateLimitsOutliveReload loads the configuration again: what was taken stays taken.
func TestRateLimitsOutliveReload(t *testing.T) {
	g := newLimited(t)
	for i := range 3 {
		g.status("127.0.0.1", fmt.Sprint("/page", i), 200)
	}
	g.write("4/1h")
	if _, err := g.svc.reloader.Reload(context.Background(), "test"); err != nil {
		t.Fatal(err)
	}
	g.status("127.0.0.1", "/page9", 429)
	g.status("127.0.0.2", "/page9", 200)
}

// TestFollowersAreNotCharged lets one address ask for one cold page many times at once: one of them reached the origin.
func TestFollowersAreNotCharged(t *testing.T) {
	g := newLimited(t)
	g.status("127.0.0.1", "/page0", 200)
	done := make(chan int)
	for range 40 {
		go func() { done <- g.get("127.0.0.1", "/crowded").StatusCode }()
	}
	refused := 0
	for range 40 {
		if <-done != 200 {
			refused++
		}
	}
	if n := g.asked.Load(); n != 2 || refused > 0 {
		t.Errorf("the origin was asked %d times, %d were refused", n, refused)
	}
	g.status("127.0.0.1", "/page3", 200)
	g.status("127.0.0.1", "/page4", 429)
}

// command runs tzero limit against the gateway, and returns what it prints.
func (g *limited) command(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := limitCommand()
	cmd.SetArgs(append(args, "--state-dir", g.dir))
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(g.t.Context())
	return out.String(), err
}

// An operator denies and allows while the gateway runs; that outlives a restart.
func TestRulings(t *testing.T) {
	g := newLimited(t)
	g.status("127.0.0.7", "/page", 200)
	if out, err := g.command("deny", "127.0.0.7", "--for", "10m", "--why", "a test"); err != nil || !strings.Contains(out, "deny   127.0.0.7/32") || !strings.Contains(out, "a test") {
		t.Fatal(out, err)
	}
	g.status("127.0.0.7", "/page", 403) // a hit, too
	g.status("127.0.0.8", "/page", 403)
	if out, err := g.command("allow", "127.0.0.8", "127.0.0.6"); err != nil || strings.Count(out, "\n") != 3 {
		t.Fatal(out, err)
	}
	g.status("127.0.0.8", "/page", 200)
	for i := range 6 {
		g.status("127.0.0.6", fmt.Sprint("/allowed", i), 200)
	}
	if _, err := g.command("lift", "127.0.0.5"); err == nil || !strings.Contains(err.Error(), "nothing is ruled") {
		t.Error(err)
	}
	if _, err := g.command("deny", "127.0.0.5", "--for", "soon"); err == nil || exitCode(err) != 2 {
		t.Error(err)
	}
	if _, err := g.command("lift", "127.0.0.8"); err != nil {
		t.Error(err)
	}
	again := &services{limiter: ratelimit.New(1, time.Now()), log: g.svc.log}
	again.loadRulings(g.dir)
	if r := again.rulings(); len(r.Rulings) != 2 || r.Rulings[0].Prefix != "127.0.0.6/32" || r.Rulings[1].Why != "a test" {
		t.Errorf("after a restart: %+v", r)
	}
	if err := os.WriteFile(filepath.Join(g.dir, rulingsFile), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	again.loadRulings(g.dir) // it goes on with what it has
	if out, err := g.command("list"); err != nil || !strings.Contains(out, "127.0.0.7/32") || strings.Contains(out, "127.0.0.8") {
		t.Error(out, err)
	}
}
