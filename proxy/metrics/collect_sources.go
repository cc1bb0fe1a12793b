package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// sourceCollector shows the snapshots of the other services.
type sourceCollector struct {
	build   Build
	sources Sources
	desc    map[string]*prometheus.Desc
}

//go:generate go test . -run Current -update

// describe lists every metric of the sources: name, help, labels.
func describe() map[string]*prometheus.Desc {
	out := make(map[string]*prometheus.Desc)
	add := func(name, help string, labels ...string) {
		out[name] = prometheus.NewDesc("tzero_"+name, help, labels, nil)
	}
	add("build_info", "What is running; always 1.", "version", "revision", "goversion")

	add("config_generation", "Number of the configuration generation in use.")
	add("config_hash", "Hash of the configuration in use; always 1.", "hash")
	add("config_last_reload_success", "1 when the last reload was applied, 0 when it was refused.")
	add("config_last_reload_timestamp_seconds", "When the last reload was tried.")
	add("config_reloads_total", "Reloads by result.", "result")

	add("cache_objects", "Objects in memory.")
	add("cache_bytes", "Bytes of the objects in memory and of the tables to find them.")
	add("cache_capacity_bytes", "Bytes that these may take.")
	add("cache_pinned_objects", "Pinned objects.")
	add("cache_pinned_bytes", "Bytes of the pinned objects.")
	add("cache_pinned_capacity_bytes", "Bytes that the pinned objects may take.")
	add("cache_pins_refused_total", "Planned objects that found no room among the pinned ones.")
	add("cache_moved_bytes_total", "Bytes copied to give back memory between objects.")
	add("cache_fills_in_flight", "Objects that are being fetched.")
	add("cache_fill_bytes", "Bytes held by objects that are being fetched.")
	add("cache_fills_total", "Fills begun.")
	add("cache_fills_failed_total", "Fills that ended without a whole object.")
	add("cache_followers_total", "Requests that read along with a fill.")
	add("cache_uncacheable_total", "Answers judged not storable.")
	add("cache_refreshes_total", "Background refreshes begun.")
	add("cache_writes_delayed_total", "Writes that make stored pages void a little later, because their client writes too often.")
	add("cache_laggards_total", "Readers cut because they fell behind a fill that was too large to keep.")
	add("cache_stored_total", "Objects accepted for storing.")
	add("cache_lost_total", "Objects that the cache did not keep, by cause.", "cause")

	out["redis_commands_total"] = prometheus.NewDesc("redis_commands_total", "Commands sent to Redis, or not sent because it does not answer (open), by outcome.", []string{"command", "outcome"}, nil)
	describeShared(add)
	describeLimits(add)

	add("origin_target_state", "1 for the state that the target is in.", "origin", "target", "state")
	add("origin_target_in_flight", "Requests that hold a connection to the target.", "origin", "target")
	add("origin_target_queued", "Requests that wait for a connection to the target.", "origin", "target")
	add("origin_target_uploads", "Requests at the target whose content is still arriving.", "origin", "target")
	add("origin_target_streams", "Event streams from the target.", "origin", "target")
	add("origin_target_waited_total", "Requests that had to wait for a connection to the target.", "origin", "target")
	add("origin_target_connections", "Connections to the target by state.", "origin", "target", "state")
	add("origin_target_connects_total", "Connections opened to the target.", "origin", "target")
	add("origin_target_stale_connections_total", "Idle connections found closed when they were wanted.", "origin", "target")
	add("origin_target_attempts_total", "Requests sent to the target, retries included.", "origin", "target")
	add("origin_target_errors_total", "Failed requests to the target, by kind.", "origin", "target", "kind")
	add("origin_target_ejections_total", "Times that failed requests took the target out.", "origin", "target")
	add("origin_target_latency_seconds", "Moving average of the time to the response head.", "origin", "target")

	add("connections", "Client connections that are open.")
	add("connections_limit", "Client connections that may be open.")
	add("connections_accepted_total", "Client connections accepted.")
	add("connections_ended_total", "Client connections refused or cut short, by reason.", "reason")
	add("descriptors_exhausted_total", "Times that no file descriptor was left for a connection.")

	add("tunnels", "Upgraded connections that are open.")
	add("tunnels_limit", "Upgraded connections that may be open.")
	add("tunnels_opened_total", "Upgraded connections opened.")
	add("tunnels_refused_total", "Upgrades refused because too many were open.")
	add("tunnels_ended_total", "Upgraded connections ended, by reason.", "reason")
	add("tunnel_bytes_total", "Bytes through tunnels; in: from clients.", "direction")

	add("decision_log_lines_total", "Lines of the decision log by what became of them.", "result")
	add("decision_log_errors_total", "Failed writes to the decision log.")
	add("decision_log_bytes_total", "Bytes written to the decision log.")

	add("journey_violations_total", "Broken invariants of a request's journey; anything above 0 is a defect.", "invariant")
	return out
}

