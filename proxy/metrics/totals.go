package metrics

import (
	"strings"

	"github.com/tzero-edge/tzero/proxy"
)

// histogram is the sum of one series over all shards.
type histogram struct {
	buckets [numBuckets]uint64
	nanos   uint64
}

func (h *histogram) add(buckets *[numBuckets]uint64, nanos uint64) {
	for i, n := range buckets {
		h.buckets[i] += n
	}
	h.nanos += nanos
}

// labels of a series; parts that a metric does not have are empty.
type labels struct{ route, class, cache, reason, origin string }

type routeTotals struct{ bytesIn, aborted uint64 }

type originTotals struct {
	histogram
	attempts uint64
}

// totals is the sum of all shards, keyed by what the series will be called.
type totals struct {
	durations map[labels]*histogram
	requests  map[labels]uint64
	bytesOut  map[labels]uint64
	routes    map[string]*routeTotals
	origins   map[labels]*originTotals
	refusals  map[string]uint64
	faults    [numFaults]uint64
	reasons   map[proxy.Reason]string
}

func (m *Metrics) total() *totals {
	t := &totals{
		durations: make(map[labels]*histogram),
		requests:  make(map[labels]uint64),
		bytesOut:  make(map[labels]uint64),
		routes:    make(map[string]*routeTotals),
		origins:   make(map[labels]*originTotals),
		refusals:  make(map[string]uint64),
		reasons:   make(map[proxy.Reason]string),
	}
	for _, s := range m.shards {
		s.mu.Lock()
		t.addShard(s)
		s.mu.Unlock()
	}
	return t
}

func (t *totals) addShard(s *shard) {
	for _, c := range s.cells {
		t.addCell(c)
	}
	for k, c := range s.origins {
		o := at(t.origins, labels{origin: k.origin, class: className(k.class)})
		o.add(&c.buckets, c.nanos)
		o.attempts += c.attempts
	}
	for reason, n := range s.refusals {
		t.refusals[t.reason(reason)] += n
	}
	for i, n := range s.faults {
		t.faults[i] += n
	}
}

func (t *totals) addCell(c *cell) {
	route := c.route
	if route == "" {
		route = noRoute
	}
	l := labels{route: route, class: className(c.class), cache: cacheName(c.cache)}
	at(t.durations, l).add(&c.buckets, c.nanos)
	t.bytesOut[labels{route: route, cache: l.cache}] += c.out
	r := at(t.routes, route)
	r.bytesIn += c.in
	r.aborted += c.aborted

	var n uint64
	for _, b := range c.buckets {
		n += b
	}
	l.reason = t.reason(c.reason)
	t.requests[l] += n
}

// reason turns a word into a label. Words that do not look like ours, or come after maxReasons
// others, are counted together.
func (t *totals) reason(r proxy.Reason) string {
	if r == "" {
		return noReason
	}
	if name, ok := t.reasons[r]; ok {
		return name
	}
	name := string(r)
	if len(t.reasons) >= maxReasons || len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		name = otherReason
	}
	if len(t.reasons) < 2*maxReasons {
		t.reasons[r] = name
	}
	return name
}

// at returns the value under k, made at the first use.
func at[K comparable, V any](m map[K]*V, k K) *V {
	v, ok := m[k]
	if !ok {
		v = new(V)
		m[k] = v
	}
	return v
}

// cacheName survives a class that is newer than this package's tables.
func cacheName(c proxy.CacheClass) string {
	if c > proxy.CacheBypass {
		return otherReason
	}
	return c.String()
}

// Totals is the traffic since the start in a few numbers, for /status and the dashboard.
type Totals struct {
	Requests uint64            `json:"requests"`
	ByClass  map[string]uint64 `json:"by_class"`
	ByCache  map[string]uint64 `json:"by_cache"`
	Refused  uint64            `json:"refused"`
	Aborted  uint64            `json:"aborted"`
	BytesIn  uint64            `json:"bytes_in"`
	BytesOut uint64            `json:"bytes_out"`
	// BoundsMS are the upper bounds of Latency's counts in milliseconds; Latency has one count more,
	// for everything above.
	BoundsMS []float64 `json:"bounds_ms"`
	Latency  []uint64  `json:"latency"`
}

// Totals adds all series up.
func (m *Metrics) Totals() Totals {
	t := m.total()
	out := Totals{ByClass: make(map[string]uint64), ByCache: make(map[string]uint64)}
	var all histogram
	for l, h := range t.durations {
		all.add(&h.buckets, h.nanos)
		for _, n := range h.buckets {
			out.Requests += n
			out.ByClass[l.class] += n
			out.ByCache[l.cache] += n
		}
	}
	for _, n := range t.bytesOut {
		out.BytesOut += n
	}
	for _, r := range t.routes {
		out.BytesIn += r.bytesIn
		out.Aborted += r.aborted
	}
	for _, n := range t.refusals {
		out.Refused += n
	}
	for _, b := range m.bounds {
		out.BoundsMS = append(out.BoundsMS, b.Seconds()*1000)
	}
	out.Latency = all.buckets[:]
	return out
}
