package endurance_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

var (
	full  = flag.Bool("full", false, "run the full sizes")
	write = flag.Bool("write", false, "write docs/endurance.md")
)

func TestMain(m *testing.M) {
	if endurance.Play() {
		return
	}
	os.Exit(harness.Main(m))
}

// TestEndurance runs all scenarios, one after the other: each has the machine to itself.
func TestEndurance(t *testing.T) {
	r := &endurance.Report{}
	scenarios := []struct {
		name string
		run  func(*testing.T, *endurance.Report)
	}{
		{"transfers", transfers},
		{"sockets", sockets},
		{"slow", slowClients},
		{"reload", reloads},
		{"shutdown", shutdown},
		{"descriptors", descriptors},
		{"events", events},
	}
	ran := 0
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) { ran++; s.run(t, r) })
	}
	switch {
	case t.Failed() && *write:
		t.Error("the table is not written: a scenario failed")
	case ran < len(scenarios) && *write:
		t.Error("the table is not written: it is made from a run of all scenarios")
	case *write:
		harness.WritePage(t, "docs/endurance.md", func(w io.Writer) error { return r.Write(w, harness.Version(t)) })
	}
	var out bytes.Buffer
	if err := r.Write(&out, "this checkout"); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", out.String())
}

// rig is a gateway before an origin.
type rig struct {
	*endurance.Gateway
	origin    *endurance.Peer
	originURL string
	config    string
}

// start brings up both; extra is YAML at the configuration's top level.
func start(t *testing.T, extra string) *rig {
	t.Helper()
	o := endurance.Start(t, "origin")
	url := endurance.Ask[string](t, o, "Listen", endurance.Nothing{})
	config := harness.Config{Origin: url, Extra: extra}.YAML(t)
	return &rig{endurance.Watch(harness.Start(t, config)), o, url, config}
}

// others measures, beside everything else, how a stored page is served. The function that it returns ends that.
func (r *rig) others(t *testing.T) func() endurance.Latencies {
	t.Helper()
	return r.probe(t, endurance.ProbeArgs{Path: "/page", Rate: 200})
}

func (r *rig) probe(t *testing.T, a endurance.ProbeArgs) func() endurance.Latencies {
	t.Helper()
	p := endurance.Start(t, "probe")
	a.Addr = r.Addr
	endurance.Ask[endurance.Nothing](t, p, "Start", a)
	return func() endurance.Latencies {
		return endurance.Ask[endurance.Latencies](t, p, "Stop", endurance.Nothing{})
	}
}
