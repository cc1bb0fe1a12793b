// Package metrics counts what the journey reports and shows it to Prometheus. The Prometheus client
// lives only here.
//
// On the request path an observation goes into one of several shards, chosen by affinity to the
// processor: shared atomic counters cost ten times as much as soon as two cores write them. A
// [prometheus.Collector] adds the shards up when somebody scrapes.
//
// Cardinality is bounded: routes come from the configuration, statuses are folded into classes,
// reasons are a closed set of words, and beyond fixed numbers of combinations everything is counted
// as "other". Series of a route that a reload removed live on for [Keep], so that its last increments
// are scraped, and are then dropped.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tzero-edge/tzero/proxy"
)

// Keep is how long the series of a removed route stay visible.
const Keep = time.Hour

// Metrics is a [proxy.Observer] and the source of /metrics. It owns no goroutine.
type Metrics struct {
	shards   []*shard
	next     atomic.Uint32
	affinity sync.Pool // of *shard: hands each processor the shard it used last

	registry *prometheus.Registry
	now      func() time.Time
	bounds   [numBounds]time.Duration

	mu      sync.Mutex
	current map[string]bool      // routes of the newest generation; nil before the first Apply
	retired map[string]time.Time // removed routes, and since when
}

var _ proxy.Observer = (*Metrics)(nil)

// New makes the metrics. now is asked at scrapes and by Apply, never on the request path.
func New(build Build, sources Sources, now func() time.Time) *Metrics {
	m := &Metrics{
		shards:   make([]*shard, min(2*runtime.GOMAXPROCS(0), 128)),
		registry: prometheus.NewRegistry(),
		now:      now,
		bounds:   bounds(),
		retired:  make(map[string]time.Time),
	}
	for i := range m.shards {
		m.shards[i] = newShard()
	}
	m.affinity.New = func() any { return m.shards[int(m.next.Add(1))%len(m.shards)] }
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newRequestCollector(m),
		newSourceCollector(build, sources),
	)
	return m
}

// Observe counts one finished request. It allocates only at the first request with a new combination
// of labels.
func (m *Metrics) Observe(o *proxy.Outcome) {
	s := m.lock()
	c := s.cell(o)
	took := o.Duration
	if o.Status == 101 {
		took = o.FirstByte // a tunnel's life is no latency
	}
	c.buckets[bucketOf(took)]++
	c.nanos += nanos(took)
	c.in += uint64(max(o.BytesIn, 0))
	c.out += uint64(max(o.BytesOut, 0))
	if o.Aborted {
		c.aborted++
	}
	if o.Origin != "" {
		s.origin(o)
	}
	if o.Fault != proxy.FaultNone && int(o.Fault) < numFaults {
		s.faults[o.Fault]++
	}
	if reason, refused := refusal(o.Status, o.Steps()); refused {
		s.refuse(reason)
	}
	s.mu.Unlock()
	m.affinity.Put(s)
}

// lock returns a locked shard: the one this processor used last or, when a scrape is copying that one
// or its holder was preempted, any other. Only when all are taken at once does it wait, for a holder
// that needs nanoseconds.
func (m *Metrics) lock() *shard {
	own := m.affinity.Get().(*shard)
	if own.mu.TryLock() {
		return own
	}
	for _, s := range m.shards {
		if s.mu.TryLock() {
			return s
		}
	}
	own.mu.Lock()
	return own
}

// Apply tells of the routes of a new generation. Series of routes that are gone are dropped [Keep]
// later.
func (m *Metrics) Apply(routes []string) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	current := make(map[string]bool, len(routes))
	for _, r := range routes {
		current[r] = true
		delete(m.retired, r)
	}
	for r := range m.current {
		if !current[r] {
			m.retired[r] = now
		}
	}
	m.current = current
}

// retire notices routes that are counted although no generation has them any more: a tunnel may end
// hours after its route.
func (m *Metrics) retire(seen map[string]*routeTotals) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return
	}
	for r := range seen {
		if _, known := m.retired[r]; !known && !m.current[r] && r != noRoute && r != otherRoute {
			m.retired[r] = now
		}
	}
}

// drop removes the series of routes that were retired long enough ago.
func (m *Metrics) drop() {
	gone := m.gone()
	if len(gone) == 0 {
		return
	}
	for _, s := range m.shards {
		s.mu.Lock()
		for k := range s.cells {
			if gone[k.route] {
				delete(s.cells, k)
			}
		}
		clear(s.hints[:])
		s.mu.Unlock()
	}
}

// gone takes the routes whose time is up off the list of the retired.
func (m *Metrics) gone() map[string]bool {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var gone map[string]bool
	for r, since := range m.retired {
		if now.Sub(since) < Keep {
			continue
		}
		if gone == nil {
			gone = make(map[string]bool)
		}
		gone[r] = true
		delete(m.retired, r)
	}
	return gone
}

// Handler answers scrapes. One failing collector does not hide the others.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		EnableOpenMetrics:   true,
	})
}

// Gatherer gives tests and tools the same metrics without HTTP.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }
