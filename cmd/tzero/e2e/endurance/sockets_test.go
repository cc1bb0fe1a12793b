package endurance_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// sockets opens thousands of WebSockets, talks on each, holds and closes them: no failure, and everything is given back.
func sockets(t *testing.T, report *endurance.Report) {
	g := start(t, "")
	count := harness.Size(*full, 200, 5000)
	row := report.Row("WebSockets", "%d opened, a message echoed on each, held for %v, echoed again, closed; then three times more, without holding them", count, hold())
	row.Add("load average %s", harness.Busy())
	g.settled(t)
	idle, goroutines := g.Memory(t), g.Goroutines(t)
	first := g.round(t, count, func() {
		others := g.others(t)
		<-time.After(hold())
		during := others()
		noFailures(t, during)
		held, open := g.Memory(t), g.tunnels(t)
		if open != count {
			t.Errorf("/status shows %d tunnels, want %d", open, count)
		}
		row.Add("memory: before %v, held %v (%.1f KiB a tunnel)", idle.RSS, held.RSS, float64(held.RSS-idle.RSS)/1024/float64(count))
		row.Add("live registry: %d held; goroutines: %d before, %d held", open, goroutines, g.Goroutines(t))
		row.Add("others while held: %s", during)
	})
	row.Add("opened: %v", first.open)
	row.Add("echoed: %v", first.echo)
	row.Add("closed: %v", first.close)
	peaks := []endurance.Bytes{first.peak}
	for range 3 {
		peaks = append(peaks, g.round(t, count, func() {}).peak)
	}
	// Between two collections the heap may double; what leaks adds up round by round.
	if last := peaks[3]; last > first.peak+first.peak*6/10+16<<20 {
		t.Errorf("the fourth round took %v of memory, the first %v", last, first.peak)
	}
	endurance.Eventually(t, 15*time.Second, "goroutines are back", func() bool { return g.Goroutines(t) <= goroutines+5 })
	row.Add("memory: peak round by round %v, after %v", peaks, g.Memory(t).RSS)
	row.Add("live registry: %d after; goroutines: %d after", g.tunnels(t), g.Goroutines(t))
	g.logged(t)
}

// logged looks at the tunnels' lines in the decision log: they are written at the end, when the request's buffers have long
// served others.
func (r *rig) logged(t *testing.T) {
	t.Helper()
	seen := 0
	for line := range strings.Lines(r.Logs()) {
		if !strings.Contains(line, `"status":101`) {
			continue
		}
		seen++
		if !strings.Contains(line, `"method":"GET"`) || !strings.Contains(line, `"host":"launch.example","path":"/ws"`) {
			t.Fatalf("the decision log describes a tunnel by other bytes than its request's: %s", line)
		}
	}
	if seen == 0 {
		t.Error("the decision log has no line about a tunnel")
	}
}

// round is what became of all sockets' openings, second echoes and goodbyes, and the gateway's memory at its peak.
type round struct {
	open, echo, close endurance.Outcomes
	peak              endurance.Bytes
}

func (r *rig) round(t *testing.T, count int, held func()) (out round) {
	t.Helper()
	ws := endurance.Start(t, "sockets")
	defer ws.Kill()
	r.ForgetPeak(t)
	all := func(what string, args any) endurance.Outcomes {
		t.Helper()
		o := endurance.Ask[endurance.Outcomes](t, ws, what, args)
		if o.OK != count || o.Failed > 0 {
			t.Errorf("%s: %v", what, o)
		}
		return o
	}
	out.open = all("Open", endurance.OpenArgs{Addr: r.Addr, Path: "/ws", Count: count})
	all("Echo", endurance.Nothing{})
	held()
	out.echo = all("Echo", endurance.Nothing{})
	out.close = all("Close", endurance.Nothing{})
	endurance.Eventually(t, 10*time.Second, "the registry is empty", func() bool { return r.tunnels(t) == 0 })
	out.peak = r.Memory(t).Peak
	return out
}

func hold() time.Duration { return harness.Size(*full, 500*time.Millisecond, 10*time.Second) }

// tunnels is the live registry's count in /status.
func (r *rig) tunnels(t *testing.T) int {
	t.Helper()
	var s struct{ Tunnels struct{ Open int } }
	if err := json.Unmarshal([]byte(r.Status(t)), &s); err != nil {
		t.Fatalf("cannot read the status: %v", err)
	}
	return s.Tunnels.Open
}

// settled waits until the process has come to rest after its start: its number of goroutines stands still.
func (r *rig) settled(t *testing.T) {
	t.Helper()
	last, same := -1, 0
	endurance.Eventually(t, 10*time.Second, "goroutines stand still", func() bool {
		n := r.Goroutines(t)
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		return same >= 10
	})
}
