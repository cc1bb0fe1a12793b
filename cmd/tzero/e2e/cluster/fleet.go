package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// Host is what the clients call the site.
const Host = "launch.example"

// Fleet is gateways before one origin.
type Fleet struct {
	Gateways []*Gateway
}

// Gateway is one of them.
type Gateway struct {
	*harness.Gateway
	stateDir string
	config   string
}

// StartFleet runs a gateway for each address of Redis; those of one cluster have the same. extra is YAML at the top level.
func StartFleet(t testing.TB, origin string, extra string, redis ...string) *Fleet {
	t.Helper()
	f := &Fleet{}
	for _, url := range redis {
		g := &Gateway{stateDir: t.TempDir()}
		g.config = fmt.Sprintf(`listeners: [{address: "127.0.0.1:%d"}]
admin: {address: "127.0.0.1:%d"}
origins: {app: {targets: [%q], pool: {max_connections: 4096}}}
routes: [{origin: app}]
state_dir: %q
%s
`, harness.FreePort(t), harness.FreePort(t), origin, g.stateDir, fmt.Sprintf(extra, url))
		g.Gateway = harness.Start(t, g.config)
		t.Cleanup(func() { // while it still runs
			if t.Failed() {
				g.sayMetrics(t)
			}
		})
		f.Gateways = append(f.Gateways, g)
	}
	return f
}

// WaitReady waits until every gateway knows of all purges and so uses what the others stored.
func (f *Fleet) WaitReady(t testing.TB) {
	t.Helper()
	for _, g := range f.Gateways {
		harness.Eventually(t, "a gateway is among the others", 20*time.Second, func() bool { return g.Cluster(t).Ready })
	}
}

// Again starts a gateway that has ended, with the same configuration.
func (g *Gateway) Again(t testing.TB) { g.Gateway = harness.Start(t, g.config) }

// ClusterStatus is the part of /status about the others.
type ClusterStatus struct {
	Ready  bool   `json:"ready"`
	CutOff bool   `json:"cut_off"`
	Epoch  uint64 `json:"epoch"`
	Hits   uint64 `json:"hits"`
	Waited uint64 `json:"waited"`
}

// Cluster reads it.
func (g *Gateway) Cluster(t testing.TB) ClusterStatus {
	t.Helper()
	res, err := http.Get(g.AdminURL + "/status")
	if err != nil {
		t.Fatalf("cannot read the status: %v", err)
	}
	defer res.Body.Close()
	var s struct {
		Cluster ClusterStatus `json:"cluster"`
	}
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatalf("cannot read the status: %v", err)
	}
	return s.Cluster
}

// Metric reads one series of /metrics, as it is written there; 0 where there is none.
func (g *Gateway) Metric(t testing.TB, series string) float64 {
	t.Helper()
	res, err := http.Get(g.AdminURL + "/metrics")
	if err != nil {
		t.Fatalf("cannot read the metrics: %v", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("cannot read the metrics: %v", err)
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte(series+" ")); ok {
			n, _ := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64)
			return n
		}
	}
	return 0
}

// sayMetrics writes down what the gateway did with its Redis, of a case that fails.
func (g *Gateway) sayMetrics(t testing.TB) {
	res, err := http.Get(g.AdminURL + "/metrics")
	if err != nil {
		return // it was killed
	}
	defer res.Body.Close()
	var said []byte
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line := lines.Bytes()
		told := bytes.HasPrefix(line, []byte("redis_commands_total{")) || bytes.HasPrefix(line, []byte("tzero_lease")) || bytes.HasPrefix(line, []byte("tzero_shared_"))
		if told && !bytes.HasSuffix(line, []byte(" 0")) {
			said = append(append(said, line...), '\n')
		}
	}
	t.Logf("%s, metrics that are not 0:\n%s", g.URL, said)
}

// Answer is what one request got.
type Answer struct {
	Status int
	Body   string
	Fields http.Header
	Took   time.Duration
	Err    error
}

// Get asks the gateway for a page.
func (g *Gateway) Get(c *http.Client, path string, fields ...string) Answer {
	req, err := http.NewRequest(http.MethodGet, g.URL+path, nil)
	if err != nil {
		return Answer{Err: err}
	}
	req.Host = Host
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	began := time.Now()
	res, err := c.Do(req)
	if err != nil {
		return Answer{Err: err, Took: time.Since(began)}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, string(body), res.Header, time.Since(began), err}
}

// Client is one that keeps many connections.
func Client(t testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// Purged is the answer to a purge.
type Purged struct {
	Epoch        uint64  `json:"epoch"`
	TookMS       float64 `json:"took_ms"`
	Warning      string  `json:"warning"`
	Acknowledged []any   `json:"acknowledged"`
	Missing      []any   `json:"missing"`
	Lost         []any   `json:"lost"`
}

// Purge asks through the socket, as `tzero purge` does.
func (g *Gateway) Purge(t testing.TB, request string) Purged {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(g.stateDir, "admin.sock"))
	}}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr}).Post("http://tzero/purge", "application/json", bytes.NewReader([]byte(request)))
	if err != nil {
		t.Fatalf("cannot purge: %v", err)
	}
	defer res.Body.Close()
	var p Purged
	want := 200
	err = json.NewDecoder(res.Body).Decode(&p)
	if !p.Everywhere() {
		want = 202
	}
	if err != nil || res.StatusCode != want {
		t.Fatalf("cannot purge: %d, %v, %+v", res.StatusCode, err, p)
	}
	return p
}

// Everywhere reports that every gateway has acknowledged.
func (p *Purged) Everywhere() bool { return len(p.Missing)+len(p.Lost) == 0 && p.Warning == "" }

// Rush lets crowds go at all gateways at once.
func (f *Fleet) Rush(t testing.TB, asks []crowd.Ask) [][]crowd.Answer {
	t.Helper()
	crowds := make([]*crowd.Crowd, len(f.Gateways))
	for i, g := range f.Gateways {
		crowds[i] = crowd.Gather(t, g.Addr, asks...)
	}
	return finish(crowds)
}

func finish(crowds []*crowd.Crowd) [][]crowd.Answer {
	answers := make([][]crowd.Answer, len(crowds))
	var all sync.WaitGroup
	for i, c := range crowds {
		all.Go(func() { answers[i] = c.Go().Wait() })
	}
	all.Wait()
	return answers
}
