package endurance_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// reloads sends SIGHUP under load, with good files and bad ones: no request fails, no connection is lost, WebSockets live on,
// and nothing is left behind.
func reloads(t *testing.T, report *endurance.Report) {
	g := start(t, "")
	clients, sockets := harness.Size(*full, 20, 100), harness.Size(*full, 10, 50)
	row := report.Row("SIGHUP under load", "20 times, good and bad files in turn (one more route, health checks, other limits, another origin; no YAML, an unknown key, an impossible value, "+
		"an origin that does not exist, empty, %v, none at all); %d clients on kept connections ask every %v, %d WebSockets talk", enormous(), clients, pausing(), sockets)
	row.Add("load average %s", harness.Busy())
	ws := endurance.Start(t, "sockets")
	endurance.Ask[endurance.Outcomes](t, ws, "Open", endurance.OpenArgs{Addr: g.Addr, Path: "/ws", Count: sockets})
	g.settled(t)
	goroutines := g.Goroutines(t)
	load := endurance.Start(t, "load")
	endurance.Ask[endurance.Nothing](t, load, "Start", endurance.LoadArgs{
		Addr: g.Addr, Paths: []string{"/page", "/api"}, Clients: clients, Pause: pausing(),
	})
	stopEcho := echoing(t, ws)
	good := g.twenty(t, row)
	echoes := stopEcho()
	result := endurance.Ask[endurance.LoadResult](t, load, "Stop", endurance.Nothing{})
	if result.Failed+result.Lost+result.Told > 0 {
		t.Errorf("of %d requests %d failed, %d connections were lost, %d closed: %q", result.Requests, result.Failed, result.Lost, result.Told, result.Errors)
	}
	row.Add("%d requests: %d failed; %d connections lost, %d told to close", result.Requests, result.Failed, result.Lost, result.Told)
	if echoes.Failed > 0 {
		t.Errorf("WebSockets: %v", echoes)
	}
	row.Add("WebSockets: %d echoes, %d failed; %d of %d alive", echoes.OK, echoes.Failed, g.tunnels(t), sockets)
	if n := g.tunnels(t); n != sockets {
		t.Errorf("%d of %d WebSockets are alive", n, sockets)
	}
	endurance.Eventually(t, 20*time.Second, "goroutines are back", func() bool { return g.Goroutines(t) <= goroutines })
	row.Add("goroutines, with the WebSockets: %d before, %d after", goroutines, g.Goroutines(t))
	row.Add("%d applied, %d refused", good, 20-good)
}

func enormous() endurance.Bytes { return harness.Size[endurance.Bytes](*full, 256<<20, 4<<30) }
func pausing() time.Duration    { return harness.Size(*full, 20*time.Millisecond, 50*time.Millisecond) }

// echoing keeps the sockets talking until the function that it returns is called.
func echoing(t *testing.T, ws *endurance.Peer) func() endurance.Outcomes {
	var all endurance.Outcomes
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		pause := time.NewTicker(100 * time.Millisecond)
		defer pause.Stop()
		for {
			out, err := endurance.Try[endurance.Outcomes](ws, "Echo", endurance.Nothing{})
			all.OK, all.Failed, all.First = all.OK+out.OK, all.Failed+out.Failed, out.First
			if err != nil {
				all.Failed++
				return
			}
			select {
			case <-stop:
				return
			case <-pause.C:
			}
		}
	})
	return func() endurance.Outcomes { close(stop); done.Wait(); return all }
}

// twenty reloads, and returns how many of them were good.
func (r *rig) twenty(t *testing.T, row *endurance.Row) (good int) {
	t.Helper()
	generation := r.Metrics(t)["tzero_config_generation"]
	var slowest time.Duration
	pause := time.NewTicker(harness.Size(*full, 20*time.Millisecond, 500*time.Millisecond))
	defer pause.Stop()
	for i := range 20 {
		<-pause.C // every generation sees traffic
		c := r.file(i)
		text := r.config
		c.change(t, r, &text)
		before := r.Metrics(t)
		r.Signal(syscall.SIGHUP)
		var m endurance.Metrics
		took := endurance.Eventually(t, 10*time.Second, c.name+": the reload is counted", func() bool {
			m = r.Metrics(t)
			return attempts(m) == attempts(before)+1
		})
		slowest = max(slowest, took)
		success := 0.0
		if c.good {
			good++
			generation++
			success = 1
		}
		if m["tzero_config_last_reload_success"] != success || m["tzero_config_generation"] != generation {
			t.Errorf("%s: success %v, generation %v; want %v, %v\n%s", c.name, m["tzero_config_last_reload_success"], m["tzero_config_generation"], success, generation, r.Logs())
		}
	}
	row.Add("generation %.0f; slowest reload seen after %.2f s", generation, slowest.Seconds())
	return good
}

func attempts(m endurance.Metrics) float64 {
	return m[`tzero_config_reloads_total{result="applied"}`] + m[`tzero_config_reloads_total{result="refused"}`]
}

// file is one way to change the configuration's file.
type file struct {
	name   string
	good   bool
	change func(t *testing.T, r *rig, text *string)
}

// file chooses the i-th: good ones and bad ones in turn.
func (r *rig) file(i int) file {
	good := []file{
		{"one more route", true, edit("routes: [", fmt.Sprintf("routes: [{name: extra-%d, match: {path: /extra-%d/*}, respond: {status: 200, body: hello}}, ", i, i))},
		{"health checks", true, edit("]}}", "], health: {path: /api, interval: 100ms}}}")},
		{"other limits", true, appendText("limits: {header_timeout: 7s}\ntunnels: {max: 1000}\ncompression: {enabled: false}\n")},
		{"the first file again", true, appendText("")},
		{"another origin too", true, edit("origins: {", "origins: {other: {targets: [\"http://127.0.0.1:9\"]}, ")},
	}
	bad := []file{
		{"no YAML", false, edit("routes: [", "routes: [[")},
		{"an unknown key", false, appendText("limitz: {}\n")},
		{"an impossible value", false, appendText("limits: {header_timeout: -1s}\n")},
		{"an origin that does not exist", false, edit("routes: [{origin: app}", "routes: [{origin: nobody}")},
		{"an empty file", false, func(t *testing.T, r *rig, _ *string) { r.store(t, "") }},
		{"an enormous file", false, func(t *testing.T, r *rig, text *string) {
			r.store(t, *text)
			if err := os.Truncate(r.File, int64(enormous())); err != nil {
				t.Fatal(err)
			}
		}},
		{"no file", false, func(t *testing.T, r *rig, _ *string) {
			if err := os.Remove(r.File); err != nil {
				t.Fatal(err)
			}
		}},
	}
	if i%2 == 0 {
		return good[i/2%len(good)]
	}
	return bad[i/2%len(bad)]
}

func edit(old, replacement string) func(*testing.T, *rig, *string) {
	return func(t *testing.T, r *rig, text *string) {
		if !strings.Contains(*text, old) {
			t.Fatalf("cannot edit the configuration: it does not contain %q", old)
		}
		r.store(t, strings.Replace(*text, old, replacement, 1))
	}
}

func appendText(more string) func(*testing.T, *rig, *string) {
	return func(t *testing.T, r *rig, text *string) { r.store(t, *text+more) }
}

func (r *rig) store(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.File, []byte(text), 0o600); err != nil {
		t.Fatalf("cannot write the configuration: %v", err)
	}
}