func describeShared(add func(name, help string, labels ...string)) {
	add("redis_open", "1 while Redis does not answer and is not asked, by what for.", "purpose")
	add("shared_lookups_total", "Names looked up in Redis, by result.", "result")
	add("shared_puts_total", "Responses offered to Redis, by result.", "result")
	add("shared_voids_total", "Writes that make pages void at the other gateways as well: told, or lost since Redis did not take them.", "result")
	add("shared_bytes_total", "Bytes of responses read from Redis (in), written (out), and spared by compression (saved).", "direction")
	add("shared_queue_bytes", "Bytes of responses that wait to be written to Redis.")
	add("leases_total", "Leases among gateways asked for, by verdict.", "verdict")
	add("lease_waits_total", "Waits for other gateways' fills, by how they ended.", "end")
	add("leases_held", "Leases that this gateway holds.")
	add("leases_waiting", "Fills of other gateways that this one waits for.")
	add("purge_epoch", "Number of the last purge that this gateway has applied.")
	add("purge_cut_off", "1 while this gateway does not hear of purges.")
}

func describeLimits(add func(name, help string, labels ...string)) {
	add("rate_limit_decisions_total", "Decisions of a rate limit; would-limit: of one in dry run, which refuses nobody.", "policy", "outcome")
	add("rate_limit_keys", "Clients whose allowance is not whole.")
	add("rate_limit_places", "Clients that can be remembered at most.")
	add("rate_limit_evictions_total", "Clients forgotten before their allowance was whole, since rate_limits.keys is too small.")
	add("rate_limit_rounds_total", "Exchanges of what was taken, about once a second; failed: Redis did not answer.", "result")
	add("rate_limit_keys_told_total", "Clients in these exchanges; left: too many at once, told a round later.", "result")
	add("rate_limit_exact_total", "Requests that Redis was asked about because a policy is exact; failed: it did not answer.", "result")
	add("rate_limit_alone", "Gateways that count each for itself since Redis does not answer; 0: they count together.")
	add("denied_total", "Requests from addresses on the deny list.")
}

func newSourceCollector(b Build, s Sources) *sourceCollector {
	return &sourceCollector{build: b, sources: s, desc: describe()}
}

