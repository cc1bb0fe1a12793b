package endurance_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
)

// sockets opens thousands of WebSockets, talks on each, holds and closes them: no failure, and everything is given back.
func sockets(t *testing.T, report *endurance.Report) {
	g := start(t, "")
	count := size(200, 5000)
	first := round(t, report, g, count)
	// What is held after a first round serves the second: nothing leaks.
	if second := round(t, report, g, count); second > first+max(first/5, 16<<20) {
		t.Errorf("a second round took %v of memory, the first %v", second, first)
	}
}

// round returns the memory at its peak.
func round(t *testing.T, report *endurance.Report, g *rig, count int) endurance.Bytes {
	t.Helper()
	row := report.Row("WebSockets", "%d opened, a message echoed on each, held for %v, echoed again, closed", count, hold())
	row.Add("load average %s", endurance.Busy())
	g.settled(t)
	idle, goroutines := g.Memory(t), g.Goroutines(t)
	g.ForgetPeak(t)
	ws := endurance.Start(t, "sockets")
	do := func(what string, args any) {
		t.Helper()
		out := endurance.Ask[endurance.Outcomes](t, ws, what, args)
		if out.OK != count || out.Failed > 0 {
			t.Errorf("%s: %v", what, out)
		}
		row.Add("%s: %v", what, out)
	}
	do("Open", endurance.OpenArgs{Addr: g.Addr, Path: "/ws", Count: count})
	do("Echo", endurance.Nothing{})
	others := g.others(t)
	<-time.After(hold())
	during := others()
	noFailures(t, during)
	held, open := g.Memory(t), g.tunnels(t)
	heldGoroutines := g.Goroutines(t)
	if open != count {
		t.Errorf("/status shows %d tunnels, want %d", open, count)
	}
	do("Echo", endurance.Nothing{})
	do("Close", endurance.Nothing{})
	endurance.Eventually(t, 10*time.Second, "the registry is empty", func() bool { return g.tunnels(t) == 0 })
	endurance.Eventually(t, 15*time.Second, "goroutines are back", func() bool { return g.Goroutines(t) <= goroutines+5 })
	after := g.Memory(t)
	row.Add("memory: before %v, held %v (%.1f KiB a tunnel), peak %v, after %v", idle.RSS, held.RSS,
		float64(held.RSS-idle.RSS)/1024/float64(count), after.Peak, after.RSS)
	row.Add("registry: %d held, 0 after; goroutines: %d before, %d held, %d after", open, goroutines, heldGoroutines, g.Goroutines(t))
	row.Add("others while held: %s", during)
	return after.Peak
}

func hold() time.Duration { return size(500*time.Millisecond, 10*time.Second) }

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
