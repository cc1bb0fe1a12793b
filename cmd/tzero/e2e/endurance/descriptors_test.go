package endurance_test

import (
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// files is what the gateway may open in this scenario.
const files = 256

// descriptors takes the gateway's descriptors away. The door's own limit is set out of the way: nothing acts before accept fails.
func descriptors(t *testing.T, report *endurance.Report) {
	for _, c := range []struct {
		name  string
		fails float64 // share of others' requests that may fail while it lasts
		crowd endurance.CrowdArgs
	}{
		{"say nothing", 0, endurance.CrowdArgs{Idlers: 400}},
		{"asked once and keep the connection", 0, endurance.CrowdArgs{Keepers: 400}},
		{"are in the middle of a header section", 0.02, endurance.CrowdArgs{Heads: 400}},
		// Nobody is idle: who comes waits for a descriptor, and is closed when that takes too long.
		{"take a stored answer slowly", 1, endurance.CrowdArgs{Readers: 400}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) { hoard(t, report, c.name, c.fails, c.crowd) })
	}
}

func hoard(t *testing.T, report *endurance.Report, name string, fails float64, a endurance.CrowdArgs) {
	g := startLimited(t)
	row := report.Row("Descriptors exhausted", "the gateway may open %d; 400 clients come who %s, and come back when turned out, for %v", files, name, harness.Size(*full, 2*time.Second, 10*time.Second))
	row.Add("load average %s", harness.Busy())
	res, err := http.Get(g.URL + "/page")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	a.Addr, a.Path, a.Pace, a.Again = g.Addr, "/page?of=4194304", 100*time.Millisecond, 100*time.Millisecond
	hoarders := endurance.Start(t, "crowd")
	patience := 10 * time.Second
	if fails == 1 {
		patience = 2 * time.Second // they wait in vain
	}
	stop := g.probe(t, endurance.ProbeArgs{Path: "/page", Rate: 50, Patience: patience})
	endurance.Ask[endurance.Nothing](t, hoarders, "Start", a)
	<-time.After(harness.Size(*full, 2*time.Second, 10*time.Second))
	during := stop()
	tally := endurance.Ask[endurance.Tally](t, hoarders, "Leave", endurance.Nothing{})
	again := endurance.Eventually(t, 10*time.Second, "a new client is served", func() bool { return servesNew(g.URL + "/page") })
	uncached := endurance.Eventually(t, 10*time.Second, "a new client is served from the origin", func() bool { return servesNew(g.URL + "/api") })
	m := g.Metrics(t)
	fewFailures(t, during, fails)
	if m["tzero_descriptors_exhausted_total"] == 0 {
		t.Error("the descriptors were never exhausted")
	}
	if n := ejections(m); n > 0 {
		t.Errorf("the gateway's own want of descriptors took the origin out %v times", n)
	}
	row.Add("accept failed %.0f times; evicted %.0f, refused %.0f; the crowd: %s", m["tzero_descriptors_exhausted_total"],
		m[`tzero_connections_ended_total{reason="evicted"}`], m[`tzero_connections_ended_total{reason="refused"}`], tally)
	row.Add("others meanwhile (50/s): %s; sent once more on a new connection: %d", during, during.Retried)
	row.Add("serves new clients %.2f s after the crowd left, from the origin %.2f s", again.Seconds(), (again + uncached).Seconds())
}

// startLimited runs the gateway with few descriptors.
func startLimited(t *testing.T) *rig {
	t.Helper()
	o := endurance.Start(t, "origin")
	url := endurance.Ask[string](t, o, "Listen", endurance.Nothing{})
	config := harness.Config{Origin: url, Extra: "limits: {connections: 10000}\n"}.YAML(t)
	for name, value := range endurance.Limited(harness.Binary(t), files) {
		t.Setenv(name, value)
	}
	return &rig{endurance.Watch(harness.StartBinary(t, os.Args[0], config)), o, url, config}
}

// servesNew asks on a connection of its own.
func servesNew(url string) bool {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext,
	}}
	res, err := c.Get(url)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == 200
}

func ejections(m endurance.Metrics) (n float64) {
	for series, v := range m {
		if strings.HasPrefix(series, "tzero_origin_target_ejections_total") {
			n += v
		}
	}
	return n
}
