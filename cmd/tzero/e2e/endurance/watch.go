package endurance

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// Gateway is the binary under test as an operator sees it.
type Gateway struct {
	*harness.Gateway
	admin *http.Client
}

// Watch wraps a running gateway.
func Watch(gw *harness.Gateway) *Gateway {
	return &Gateway{gw, &http.Client{Timeout: patience}}
}

// Metrics is a reading of /metrics: series, as written there, to value.
type Metrics map[string]float64

// Metrics reads all metrics.
func (g *Gateway) Metrics(t testing.TB) Metrics {
	t.Helper()
	res, err := g.admin.Get(g.AdminURL + "/metrics")
	if err != nil {
		t.Fatalf("cannot read the metrics: %v", err)
	}
	defer res.Body.Close()
	all := Metrics{}
	sc := bufio.NewScanner(res.Body)
	for sc.Scan() {
		series, value, ok := cutLast(sc.Text())
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && series[0] != '#' {
			all[series] = n
		}
	}
	if err := sc.Err(); err != nil || len(all) == 0 {
		t.Fatalf("cannot read the metrics: %d series, %v", len(all), err)
	}
	return all
}

func cutLast(line string) (series, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i <= 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

// Goroutines is the process's count.
func (g *Gateway) Goroutines(t testing.TB) int { return int(g.Metrics(t)["go_goroutines"]) }

// Status reads /status into v.
func (g *Gateway) Status(t testing.TB) string {
	t.Helper()
	res, err := g.admin.Get(g.AdminURL + "/status")
	if err != nil {
		t.Fatalf("cannot read the status: %v", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("cannot read the status: %v", err)
	}
	return string(text)
}

// Memory is what the process holds, from /proc.
type Memory struct {
	RSS, Peak Bytes // Peak since the last ForgetPeak
}

// Memory reads the gateway's.
func (g *Gateway) Memory(t testing.TB) Memory {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Pid()))
	if err != nil {
		t.Fatalf("cannot read the gateway's memory: %v", err)
	}
	return Memory{kilobytes(string(text), "VmRSS:"), kilobytes(string(text), "VmHWM:")}
}

// ForgetPeak makes Peak begin anew (proc(5), clear_refs).
func (g *Gateway) ForgetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.Pid()), []byte("5"), 0); err != nil {
		t.Fatalf("cannot reset the memory's peak: %v", err)
	}
}

func kilobytes(status, name string) Bytes {
	_, rest, _ := strings.Cut(status, name)
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return Bytes(n << 10)
}

// Bytes prints in MiB.
type Bytes int64

func (b Bytes) String() string { return fmt.Sprintf("%.0f MiB", float64(b)/(1<<20)) }

// Eventually waits until ok, and returns how long that took.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Since(began) > within {
			t.Errorf("not within %v: %s", within, what)
			break
		}
		<-tick.C
	}
	return time.Since(began)
}
