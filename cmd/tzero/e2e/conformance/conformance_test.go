//go:build conformance

package conformance_test

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/conformance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

//go:embed counts.txt
var kept string

var write = flag.Bool("write", false, "write docs/conformance.md and counts.txt")

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// literal switches off what tzero adds to RFC 9111 by default. stale_if_down is 0 because version 0.4.5 asks the
// impossible of whoever serves stale to a disconnected cache (§4.2.4 permits it): where the origin hangs up on
// a request that must not be answered from the cache, the suite takes even a 502 for an answer from the cache.
// TestNeverStale holds tzero to that requirement instead, with stale_if_down as shipped.
const literal = `cache:
  set_cookie: store
  targeted: [Tzero-Cache-Control, CDN-Cache-Control, Surrogate-Control]
  store_statuses: [400, 414]
  post: store
  vary: languages
  write_burst: 0
  query: {mode: all, names: []}
  html_max: 0s
  heuristic_max: 1d
  negative_ttl: 10m
  server_error_max: 1d
  stale_if_down: 0s
  client_reload_interval: 0s
`

// TestSuite runs everything, compares with what was reached before and, if asked to, writes down what is reached now.
func TestSuite(t *testing.T) {
	suite := conformance.Prepare(t)
	origin := suite.Origin(t)
	reasons, err := conformance.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	before, err := conformance.ReadCounts(strings.NewReader(kept))
	if err != nil {
		t.Fatal(err)
	}
	results, counts := runLiteral(t, suite, origin, before, reasons)
	t.Log(conformance.Summary("tzero, literal", counts))
	for _, r := range results {
		explain(t, r, reasons)
	}
	if !*write || t.Failed() {
		return
	}
	page := conformance.Page{Versions: versions(t), Literal: literal, Reasons: reasons, Columns: []conformance.Column{
		{Name: "tzero, literal", Results: results},
		{Name: "tzero, as shipped", Results: suite.Run(t, harness.Start(t, harness.Config{Origin: origin}.YAML(t)).URL)},
		{Name: "nginx", Results: suite.Run(t, startNginx(t, origin))},
	}}
	harness.WritePage(t, "docs/conformance.md", page.Write)
	harness.WritePage(t, "cmd/tzero/e2e/conformance/counts.txt", counts.Write)
}

// runLiteral runs the suite, and once more if the counts fell: its tests go by the clock, three seconds at a time,
// and a busy machine can be late for one. What was missed without a known reason is logged, for it may be no
// accident of the machine's.
func runLiteral(
	t *testing.T, suite conformance.Suite, origin string, before conformance.Counts, reasons map[string]string,
) ([]conformance.Result, conformance.Counts) {
	t.Helper()
	gw := harness.Start(t, literalConfig(t, origin))
	results := suite.Run(t, gw.URL)
	counts := conformance.Tally(results)
	if worse := counts.Worse(before); worse != nil {
		t.Logf("once more, because: %s", strings.Join(worse, "; "))
		for _, r := range results {
			if r.Missed() && reasons[r.ID] == "" {
				t.Logf("the first time, %s %s (%s): %s", r.Kind, r.ID, r.Verdict, r.Detail)
			}
		}
		results = suite.Run(t, gw.URL)
		counts = conformance.Tally(results)
	}
	for _, said := range counts.Worse(before) {
		t.Error(said)
	}
	return results, counts
}

// explain logs what was missed; a test may only be missed for a reason that is written down.
func explain(t *testing.T, r conformance.Result, reasons map[string]string) {
	t.Helper()
	why, known := reasons[r.ID]
	switch {
	case r.Missed() && !known:
		t.Errorf("%s %s (%s): %s: %s; reasons.txt says nothing about it", r.Kind, r.ID, r.Verdict, r.Name, r.Detail)
	case r.Missed():
		t.Logf("%s %s (%s): %s", r.Kind, r.ID, r.Verdict, why)
	case known:
		t.Logf("%s %s passes: its reason in reasons.txt can go", r.Kind, r.ID)
	}
}

func literalConfig(t *testing.T, origin string) string {
	t.Helper()
	return fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
admin: {address: "127.0.0.1:%d"}
origins: {app: {targets: [%q]}}
routes:
  - origin: app
    %s
state_dir: %q
`, harness.FreePort(t), harness.FreePort(t), origin, strings.ReplaceAll(strings.TrimSpace(literal), "\n", "\n    "), t.TempDir())
}

// startNginx gives nginx the configuration that the suite's authors test it with.
func startNginx(t *testing.T, origin string) string {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))
	dir := t.TempDir()
	harness.Nginx(t, addr, fmt.Sprintf(`
    proxy_cache_path %s levels=1:2 keys_zone=cache:8m max_size=1000m inactive=600m;
    server {
        listen %s;
        location / {
            proxy_pass %s;
            proxy_cache cache;
            proxy_cache_revalidate on;
        }
    }`, dir, addr, origin))
	return "http://" + addr
}

func versions(t *testing.T) string {
	t.Helper()
	node, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Fatalf("cannot ask for Node's version: %v", err)
	}
	nginx, err := exec.Command("bash", "-c", "PATH=$PATH:/usr/sbin nginx -v").CombinedOutput() // it writes to standard error
	if err != nil {
		t.Fatalf("cannot ask for nginx's version: %v", err)
	}
	_, number, _ := strings.Cut(strings.TrimSpace(string(nginx)), "nginx/")
	return fmt.Sprintf("%s, Node %s, nginx %s", runtime.Version(), strings.TrimSpace(string(node)), number)
}
