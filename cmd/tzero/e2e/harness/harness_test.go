package harness_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"go.yaml.in/yaml/v3"
)

// TestMain plays the gateway when a test starts its own binary: as `run -c FILE`, with an answer on both addresses.
func TestMain(m *testing.M) {
	if os.Getenv("HARNESS_STUB") == "" {
		os.Exit(harness.Main(m))
	}
	if err := stub(os.Args[len(os.Args)-1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func stub(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	var c struct {
		Listeners []struct{ Address string }
		Admin     struct{ Address string }
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return fmt.Errorf("cannot understand the configuration: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 2)
	for _, addr := range []string{c.Listeners[0].Address, c.Admin.Address} {
		srv := &http.Server{Addr: addr, ReadHeaderTimeout: time.Second}
		defer srv.Close()
		go func() { failed <- srv.ListenAndServe() }()
	}
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	fmt.Println("stub runs")
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func TestStartAndStop(t *testing.T) {
	gw := startStub(t)
	resp, err := http.Get(gw.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	gw.Stop(t)
	if err := gw.ExitError(); err != nil {
		t.Errorf("a stopped gateway ended with %v", err)
	}
	if !strings.Contains(gw.Logs(), "stub runs") {
		t.Errorf("the output was not captured: %q", gw.Logs())
	}
}

func TestKill(t *testing.T) {
	gw := startStub(t)
	if gw.ExitError() == nil {
		t.Error("a running gateway has an exit status")
	}
	gw.Kill()
	<-gw.Ended()
	if gw.ExitError() == nil {
		t.Error("a killed gateway ended with success")
	}
}

func startStub(t *testing.T) *harness.Gateway {
	t.Helper()
	t.Setenv("HARNESS_STUB", "1")
	return harness.StartBinary(t, os.Args[0], harness.Config{Origin: "http://127.0.0.1:1"}.YAML(t))
}

func TestNginxStarts(t *testing.T) {
	addr := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	p := harness.Nginx(t, addr, fmt.Sprintf("server { listen %s; location / { return 204; } }", addr))
	resp, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.Stop(t)
	if resp.StatusCode != http.StatusNoContent || p.ExitError() != nil {
		t.Errorf("answered %d, ended with %v", resp.StatusCode, p.ExitError())
	}
}
