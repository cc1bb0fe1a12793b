// Package harness runs the real tzero binary, and real peers beside it, in tests.
//
//	gw := harness.Start(t, harness.Config{Origin: origin.URL}.YAML(t))
//	resp, err := http.Get(gw.URL + "/")
//
// The binary is built once per test process. Every process, directory and port belongs to the test that asked for it
// and is gone when that test ends. TZERO_BINARY names a binary to test instead of building one; TZERO_RACE=1 builds with
// the race detector.
package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	readyWithin = 15 * time.Second
	stopWithin  = 20 * time.Second
)

// Gateway is a running tzero.
type Gateway struct {
	*Process
	Addr     string // first listener, host:port
	URL      string // http://Addr
	AdminURL string
	File     string // the configuration it was started with; rewrite and Signal(SIGHUP) to reload
}

// Start runs `tzero run -c FILE` with the configuration given and waits until /readyz answers 200. The text must name
// a listener and an admin address (Config.YAML does). The gateway is stopped when the test ends.
func Start(t testing.TB, config string) *Gateway {
	t.Helper()
	return StartBinary(t, Binary(t), config)
}

// StartBinary is Start with a given executable.
func StartBinary(t testing.TB, binary, config string) *Gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tzero.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatalf("cannot write the configuration: %v", err)
	}
	addr, admin, err := addresses(config)
	if err != nil {
		t.Fatalf("cannot start tzero: %v", err)
	}
	gw := &Gateway{
		Process: Spawn(t, "tzero", binary, "run", "-c", file),
		Addr:    addr, URL: "http://" + addr, AdminURL: "http://" + admin, File: file,
	}
	gw.WaitHTTP(t, gw.AdminURL+"/readyz")
	return gw
}

// addresses reads the first listener's and the admin's address out of a configuration.
func addresses(config string) (listener, admin string, err error) {
	var c struct {
		Listeners []struct{ Address string }
		Admin     struct{ Address string }
	}
	if err := yaml.Unmarshal([]byte(config), &c); err != nil {
		return "", "", fmt.Errorf("cannot read the addresses of the configuration: %w", err)
	}
	if len(c.Listeners) == 0 || c.Admin.Address == "" {
		return "", "", fmt.Errorf("the configuration names no listener or no admin address")
	}
	return c.Listeners[0].Address, c.Admin.Address, nil
}

// Config is the smallest configuration: one origin, one route, free ports.
type Config struct {
	Origin string // URL of the only target
	Extra  string // YAML appended at the top level
}

// YAML picks ports and a state directory for the test and writes the configuration out.
func (c Config) YAML(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
admin: {address: "127.0.0.1:%d"}
origins: {app: {targets: [%q]}}
routes: [{origin: app}]
state_dir: %q
%s`, FreePort(t), FreePort(t), c.Origin, t.TempDir(), c.Extra)
}

// FreePort finds a loopback port that nobody listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("cannot find a free port: %v", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// WaitHTTP polls until url answers 200, the process ends, or patience does.
func (p *Process) WaitHTTP(t testing.TB, url string) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	p.wait(t, url, func() bool {
		resp, err := client.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// WaitTCP polls until addr takes connections.
func (p *Process) WaitTCP(t testing.TB, addr string) {
	t.Helper()
	p.wait(t, addr, func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (p *Process) wait(t testing.TB, what string, ready func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.ended:
			t.Fatalf("%s ended before %s was ready; it said:\n%s", p.name, what, p.Logs())
		case <-ctx.Done():
			t.Fatalf("%s was not ready at %s within %v; it said:\n%s", p.name, what, readyWithin, p.Logs())
		case <-tick.C:
		}
	}
}

// Stop sends SIGTERM and waits for a clean end.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		p.Kill()
		t.Errorf("%s did not end within %v of SIGTERM; it said:\n%s", p.name, stopWithin, p.Logs())
	}
}
