package crowd_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

var (
	full  = flag.Bool("full", false, "run the full sizes")
	write = flag.Bool("write", false, "write docs/crowd.md")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// TestCrowd runs all cases, one after the other: each has the machine to itself.
func TestCrowd(t *testing.T) {
	r := &crowd.Report{}
	ran := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { ran++; c.run(t, r) })
	}
	switch {
	case t.Failed() && *write:
		t.Error("the table is not written: a case failed")
	case ran < len(cases) && *write:
		t.Error("the table is not written: it is made from a run of all cases")
	case *write:
		harness.WritePage(t, "docs/crowd.md", func(w io.Writer) error { return r.Write(w, harness.Version(t)) })
	}
	var out bytes.Buffer
	if err := r.Write(&out, "this checkout"); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", out.String())
}

// cases are the lines of the table, in its order.
var cases = []struct {
	name string
	run  func(*testing.T, *crowd.Report)
}{
	{"slow-origin", slowOrigin},
	{"quick-origin", quickOrigin},
	{"streams", streams},
	{"leader-leaves-before-the-head", leaderLeavesEarly},
	{"leader-leaves-in-the-middle", leaderLeavesLate},
	{"leader-is-slow", leaderIsSlow},
	{"slow-readers", slowReaders},
	{"reset-in-the-middle", resetInTheMiddle},
	{"reset-before-the-head", resetBeforeTheHead},
	{"fails", fails},
	{"private", private},
	{"private-with-few-connections", privateFewConnections},
	{"vary", varies},
	{"codings", codings},
	{"heads-beside-a-fill", headsBesideAFill},
	{"heads-cold", headsCold},
	{"stale-while-revalidate", staleWhileRevalidate},
	{"stale-revalidated", staleRevalidated},
	{"stale-if-error", staleIfError},
	{"refreshes", refreshes},
	{"too-large-announced", tooLargeAnnounced},
	{"too-large-unannounced", tooLargeUnannounced},
}

// many is the size of a crowd.
func many() int { return harness.Size(*full, 300, 1000) }

// joining is what a crowd gets to arrive at the gateway, after its requests have left.
func joining() time.Duration { return harness.Size(*full, 300*time.Millisecond, time.Second) }

// rig is a gateway before an origin.
type rig struct {
	*harness.Gateway
	origin *crowd.Origin
}

// start brings up both. connections is the origin's pool.max_connections, 0 for the default; extra is YAML at the
// configuration's top level.
func start(t *testing.T, connections int, extra string) *rig {
	t.Helper()
	o := crowd.NewOrigin(t)
	pool := ""
	if connections > 0 {
		pool = fmt.Sprintf(", pool: {max_connections: %d}", connections)
	}
	config := fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
admin: {address: "127.0.0.1:%d"}
origins: {app: {targets: [%q]%s}}
routes: [{origin: app}]
state_dir: %q
%s`, harness.FreePort(t), harness.FreePort(t), o.URL, pool, t.TempDir(), extra)
	return &rig{harness.Start(t, config), o}
}

// everybody is n times the same request.
func everybody(n int, a crowd.Ask) []crowd.Ask { return slices.Repeat([]crowd.Ask{a}, n) }

// rush lets a crowd go and waits for its end.
func (r *rig) rush(t *testing.T, asks []crowd.Ask) []crowd.Answer {
	t.Helper()
	return crowd.Gather(t, r.Addr, asks...).Go().Wait()
}

// led lets one client ask, and the others once its request is at the origin.
func (r *rig) led(t *testing.T, p *crowd.Page, first crowd.Ask, others []crowd.Ask) (leader, followers *crowd.Crowd) {
	t.Helper()
	followers = crowd.Gather(t, r.Addr, others...)
	leader = crowd.Gather(t, r.Addr, first).Go()
	await(t, p.Asked(), "the leader's request reaches the origin")
	followers.Go()
	return leader, followers
}

// await waits for what has to happen.
func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
	}
}

// askedAtMost asserts a page's bound and enters it in the line.
func (r *rig) askedAtMost(t *testing.T, row *crowd.Row, p *crowd.Page, bound int) {
	t.Helper()
	c := r.origin.Count(p)
	row.Origin(strconv.Itoa(c.Asked), strconv.Itoa(bound))
	if c.Asked > bound || c.Asked == 0 {
		t.Errorf("the origin was asked %d times, bound %d", c.Asked, bound)
	}
}

// allRight asserts that everybody got what was due.
func allRight(t *testing.T, row *crowd.Row, crowds ...[]crowd.Answer) crowd.Tally {
	t.Helper()
	tally := crowd.TallyOf(crowds...)
	row.Answers(tally)
	if tally.Right != tally.Clients || tally.Clients == 0 {
		t.Errorf("of %d clients %d were answered as due; %s", tally.Clients, tally.Right, tally.Faults())
	}
	return tally
}

// stored writes content that everybody may have for a minute.
func stored(w http.ResponseWriter, content []byte) {
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
}

// stream writes content in parts, without a length, spread over a time; false where the gateway has hung up.
func stream(w http.ResponseWriter, content []byte, parts int, over time.Duration) bool {
	w.Header().Set("Content-Type", "application/octet-stream")
	for i := range parts {
		if _, err := w.Write(content[len(content)*i/parts : len(content)*(i+1)/parts]); err != nil {
			return false
		}
		_ = http.NewResponseController(w).Flush()
		if i < parts-1 {
			<-time.After(over / time.Duration(parts-1))
		}
	}
	return true
}
