package malformed_test

import (
	"embed"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/malformed"
)

//go:embed testdata/*.txt
var testdata embed.FS

var (
	write   = flag.Bool("write", false, "write docs/malformed.md")
	verbose = flag.Bool("faults", false, "log every case of nginx that has a fault")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// TestTable is the promise: no dangerous byte behind tzero, nothing served behind a refusal, nothing legal refused. nginx runs
// the same table beside it; its figures are printed and not judged.
func TestTable(t *testing.T) {
	cases := load(t)
	nginx := runNginx(t, cases)
	origin := newOrigin(t)
	gw := harness.Start(t, harness.Config{Origin: "http://" + origin.Addr()}.YAML(t))
	tzero := run(t, "tzero", gw.Addr, origin, cases, malformed.Options{House: true})
	for i := range tzero.All {
		report(t.Errorf, &tzero.All[i])
	}
	if len(tzero.Strays) > 0 {
		t.Errorf("%d connections to the origin belong to no case: %+v", len(tzero.Strays), tzero.Strays)
	}
	if *write {
		harness.WritePage(t, "docs/malformed.md", func(w io.Writer) error { return malformed.Write(w, tzero, nginx) })
	}
}

// TestNginx shows that the table is fair: a widely used server passes nearly all of it with its defaults.
func TestNginx(t *testing.T) {
	res := runNginx(t, load(t))
	if n := res.Count(malformed.SmuggledAnswered); n > 0 {
		t.Errorf("nginx answered behind %d refusals", n)
	}
	if n := res.Count(malformed.WronglyRefused); n > 8 {
		t.Errorf("nginx refused %d well-formed requests: the accept cases ask too much", n)
	}
	if *verbose {
		for i := range res.All {
			report(t.Logf, &res.All[i])
		}
	}
}

// TestSize keeps the table as large as it was promised to be.
func TestSize(t *testing.T) {
	cases := load(t)
	kinds, names := map[malformed.Expect]int{}, map[string]string{}
	for _, c := range cases {
		kinds[c.Expect]++
		if first, twice := names[c.Class+c.Name]; twice {
			t.Errorf("%s: the name of %s again", c.Where, first)
		}
		names[c.Class+c.Name] = c.Where
	}
	if len(cases) < 320 || kinds[malformed.Accept] < 60 {
		t.Errorf("%d cases, %d of them to be accepted", len(cases), kinds[malformed.Accept])
	}
	t.Logf("%d cases: %v", len(cases), kinds)
}

// runNginx uses the configuration that nginx's own documentation shows for a proxy with keep-alive.
func runNginx(t *testing.T, cases []*malformed.Case) *malformed.Results {
	t.Helper()
	origin := newOrigin(t)
	addr := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	harness.Nginx(t, addr, fmt.Sprintf(`
    client_header_timeout 5s;
    client_body_timeout 5s;
    server {
        listen %s;
        server_name t.test;
        location / {
            proxy_pass http://%s;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }
    }`, addr, origin.Addr()))
	return run(t, "nginx", addr, origin, cases, malformed.Options{})
}

func run(t *testing.T, name, addr string, origin *malformed.Origin, cases []*malformed.Case, opt malformed.Options) *malformed.Results {
	t.Helper()
	res, err := malformed.Run(t.Context(), name, addr, origin, cases, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range malformed.Faults() {
		t.Logf("%s: %s: %d", name, f, res.Count(f))
	}
	t.Logf("%s: %d cases and %d strays in %v", name, len(res.All), len(res.Strays), res.Took)
	return res
}

func report(logf func(string, ...any), r *malformed.Result) {
	for _, f := range r.Faults {
		logf("%s (%s, RFC %s): %s: %s; the client got %v (closed: %v), the origin %+.300v",
			r.Case.Name, r.Case.Where, r.Case.Section, f, r.Detail, r.Client.Statuses, r.Client.Closed, r.Origin)
	}
}

func load(t *testing.T) []*malformed.Case {
	t.Helper()
	sub, err := fs.Sub(testdata, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := malformed.Load(sub)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func newOrigin(t *testing.T) *malformed.Origin {
	t.Helper()
	o, err := malformed.NewOrigin()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}
