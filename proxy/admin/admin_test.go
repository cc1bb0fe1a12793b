package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/internal/conf"
)

const secret = "0123456789abcdef0123"

// running is a Server on a free port and a socket in a directory of its own.
type running struct {
	*Server
	addr, dir string
	stop      func()
}

func start(t *testing.T, c Config, d Deps) *running {
	t.Helper()
	// t.TempDir's names may be too long for a socket.
	dir, err := os.MkdirTemp("", "tz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	r := &running{Server: New(c, d, slog.New(slog.DiscardHandler)), dir: dir}
	if err := r.Listen(dir); err != nil {
		t.Fatal(err)
	}
	r.addr = r.Addrs()[0].String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func deps() Deps {
	return Deps{
		Status:  func() any { return Status{Version: "1", Generation: 7} },
		Ready:   func() (bool, []string) { return true, nil },
		Reload:  func(context.Context) (any, error) { return map[string]int{"generation": 8}, nil },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") }),
	}
}

// ask sends one request; fields are name, value, name, value….
func (r *running) ask(t *testing.T, method, path string, fields ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "Host" {
			req.Host = fields[i+1]
		}
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func (r *running) want(t *testing.T, status int, method, path string, fields ...string) {
	t.Helper()
	if res, body := r.ask(t, method, path, fields...); res.StatusCode != status {
		t.Errorf("%s %s %v: %d, want %d: %s", method, path, fields, res.StatusCode, status, body)
	}
}

func TestReads(t *testing.T) {
	r := start(t, Config{}, deps())
	try := func(path, contentType, part string) {
		t.Helper()
		res, body := r.ask(t, "GET", path)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), contentType) || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s %s", path, res.StatusCode, res.Header.Get("Content-Type"), body)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		r.want(t, 200, "HEAD", path)
	}
	try("/", "text/html", "dashboard.js")
	try("/dashboard.js", "text/javascript", "fetch")
	try("/dashboard.css", "text/css", "body")
	try("/status", "application/json", `"generation": 7`)
	try("/healthz", "text/plain", "ok")
	try("/readyz", "text/plain", "ready")
	try("/metrics", "text/plain", "up 1")
	r.want(t, 404, "GET", "/nothing")
}

func TestMethods(t *testing.T) {
	r := start(t, Config{Token: conf.NewSecret(secret)}, deps())
	try := func(method, path, allow string) {
		t.Helper()
		res, _ := r.ask(t, method, path, "Authorization", "Bearer "+secret)
		if res.StatusCode != 405 || res.Header.Get("Allow") != allow {
			t.Errorf("%s %s: %d, Allow %q", method, path, res.StatusCode, res.Header.Get("Allow"))
		}
	}
	try("POST", "/status", "GET, HEAD")
	try("DELETE", "/", "GET, HEAD")
	try("OPTIONS", "/metrics", "GET, HEAD")
	try("GET", "/reload", "POST")
	try("PUT", "/reload", "POST")
}

// A name that somebody else controls may resolve to this machine (DNS rebinding).
func TestHosts(t *testing.T) {
	r := start(t, Config{Hosts: []string{"admin.example"}}, deps())
	_, port, _ := net.SplitHostPort(r.addr)
	for _, host := range []string{"localhost", "localhost:" + port, "127.0.0.1", "LOCALHOST", "[::1]", "127.0.0.2:1", "admin.example", "Admin.Example.:80"} {
		r.want(t, 200, "GET", "/status", "Host", host)
	}
	for _, host := range []string{"evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "192.0.2.1", "0.0.0.0", "admin.example.evil"} {
		r.want(t, 421, "GET", "/status", "Host", host)
		r.want(t, 421, "POST", "/reload", "Host", host)
		r.want(t, 421, "GET", "/", "Host", host)
		r.want(t, 200, "GET", "/healthz", "Host", host)
		r.want(t, 200, "GET", "/readyz", "Host", host)
	}
}

func TestChangesNeedTheToken(t *testing.T) {
	open := start(t, Config{}, deps())
	open.want(t, 403, "POST", "/reload")
	open.want(t, 403, "POST", "/reload", "Authorization", "Bearer ")

	r := start(t, Config{Token: conf.NewSecret(secret)}, deps())
	r.want(t, 401, "POST", "/reload")
	r.want(t, 401, "POST", "/reload", "Authorization", "Bearer wrong")
	r.want(t, 401, "POST", "/reload", "Authorization", "Bearer "+secret+"x")
	r.want(t, 401, "POST", "/reload", "Authorization", "Basic "+secret)
	r.want(t, 401, "POST", "/reload", "Authorization", basic("x", secret)) // browsers would send it for other sites
	r.want(t, 200, "POST", "/reload", "Authorization", "Bearer "+secret)
	r.want(t, 200, "POST", "/reload", "Authorization", "bearer "+secret)
	r.want(t, 200, "GET", "/status") // loopback: reads are open
}

func basic(user, password string) string {
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, password)
	return req.Header.Get("Authorization")
}

