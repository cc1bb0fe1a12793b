package endurance_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// shutdown sends SIGTERM in the middle of traffic: nobody gets an error. What never ends by itself is cut and counted.
func shutdown(t *testing.T, report *endurance.Report) {
	t.Run("everything ends", func(t *testing.T) { drain(t, report) })
	t.Run("some never end", func(t *testing.T) { cutOff(t, report) })
}

func drain(t *testing.T, report *endurance.Report) {
	clients, lasting := harness.Size(*full, 20, 100), harness.Size(*full, 1500*time.Millisecond, 12*time.Second)
	think := harness.Size(*full, 500*time.Millisecond, 2*time.Second)
	g := start(t, fmt.Sprintf("shutdown: {think: %v, grace: 30s}\n", think))
	row := report.Row("SIGTERM under load", "%d clients in a closed loop, each asks every 50 ms until it is told `Connection: close`; %d ask on a new connection every 50 ms until it is refused; "+
		"10 downloads and 10 chunked streams of %v under way", clients, clients/2, lasting)
	row.Add("load average %s", harness.Busy())
	load := endurance.Start(t, "load")
	endurance.Ask[endurance.Nothing](t, load, "Start", endurance.LoadArgs{
		Addr: g.Addr, Paths: []string{"/page", "/api"}, Clients: clients, Fresh: clients / 2, Pause: 50 * time.Millisecond,
	})
	const bytes = 4 << 20
	want := endurance.Checksum(bytes)
	var slow sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		query := fmt.Sprintf("&ms=%d%s", lasting.Milliseconds(), []string{"", "&chunked=1"}[i%2])
		slow.Go(func() {
			got, err := g.download(bytes, query)
			if err == nil && got != want {
				err = fmt.Errorf("checksum %s, want %s", got, want)
			}
			errs[i] = err
		})
	}
	endurance.Eventually(t, 5*time.Second, "all downloads are under way", func() bool {
		return g.Metrics(t)["tzero_connections"] >= float64(clients+len(errs))
	})
	<-time.After(harness.Size(*full, 500*time.Millisecond, 5*time.Second))
	took := g.terminate(t)
	slow.Wait()
	result := endurance.Ask[endurance.LoadResult](t, load, "Wait", endurance.Nothing{})
	if result.Failed > 0 || result.Told != clients || result.Refused != clients/2 {
		t.Errorf("%d of %d requests failed, %d of %d clients were told to close, %d of %d newcomers were refused: %q",
			result.Failed, result.Requests, result.Told, clients, result.Refused, clients/2, result.Errors)
	}
	failed := 0
	for i, err := range errs {
		if err != nil {
			failed++
			t.Errorf("download %d: %v", i, err)
		}
	}
	row.Add("client errors: %d of %d requests; clients told to close: %d of %d; newcomers refused: %d of %d", result.Failed, result.Requests,
		result.Told, clients, result.Refused, clients/2)
	row.Add("downloads and streams broken: %d of %d", failed, len(errs))
	// The downloads' connections were not told to close, and have their time to think once they are idle.
	if most := lasting + think + 2*time.Second; took > most {
		t.Errorf("the gateway ended after %v, later than %v: something held it", took, most)
	}
	row.Add("exit code 0 after %.1f s", took.Seconds())
}

// terminate sends SIGTERM and waits for the end, which must be a good one.
func (r *rig) terminate(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	r.Signal(syscall.SIGTERM)
	select {
	case <-r.Ended():
	case <-time.After(time.Minute):
		t.Fatalf("the gateway did not end; it said:\n%s", r.Logs())
	}
	if err := r.ExitError(); err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	return time.Since(began)
}

func cutOff(t *testing.T, report *endurance.Report) {
	sockets, grace := harness.Size(*full, 5, 50), harness.Size(*full, time.Second, 5*time.Second)
	g := start(t, fmt.Sprintf("shutdown: {think: 200ms, grace: %v}\n", grace))
	row := report.Row("SIGTERM, and some never end", "%d WebSockets, 1 event stream, 1 GET and 1 POST that the origin never answers; grace %v", sockets, grace)
	ws := endurance.Start(t, "sockets")
	endurance.Ask[endurance.Outcomes](t, ws, "Open", endurance.OpenArgs{Addr: g.Addr, Path: "/ws", Count: sockets})
	defer g.follow(t, "GET", "/events?id=endless&ms=100", "").Close()
	defer g.ask(t, "GET", "/never", "").Close()
	defer g.ask(t, "POST", "/never", "Content-Length: 0\r\n").Close()
	endurance.Eventually(t, 5*time.Second, "all are under way", func() bool {
		return g.tunnels(t) == sockets && g.Metrics(t)["tzero_connections"] == float64(sockets+3)
	})
	took := g.terminate(t)
	if most := grace + 5*time.Second; took > most {
		t.Errorf("the gateway ended after %v, later than %v", took, most)
	}
	tunnels := fmt.Sprintf("tunnels=%d", sockets)
	if !strings.Contains(g.Logs(), tunnels) || !strings.Contains(g.Logs(), "msg=ended cut=3") {
		t.Errorf("the log does not say %s and cut=3:\n%s", tunnels, g.Logs())
	}
	row.Add("tunnels cut and counted: %d; connections cut and counted: 3", sockets)
	row.Add("exit code 0 after %.1f s", took.Seconds())
}
