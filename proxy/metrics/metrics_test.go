package metrics

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/tzero-edge/tzero/proxy"
)

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func sources() Sources {
	return Sources{
		Cache: func() CacheStats { return CacheStats{Objects: 3, Bytes: 4096, Capacity: 1 << 20, Evicted: 2} },
		Targets: func() []TargetStats {
			return []TargetStats{
				{Origin: "app", Target: "http://a:1", State: "healthy", Open: 5, Idle: 3, Requests: 9, Errors: map[string]uint64{"reset": 2}},
				{Origin: "app", Target: "http://b:1", State: "ejected"},
			}
		},
		Listeners: func() ListenerStats {
			return ListenerStats{Open: 2, Limit: 100, Accepted: 7, Ended: map[string]uint64{"refused": 1}}
		},
		Tunnels: func() TunnelStats { return TunnelStats{Open: 1, Opened: 4, Ended: map[string]uint64{"idle": 3}} },
		Reload: func() ReloadStats {
			return ReloadStats{Generation: 7, Hash: "abc", LastSuccess: true, LastTime: time.Unix(1000, 5e8), Succeeded: 6, Failed: 1}
		},
		DecisionLog: func() LogStats { return LogStats{Written: 10, Dropped: 2} },
		Violations:  func() map[string]uint64 { return map[string]uint64{"lease-held": 0} },
	}
}

func newMetrics() (*Metrics, *clock) {
	c := &clock{t: time.Unix(1e9, 0)}
	return New(Build{Version: "1.2", Revision: "f00", GoVersion: "go1.26"}, sources(), c.now), c
}

// scrape asks over HTTP and parses the answer as Prometheus would.
func scrape(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape answered %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatalf("the scrape does not parse: %v", err)
	}
	return families
}

// find returns the metric with these labels, given as name, value, name, value….
func find(f *dto.MetricFamily, want ...string) *dto.Metric {
	for _, m := range f.GetMetric() {
		have := make(map[string]string)
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		match := true
		for i := 0; i < len(want); i += 2 {
			match = match && have[want[i]] == want[i+1]
		}
		if match {
			return m
		}
	}
	return nil
}

func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	m := find(families[name], labels...)
	if m == nil {
		t.Fatalf("no %s with %v", name, labels)
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestScrape(t *testing.T) {
	m, _ := newMetrics()
	for i := range 10 {
		o := hit()
		o.Duration = time.Duration(i) * 4 * time.Millisecond
		m.Observe(o)
	}
	m.Observe(&proxy.Outcome{
		Duration: 40 * time.Second, Route: "products", Status: 502, Cache: proxy.CacheMiss, CacheReason: "uri-miss",
		Origin: "app", OriginTime: 3 * time.Millisecond, Attempts: 3, OriginStatus: 0,
		BytesIn: 5, BytesOut: 50, Aborted: true, Fault: proxy.FaultOrigin,
	})
	m.Observe(&proxy.Outcome{Status: 0, Fault: proxy.FaultClient})
	got := scrape(t, m)

	h := find(got["http_request_duration_seconds"], "route", "products", "class", "2xx", "cache", "hit").GetHistogram()
	if h.GetSampleCount() != 10 || h.GetSampleSum() < 0.1799 || h.GetSampleSum() > 0.1801 {
		t.Errorf("hit histogram: count %d, sum %v", h.GetSampleCount(), h.GetSampleSum())
	}
	cumulated := map[float64]uint64{0.00025: 1, 0.001: 1, 0.005: 2, 0.01: 3, 0.015: 4, 0.02: 6, 0.04: 10, 0.1: 10, 30: 10}
	for _, b := range h.GetBucket() {
		if want, ok := cumulated[b.GetUpperBound()]; ok && b.GetCumulativeCount() != want {
			t.Errorf("up to %v s: %d requests, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	slow := find(got["http_request_duration_seconds"], "class", "5xx").GetHistogram()
	if n := len(slow.GetBucket()); slow.GetSampleCount() != 1 || slow.GetBucket()[n-2].GetCumulativeCount() != 0 {
		t.Errorf("a request of 40 s is not in the last bucket alone: %v", slow)
	}

	check := func(want float64, name string, labels ...string) {
		t.Helper()
		if v := value(t, got, name, labels...); v != want {
			t.Errorf("%s%v = %v, want %v", name, labels, v, want)
		}
	}
	check(10, "tzero_requests_total", "route", "products", "class", "2xx", "cache", "hit", "reason", "fresh")
	check(1, "tzero_requests_total", "route", "products", "class", "5xx", "reason", "uri-miss")
	check(1, "tzero_requests_total", "route", "(none)", "class", "none", "reason", "none")
	check(10240, "tzero_response_body_bytes_total", "route", "products", "cache", "hit")
	check(5, "tzero_request_body_bytes_total", "route", "products")
	check(1, "tzero_requests_aborted_total", "route", "products")
	check(1, "tzero_faults_total", "source", "origin")
	check(1, "tzero_faults_total", "source", "client")
	check(0, "tzero_faults_total", "source", "gateway")
	check(3, "tzero_origin_attempts_total", "origin", "app")
	check(1, "tzero_build_info", "version", "1.2", "revision", "f00")
	check(7, "tzero_config_generation")
	check(1, "tzero_config_hash", "hash", "abc")
	check(1, "tzero_config_last_reload_success")
	check(1000.5, "tzero_config_last_reload_timestamp_seconds")
	check(6, "tzero_config_reloads_total", "result", "applied")
	check(1, "tzero_config_reloads_total", "result", "refused")
	check(1, "tzero_origin_target_state", "target", "http://b:1", "state", "ejected")
	check(0, "tzero_origin_target_state", "target", "http://b:1", "state", "healthy")
	check(2, "tzero_origin_target_errors_total", "target", "http://a:1", "kind", "reset")
	check(2, "tzero_origin_target_connections", "target", "http://a:1", "state", "busy")
	check(2, "tzero_decision_log_lines_total", "result", "dropped")
	check(1, "tzero_connections_ended_total", "reason", "refused")
	if got["go_goroutines"] == nil || got["process_cpu_seconds_total"] == nil {
		t.Error("the runtime's or the process's metrics are missing")
	}
}

func TestNamesAndLint(t *testing.T) {
	m, _ := newMetrics()
	m.Observe(&proxy.Outcome{Status: 200, Origin: "app"})
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families {
		name := f.GetName()
		if name != "http_request_duration_seconds" && !strings.HasPrefix(name, "tzero_") &&
			!strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s does not begin with tzero_", name)
		}
	}
}

func TestBucketsMatchBounds(t *testing.T) {
	b := bounds()
	slowly := func(d time.Duration) int {
		for i, bound := range b {
			if d <= bound {
				return i
			}
		}
		return numBounds
	}
	try := func(d time.Duration) {
		if got, want := bucketOf(d), slowly(d); got != want {
			t.Errorf("%v is counted in %d, want %d", d, got, want)
		}
	}
	for i, bound := range b {
		if i > 0 && bound <= b[i-1] {
			t.Errorf("bound %d does not ascend", i)
		}
		try(bound - 1)
		try(bound)
		try(bound + 1)
	}
	try(0)
	try(-time.Second)
	try(time.Hour)
}

func TestRefusal(t *testing.T) {
	try := func(status int, want string, refused bool, steps ...proxy.Step) {
		t.Helper()
		if r, ok := refusal(status, steps); string(r) != want || ok != refused {
			t.Errorf("refusal(%d, %v) = %q, %v", status, steps, r, ok)
		}
	}
	at := func(s proxy.State, r proxy.Reason) proxy.Step { return proxy.Step{State: s, Reason: r} }
	try(404, "no-route", true, at(proxy.StateRecv, ""), at(proxy.StateRoute, "no-route"), at(proxy.StateSynth, ""), at(proxy.StateFinish, ""))
	try(429, "rate", true, at(proxy.StateAdmit, "limited"), at(proxy.StateSynth, "rate"))
	try(503, "none", true, at(proxy.StateSynth, ""))
	try(301, "", false, at(proxy.StateDispatch, "redirect"), at(proxy.StateSynth, "redirect"))
	try(404, "", false, at(proxy.StateFetch, "origin"), at(proxy.StateDeliver, ""))
}

// A thousand odd labels must neither break a scrape nor grow it without end.
func TestCardinalityIsBounded(t *testing.T) {
	m, _ := newMetrics()
	for i := range maxCells + 500 {
		m.Observe(&proxy.Outcome{Route: "r" + strconv.Itoa(i), CacheReason: "fresh", Status: 200})
	}
	for i := range 3 * maxReasons {
		m.Observe(&proxy.Outcome{Route: "r1", CacheReason: proxy.Reason("w" + strconv.Itoa(i)), Status: 200})
	}
	m.Observe(&proxy.Outcome{Route: "\xff\"\n", CacheReason: "No Word!", Cache: 200, Status: -4, Fault: 99, Duration: -1, Origin: "\x80"})
	for _, s := range m.shards {
		if len(s.cells) > maxCells+numClasses*8 {
			t.Errorf("a shard keeps %d cells", len(s.cells))
		}
	}
	got := scrape(t, m)
	reasons := make(map[string]bool)
	for _, x := range got["tzero_requests_total"].GetMetric() {
		for _, l := range x.GetLabel() {
			if l.GetName() == "reason" {
				reasons[l.GetValue()] = true
			}
		}
	}
	if len(reasons) > maxReasons+2 {
		t.Errorf("%d different reasons are shown", len(reasons))
	}
	if !reasons[otherReason] {
		t.Error("nothing was counted as other")
	}
}

func TestRemovedRoutesFade(t *testing.T) {
	m, c := newMetrics()
	m.Apply([]string{"old", "kept"})
	for _, r := range []string{"old", "kept", ""} {
		m.Observe(&proxy.Outcome{Route: r, Status: 200})
	}
	m.Apply([]string{"kept"})
	shown := func() map[string]bool {
		out := make(map[string]bool)
		for _, x := range scrape(t, m)["tzero_requests_aborted_total"].GetMetric() {
			out[x.GetLabel()[0].GetValue()] = true
		}
		return out
	}
	c.advance(Keep - time.Minute)
	if s := shown(); !s["old"] || !s["kept"] {
		t.Errorf("shortly after the reload: %v", s)
	}
	c.advance(2 * time.Minute)
	if s := shown(); s["old"] || !s["kept"] || !s[noRoute] {
		t.Errorf("an hour later: %v", s)
	}
	m.Observe(&proxy.Outcome{Route: "old", Status: 101}) // a tunnel that outlived its route
	if s := shown(); !s["old"] {
		t.Error("a late request was not counted")
	}
	c.advance(2 * Keep)
	if s := shown(); s["old"] {
		t.Error("the late request's series stays for ever")
	}
	m.Observe(&proxy.Outcome{Route: "old", Status: 200})
	m.Apply([]string{"old", "kept"})
	c.advance(2 * Keep)
	if s := shown(); !s["old"] {
		t.Error("a route that came back was dropped")
	}
}

// Observers, scrapes and reloads at once: no count is lost (and the race detector watches).
func TestConcurrentObservations(t *testing.T) {
	m, _ := newMetrics()
	const workers, each = 8, 2000
	stop := make(chan struct{})
	var scrapes, work sync.WaitGroup
	scrapes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := m.Gatherer().Gather(); err != nil {
					t.Error(err)
					return
				}
				m.Apply([]string{"products"})
			}
		}
	})
	for range workers {
		work.Go(func() {
			o := hit()
			for i := range each {
				o.Cache = proxy.CacheClass(i % 7)
				m.Observe(o)
			}
		})
	}
	work.Wait()
	close(stop)
	scrapes.Wait()
	totals := m.Totals()
	if totals.Requests != workers*each || totals.BytesOut != workers*each*1024 || totals.ByClass["2xx"] != workers*each {
		t.Errorf("totals after %d requests: %+v", workers*each, totals)
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	m, _ := newMetrics()
	miss := &proxy.Outcome{Route: "products", Status: 502, Cache: proxy.CacheMiss, CacheReason: "uri-miss", Origin: "app", Attempts: 2, Fault: proxy.FaultOrigin, Aborted: true}
	for _, o := range []*proxy.Outcome{hit(), miss, {}} {
		for range 100 * len(m.shards) {
			m.Observe(o) // makes every shard's cells
		}
		if n := testing.AllocsPerRun(1000, func() { m.Observe(o) }); n > 0 && !raceEnabled {
			t.Errorf("an observation allocates %v times", n)
		}
	}
}
