package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tzero-edge/tzero/proxy"
)

// requestCollector adds the shards up at scrape time.
type requestCollector struct {
	m *Metrics

	duration, requests, bytesIn, bytesOut, aborted *prometheus.Desc
	faults, refusals                               *prometheus.Desc
	originAttempts, originWait                     *prometheus.Desc
}

func newRequestCollector(m *Metrics) *requestCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &requestCollector{
		m: m,
		duration: desc("http_request_duration_seconds",
			"Time from a request's first byte to its answer's last byte.", "route", "class", "cache"),
		requests: desc("tzero_requests_total",
			"Finished requests by what the cache had to do with the answer, and why.", "route", "class", "cache", "reason"),
		bytesIn: desc("tzero_request_body_bytes_total",
			"Body bytes received from clients.", "route"),
		bytesOut: desc("tzero_response_body_bytes_total",
			"Body bytes sent to clients.", "route", "cache"),
		aborted: desc("tzero_requests_aborted_total",
			"Requests whose answer did not reach the client whole.", "route"),
		faults: desc("tzero_faults_total",
			"Failed requests by the party on whose account they failed.", "source"),
		refusals: desc("tzero_refusals_total",
			"Requests that the gateway itself answered with an error, by reason.", "reason"),
		originAttempts: desc("tzero_origin_attempts_total",
			"Attempts to get an answer from an origin, retries included.", "origin"),
		originWait: desc("tzero_origin_wait_seconds",
			"Time until the origin's response head, all attempts; class none: no answer came.", "origin", "class"),
	}
}

func (c *requestCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.duration, c.requests, c.bytesIn, c.bytesOut, c.aborted,
		c.faults, c.refusals, c.originAttempts, c.originWait} {
		ch <- d
	}
}

func (c *requestCollector) Collect(ch chan<- prometheus.Metric) {
	c.m.drop()
	t := c.m.total()
	c.m.retire(t.routes)
	c.collectRequests(ch, t)
	c.collectOrigins(ch, t)
	for f := proxy.FaultClient; int(f) < numFaults; f++ {
		count(ch, c.faults, t.faults[f], f.String())
	}
	for reason, n := range t.refusals {
		count(ch, c.refusals, n, reason)
	}
}

func (c *requestCollector) collectRequests(ch chan<- prometheus.Metric, t *totals) {
	for k, h := range t.durations {
		c.m.histogram(ch, c.duration, h, k.route, k.class, k.cache)
	}
	for k, n := range t.requests {
		count(ch, c.requests, n, k.route, k.class, k.cache, k.reason)
	}
	for k, n := range t.bytesOut {
		count(ch, c.bytesOut, n, k.route, k.cache)
	}
	for route, r := range t.routes {
		count(ch, c.bytesIn, r.bytesIn, route)
		count(ch, c.aborted, r.aborted, route)
	}
}

func (c *requestCollector) collectOrigins(ch chan<- prometheus.Metric, t *totals) {
	attempts := make(map[string]uint64)
	for k, o := range t.origins {
		attempts[k.origin] += o.attempts
		c.m.histogram(ch, c.originWait, &o.histogram, k.origin, k.class)
	}
	for origin, n := range attempts {
		count(ch, c.originAttempts, n, origin)
	}
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), clean(labels)...)
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, clean(labels)...)
}

func (m *Metrics) histogram(ch chan<- prometheus.Metric, d *prometheus.Desc, h *histogram, labels ...string) {
	cumulated := make(map[float64]uint64, numBounds)
	var n uint64
	for i, bound := range m.bounds {
		n += h.buckets[i]
		cumulated[bound.Seconds()] = n
	}
	n += h.buckets[numBounds]
	sum := time.Duration(h.nanos).Seconds()
	ch <- prometheus.MustNewConstHistogram(d, n, sum, cumulated, clean(labels)...)
}

// clean keeps one odd byte in a name from spoiling the whole scrape: labels must be valid UTF-8.
func clean(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD")
	}
	return labels
}