func TestReadsFromOutside(t *testing.T) {
	d := deps()
	closed := start(t, Config{Address: "0.0.0.0:0", Token: conf.NewSecret(secret)}, d)
	closed.addr = strings.Replace(closed.addr, "[::]", "127.0.0.1", 1)
	closed.want(t, 401, "GET", "/status")
	closed.want(t, 401, "GET", "/")
	closed.want(t, 200, "GET", "/healthz")
	closed.want(t, 200, "GET", "/status", "Authorization", "Bearer "+secret)
	closed.want(t, 200, "GET", "/", "Authorization", basic("anybody", secret))
	closed.want(t, 401, "GET", "/", "Authorization", basic(secret, "anybody"))
	public := start(t, Config{Address: "0.0.0.0:0", PublicReads: true}, d)
	public.addr = strings.Replace(public.addr, "[::]", "127.0.0.1", 1)
	public.want(t, 200, "GET", "/status")
	public.want(t, 403, "POST", "/reload")
}

func TestOtherSitesCannotChange(t *testing.T) {
	r := start(t, Config{Token: conf.NewSecret(secret)}, deps())
	auth := []string{"Authorization", "Bearer " + secret}
	with := func(fields ...string) []string { return append(fields, auth...) }
	r.want(t, 403, "POST", "/reload", with("Origin", "https://evil.example")...)
	r.want(t, 403, "POST", "/reload", with("Origin", "null")...)
	r.want(t, 403, "POST", "/reload", with("Sec-Fetch-Site", "cross-site")...)
	r.want(t, 403, "POST", "/reload", with("Sec-Fetch-Site", "same-site")...)
	r.want(t, 200, "POST", "/reload", with("Sec-Fetch-Site", "same-origin")...)
	r.want(t, 200, "POST", "/reload", with("Origin", "http://"+r.addr)...)
}

func TestReload(t *testing.T) {
	d := deps()
	begun, proceed := make(chan bool), make(chan error)
	d.Reload = func(ctx context.Context) (any, error) {
		if _, limited := ctx.Deadline(); !limited {
			t.Error("a reload may take for ever")
		}
		begun <- true
		return map[string]int{"generation": 8}, <-proceed
	}
	r := start(t, Config{}, d)
	c := Dial(r.dir)
	result := make(chan string)
	reload := func() {
		told, err := c.Reload(t.Context())
		result <- fmt.Sprintf("%s%v", strings.Join(strings.Fields(string(told)), ""), err)
	}
	go reload()
	<-begun
	if _, err := c.Reload(t.Context()); err == nil || err.Error() != "a reload is already running" {
		t.Errorf("a second reload: %v", err)
	}
	proceed <- nil
	if got := <-result; got != `{"generation":8}<nil>` {
		t.Errorf("told %s", got)
	}
	go reload()
	<-begun
	proceed <- errors.New("tzero.yaml:3:1: unknown key")
	if got := <-result; got != "tzero.yaml:3:1: unknown key" {
		t.Errorf("told %s", got)
	}

	// A client that gives up does not stop a reload halfway.
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { _, err := c.Reload(ctx); gone <- err }()
	<-begun
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the client's error is %v", err)
	}
	proceed <- nil
}

func TestClient(t *testing.T) {
	d := deps()
	ready := true
	d.Ready = func() (bool, []string) { return ready, []string{"no healthy target", "starting"} }
	r := start(t, Config{}, d)
	c := Dial(r.dir)
	told, err := c.Status(t.Context())
	var s Status
	if err != nil || json.Unmarshal(told, &s) != nil || s.Generation != 7 {
		t.Errorf("status %s, %v", told, err)
	}
	if m, err := c.Metrics(t.Context()); err != nil || string(m) != "up 1\n" {
		t.Errorf("metrics %s, %v", m, err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	ready = false
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "no healthy target, starting") {
		t.Errorf("not ready: %v", err)
	}
	r.stop()
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("after the end: %v", err)
	}
}

func TestAbsentParts(t *testing.T) {
	r := start(t, Config{}, Deps{})
	for _, path := range []string{"/status", "/metrics", "/readyz"} {
		r.want(t, 501, "GET", path)
	}
	if _, err := Dial(r.dir).Reload(t.Context()); err == nil {
		t.Error("a reload without anything to reload")
	}
}

func TestHeaderLimit(t *testing.T) {
	r := start(t, Config{}, deps())
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 431 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestAddressInUse(t *testing.T) {
	r := start(t, Config{}, deps())
	s := New(Config{Address: r.addr}, deps(), slog.New(slog.DiscardHandler))
	if err := s.Listen(""); err == nil || !strings.Contains(err.Error(), r.addr) {
		t.Errorf("the address was taken twice: %v", err)
	}
}

func TestValidate(t *testing.T) {
	if p := Default().Validate(); len(p) > 0 {
		t.Errorf("the defaults are refused: %v", p)
	}
	try := func(c Config, paths ...string) {
		t.Helper()
		p := c.Validate()
		if len(p) != len(paths) {
			t.Errorf("%+v: %v", c, p)
			return
		}
		for i := range p {
			if p[i].Path != paths[i] || strings.Contains(p[i].Reason, "short-one") {
				t.Errorf("%+v: %v", c, p)
			}
		}
	}
	token := conf.NewSecret(secret)
	try(Config{})
	try(Config{Address: "[::1]:9180"})
	try(Config{Address: "localhost:0"})
	try(Config{Address: "0.0.0.0:9180"}, "address")
	try(Config{Address: ":9180"}, "address")
	try(Config{Address: "10.0.0.1:9180", Token: token})
	try(Config{Address: ":9180", PublicReads: true})
	try(Config{Address: "9180"}, "address")
	try(Config{Address: "localhost:http"}, "address")
	try(Config{Address: "localhost:99999"}, "address")
	try(Config{Token: conf.NewSecret("short-one")}, "token")
	try(Config{Token: conf.NewSecret("with a blank inside it")}, "token")
	try(Config{Hosts: []string{"a.example", "b:80", "*.c"}}, "hosts[1]", "hosts[2]")
}

// A script sees by the status whether every gateway has purged.
func TestPurge(t *testing.T) {
	d := deps()
	var told Purged
	d.Purge = func(_ context.Context, r purge.Request) (Purged, error) {
		if !r.All {
			return Purged{}, errors.New("all or nothing")
		}
		return told, nil
	}
	r := start(t, Config{Token: conf.NewSecret(secret)}, d)
	try := func(want int, body string) {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+r.addr+"/purge", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s, %+v: %d, want %d", body, told, res.StatusCode, want)
		}
	}
	try(200, `{"all": true}`)
	try(400, `{"tag": "x"}`)
	try(400, `{"all"`)
	for _, told = range []Purged{{Missing: []Node{{}}}, {Lost: []Node{{}}}, {Warning: "Redis is away"}} {
		try(202, `{"all": true}`)
	}
}