// Describe implements [prometheus.Collector].
func (c *sourceCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.desc {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *sourceCollector) Collect(ch chan<- prometheus.Metric) {
	x := export{ch, c.desc}
	x.gauge("build_info", 1, c.build.Version, c.build.Revision, c.build.GoVersion)
	if c.sources.Reload != nil {
		x.reload(c.sources.Reload())
	}
	if c.sources.Cache != nil {
		x.cache(c.sources.Cache())
	}
	if c.sources.Targets != nil {
		for _, t := range c.sources.Targets() {
			x.target(t)
		}
	}
	if c.sources.Listeners != nil {
		x.listeners(c.sources.Listeners())
	}
	if c.sources.Tunnels != nil {
		x.tunnels(c.sources.Tunnels())
	}
	if c.sources.Shared != nil {
		x.shared(c.sources.Shared())
	}
	if c.sources.Limits != nil {
		x.limits(c.sources.Limits())
	}
	if c.sources.DecisionLog != nil {
		x.log(c.sources.DecisionLog())
	}
	if c.sources.Violations != nil {
		x.counts("journey_violations_total", c.sources.Violations())
	}
}

// export writes one scrape.
type export struct {
	ch   chan<- prometheus.Metric
	desc map[string]*prometheus.Desc
}

func (x export) gauge(name string, v float64, labels ...string) {
	gauge(x.ch, x.desc[name], v, labels...)
}
func (x export) count(name string, n uint64, labels ...string) {
	count(x.ch, x.desc[name], n, labels...)
}

// counts writes one series per word; the word is the last label.
func (x export) counts(name string, by map[string]uint64, labels ...string) {
	for word, n := range by {
		x.count(name, n, append(labels[:len(labels):len(labels)], word)...)
	}
}

func (x export) reload(r ReloadStats) {
	x.gauge("config_generation", float64(r.Generation))
	x.gauge("config_hash", 1, r.Hash)
	x.gauge("config_last_reload_success", oneIf(r.LastSuccess))
	if !r.LastTime.IsZero() {
		x.gauge("config_last_reload_timestamp_seconds", float64(r.LastTime.UnixMilli())/1000)
	}
	x.count("config_reloads_total", r.Succeeded, "applied")
	x.count("config_reloads_total", r.Failed, "refused")
}

func (x export) cache(s CacheStats) {
	x.gauge("cache_objects", float64(s.Objects))
	x.gauge("cache_bytes", float64(s.Bytes))
	x.gauge("cache_capacity_bytes", float64(s.Capacity))
	x.gauge("cache_pinned_objects", float64(s.Pinned))
	x.gauge("cache_pinned_bytes", float64(s.PinnedBytes))
	x.gauge("cache_pinned_capacity_bytes", float64(s.PinnedCapacity))
	x.count("cache_pins_refused_total", s.PinsRefused)
	x.count("cache_moved_bytes_total", s.Moved)
	x.gauge("cache_fills_in_flight", float64(s.FillsInFlight))
	x.gauge("cache_fill_bytes", float64(s.FillBytes))
	x.count("cache_fills_total", s.Fills)
	x.count("cache_fills_failed_total", s.FillsFailed)
	x.count("cache_followers_total", s.Followers)
	x.count("cache_uncacheable_total", s.Uncacheable)
	x.count("cache_refreshes_total", s.Refreshes)
	x.count("cache_laggards_total", s.Laggards)
	x.count("cache_writes_delayed_total", s.Delayed)
	x.count("cache_stored_total", s.Sets)
	x.count("cache_lost_total", s.Dropped, "dropped")
	x.count("cache_lost_total", s.Rejected, "rejected")
	x.count("cache_lost_total", s.Evicted, "evicted")
	x.count("cache_lost_total", s.TooLarge, "too-large")
}

func (x export) shared(s SharedStats) {
	for _, c := range s.Commands {
		x.count("redis_commands_total", c.N, c.Command, c.Outcome)
	}
	for purpose, open := range s.Open {
		x.gauge("redis_open", oneIf(open), purpose)
	}
	x.counts("shared_lookups_total", s.Lookups)
	x.counts("shared_puts_total", s.Puts)
	x.counts("shared_voids_total", s.Voids)
	x.counts("shared_bytes_total", map[string]uint64{"in": s.In, "out": s.Out, "saved": s.Saved})
	x.gauge("shared_queue_bytes", float64(s.Queued))
	x.counts("leases_total", s.Leases)
	x.counts("lease_waits_total", s.Waits)
	x.gauge("leases_held", float64(s.Held))
	x.gauge("leases_waiting", float64(s.Waiting))
	x.gauge("purge_epoch", float64(s.Epoch))
	x.gauge("purge_cut_off", oneIf(s.CutOff))
}

func (x export) limits(l LimitStats) {
	for policy, by := range l.Decisions {
		x.counts("rate_limit_decisions_total", by, policy)
	}
	x.gauge("rate_limit_keys", float64(l.Keys))
	x.gauge("rate_limit_places", float64(l.Places))
	x.count("rate_limit_evictions_total", l.Evicted)
	x.count("denied_total", l.Denied)
	if t := l.Together; t != nil {
		x.counts("rate_limit_rounds_total", map[string]uint64{"ok": t.Rounds - min(t.Rounds, t.Failed), "failed": t.Failed})
		x.counts("rate_limit_keys_told_total", map[string]uint64{"told": t.Sent, "left": t.Left})
		x.counts("rate_limit_exact_total", map[string]uint64{"ok": t.Asked - min(t.Asked, t.Late), "failed": t.Late})
		x.gauge("rate_limit_alone", float64(t.Alone))
	}
}

func (x export) target(t TargetStats) {
	for _, state := range TargetStates() {
		x.gauge("origin_target_state", oneIf(t.State == state), t.Origin, t.Target, state)
	}
	x.gauge("origin_target_in_flight", float64(t.InFlight), t.Origin, t.Target)
	x.gauge("origin_target_queued", float64(t.Queued), t.Origin, t.Target)
	x.gauge("origin_target_uploads", float64(t.Uploads), t.Origin, t.Target)
	x.gauge("origin_target_streams", float64(t.Streams), t.Origin, t.Target)
	x.count("origin_target_waited_total", t.Waited, t.Origin, t.Target)
	x.gauge("origin_target_connections", float64(max(t.Open-t.Idle, 0)), t.Origin, t.Target, "busy")
	x.gauge("origin_target_connections", float64(t.Idle), t.Origin, t.Target, "idle")
	x.count("origin_target_connects_total", t.Connects, t.Origin, t.Target)
	x.count("origin_target_stale_connections_total", t.Stale, t.Origin, t.Target)
	x.count("origin_target_attempts_total", t.Requests, t.Origin, t.Target)
	x.counts("origin_target_errors_total", t.Errors, t.Origin, t.Target)
	x.count("origin_target_ejections_total", t.Ejections, t.Origin, t.Target)
	x.gauge("origin_target_latency_seconds", t.Latency.Seconds(), t.Origin, t.Target)
}

func (x export) listeners(l ListenerStats) {
	x.gauge("connections", float64(l.Open))
	x.gauge("connections_limit", float64(l.Limit))
	x.count("connections_accepted_total", l.Accepted)
	x.counts("connections_ended_total", l.Ended)
	x.count("descriptors_exhausted_total", l.Exhausted)
}

func (x export) tunnels(t TunnelStats) {
	x.gauge("tunnels", float64(t.Open))
	x.gauge("tunnels_limit", float64(t.Limit))
	x.count("tunnels_opened_total", t.Opened)
	x.count("tunnels_refused_total", t.Refused)
	x.counts("tunnels_ended_total", t.Ended)
	x.count("tunnel_bytes_total", t.BytesIn, "in")
	x.count("tunnel_bytes_total", t.BytesOut, "out")
}

func (x export) log(l LogStats) {
	x.count("decision_log_lines_total", l.Written, "written")
	x.count("decision_log_lines_total", l.Dropped, "dropped")
	x.count("decision_log_errors_total", l.Errors)
	x.count("decision_log_bytes_total", l.Bytes)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
