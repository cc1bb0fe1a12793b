package endurance_test

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// slowClients lets crowds in that take their time; everybody else is served meanwhile.
func slowClients(t *testing.T, report *endurance.Report) {
	t.Run("of all kinds", func(t *testing.T) {
		crowd(t, report, harness.Size(*full, "limits: {header_timeout: 1s}\n", "limits: {connections: 15000}\n"), 0, endurance.CrowdArgs{
			Heads: harness.Size(*full, 300, 8500), Readers: harness.Size(*full, 50, 1000), Bodies: harness.Size(*full, 20, 200), Idlers: harness.Size(*full, 30, 300),
		})
	})
	t.Run("more than may be open", func(t *testing.T) {
		// Whoever comes while everybody else has only just come is refused: nobody is slow yet.
		crowd(t, report, harness.Size(*full, "limits: {header_timeout: 5s, connections: 200}\n", ""), 0.2, endurance.CrowdArgs{Heads: harness.Size(*full, 300, 10000)})
	})
}

// crowd has the crowd come and stay for a while. A share of refused requests of others is all that may fail, once it is there.
func crowd(t *testing.T, report *endurance.Report, extra string, refused float64, a endurance.CrowdArgs) {
	g := start(t, extra)
	count := a.Heads + a.Readers + a.Bodies + a.Idlers
	a.Addr, a.Path, a.Pace, a.Again = g.Addr, "/page?of=4194304", harness.Size(*full, 100*time.Millisecond, time.Second), time.Second
	row := report.Row("Slow clients", "%d at once for %v, coming back a second after being turned out: %d send a header line, %d a request's content, byte by byte, one every %v; "+
		"%d take 4 MiB at 1 KiB every %v; %d say nothing; limit %.0f connections", count, staying(), a.Heads, a.Bodies, a.Pace, a.Readers, a.Pace, a.Idlers,
		g.Metrics(t)["tzero_connections_limit"])
	row.Add("load average %s", harness.Busy())
	quiet := g.others(t)
	<-time.After(harness.Size(*full, time.Second, 10*time.Second))
	before := quiet()
	idle := g.Memory(t)
	g.ForgetPeak(t)
	slow := endurance.Start(t, "crowd")
	stop := g.others(t)
	endurance.Ask[endurance.Nothing](t, slow, "Start", a)
	<-time.After(harness.Size(*full, time.Second/2, 3*time.Second))
	arriving := stop()
	if refused == 0 {
		noFailures(t, arriving)
	}
	stop, stopAPI := g.others(t), g.probe(t, endurance.ProbeArgs{Path: "/api", Rate: 20})
	<-time.After(staying())
	m := g.Metrics(t)
	during, api := stop(), stopAPI()
	fewFailures(t, during, refused)
	fewFailures(t, api, refused)
	held := g.Memory(t)
	tally := endurance.Ask[endurance.Tally](t, slow, "Leave", endurance.Nothing{})
	back := endurance.Eventually(t, 15*time.Second, "the crowd's connections are gone", func() bool {
		return g.Metrics(t)["tzero_connections"] < 20
	})
	if tally.Ended["head: 408"] == 0 {
		t.Errorf("no slow header section ended with 408: %v", tally)
	}
	// All of them where they fit; where they do not, evictions and newcomers race, and half of the places are taken at least.
	least := count * 9 / 10
	if limit := int(m["tzero_connections_limit"]); limit < count {
		least = limit / 2
	}
	if tally.Most < least {
		t.Errorf("at most %d of %d slow clients were connected at the same time", tally.Most, count)
	}
	row.Add("connected at the same time: %d at most, %.0f open at the gateway at the end; opened in all: %d; ended: %v",
		tally.Most, m["tzero_connections"], tally.Opened, tally)
	row.Add("gateway's own count: refused %.0f, evicted %.0f, overdue in a header section %.0f", m[`tzero_connections_ended_total{reason="refused"}`],
		m[`tzero_connections_ended_total{reason="evicted"}`], m[`tzero_connections_ended_total{reason="overdue-head"}`])
	after := g.Memory(t)
	row.Memory(idle, after)
	row.Add("memory with the crowd: %.1f KiB a client", float64(held.RSS-idle.RSS)/1024/float64(count))
	row.Add("others before: %s", before)
	row.Add("others while the crowd arrives: %s", arriving)
	row.Add("others while it stays: %s", during)
	row.Add("others, not stored (20/s): %s", api)
	row.Add("connections back to rest %.1f s after the crowd left", back.Seconds())
}

func fewFailures(t *testing.T, l endurance.Latencies, share float64) {
	t.Helper()
	if float64(l.Failed) > share*float64(l.Sent) || l.Sent == 0 {
		t.Errorf("of others' %d requests %d failed: %s", l.Sent, l.Failed, l.First)
	}
}

func staying() time.Duration { return harness.Size(*full, 3*time.Second, 30*time.Second) }
