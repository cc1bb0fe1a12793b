package main

import (
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/proxy/metrics"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/tunnel"
)

// reloadCount counts attempts by their result.
type reloadCount struct{ ok, failed atomic.Uint64 }

// report is told of every attempt to reload, and says it aloud.
func (s *services) report(r configs.Result) {
	if !r.OK {
		s.reloads.failed.Add(1)
		s.log.Error("the configuration was refused; the running one goes on", "trigger", r.Trigger, "generation", r.Generation, "error", r.Error)
		return
	}
	s.reloads.ok.Add(1)
	s.decisions.Reopen()
	s.log.Info("configuration loaded", "trigger", r.Trigger, "generation", r.Generation, "hash", r.Hash, "took", r.Took)
	for _, path := range r.NeedsRestart {
		s.log.Warn("a changed setting takes effect at the next start only", "setting", path)
	}
	for _, w := range r.Warnings {
		s.log.Warn("configuration", "warning", w)
	}
}

// ready says whether new traffic is welcome.
func (s *services) ready() (bool, []string) {
	if s.draining != nil && s.draining() {
		return false, []string{"draining"}
	}
	return true, nil
}

// sources gives the metrics their snapshots.
func (s *services) sources() metrics.Sources {
	return metrics.Sources{
		Cache: s.cacheStats, Targets: s.targetStats, Listeners: s.listenerStats, Tunnels: s.tunnelStats,
		Reload: s.reloadStats, Shared: s.sharedSource(), Limits: s.limitStats,
		DecisionLog: func() metrics.LogStats {
			d := s.decisions.Stats()
			return metrics.LogStats{Written: d.Written, Dropped: d.Dropped, Errors: d.Errors, Bytes: d.Bytes}
		},
		Violations: func() map[string]uint64 {
			st := s.edge.Stats()
			return map[string]uint64{"panic": uint64(st.Panics), "illegal-move": uint64(st.Violations)}
		},
	}
}

func (s *services) cacheStats() metrics.CacheStats {
	c := s.cache.Stats()
	return metrics.CacheStats{
		Objects: c.Tier.Objects, Bytes: c.Tier.Bytes, Capacity: c.Tier.Capacity,
		Pinned: c.Tier.Pinned, PinnedBytes: c.Tier.PinnedBytes, PinnedCapacity: c.Tier.PinnedCapacity,
		PinsRefused: c.Tier.PinsRefused, Moved: c.Tier.Moved,
		FillsInFlight: c.Running, FillBytes: c.RunningBytes, Fills: c.Fills, FillsFailed: c.Failed, Followers: c.Follows,
		Sets: c.Tier.Sets, Dropped: c.Tier.Dropped, Rejected: c.Tier.Rejected, Evicted: c.Tier.Evicted, TooLarge: c.TooLarge,
		Uncacheable: c.Uncacheable, Refreshes: c.Refreshes, Laggards: c.Laggards, Delayed: c.Delayed,
	}
}

func (s *services) targetStats() []metrics.TargetStats {
	var out []metrics.TargetStats
	for _, t := range s.pools.Stats() {
		m := metrics.TargetStats{
			Origin: t.Pool, Target: t.URL, State: t.State, InFlight: t.InFlight, Queued: t.Queued, Uploads: t.Uploads, Streams: t.Streams, Open: t.Open, Idle: t.Idle,
			Requests: t.Requests, Connects: t.Connects, Stale: t.Stale, Waited: t.Waited, Ejections: t.Ejections,
			Latency: t.Latency, Errors: make(map[string]uint64),
		}
		for _, k := range origin.Kinds() {
			m.Errors[k.String()] = t.Errors[k]
		}
		out = append(out, m)
	}
	return out
}

func (s *services) listenerStats() metrics.ListenerStats {
	l := s.listener.Stats()
	return metrics.ListenerStats{
		Open: int64(l.Open), Limit: int64(l.Limit), Accepted: uint64(l.Accepted), Exhausted: uint64(l.Exhausted),
		Ended: map[string]uint64{
			"refused": uint64(l.Refused), "evicted": uint64(l.Evicted), "handshake": uint64(l.Handshakes),
			"client-left": uint64(l.Left), "slow-reader": uint64(l.Unpinned), "cut": uint64(l.Cut), "overdue-idle": uint64(l.Overdue.Idle),
			"overdue-head": uint64(l.Overdue.Head), "overdue-body": uint64(l.Overdue.Body), "overdue-write": uint64(l.Overdue.Write),
		},
	}
}

func (s *services) tunnelStats() metrics.TunnelStats {
	t := s.tunnels.Stats()
	m := metrics.TunnelStats{
		Open: int64(t.Live), Limit: int64(t.Max), Opened: t.Opened, Refused: t.Refused,
		BytesIn: uint64(t.In), BytesOut: uint64(t.Out), Ended: make(map[string]uint64),
	}
	for _, r := range tunnel.Reasons() {
		m.Ended[r.String()] = t.Ended[r]
	}
	return m
}

func (s *services) reloadStats() metrics.ReloadStats {
	last := s.reloader.Last()
	return metrics.ReloadStats{
		Generation: last.Generation, Hash: last.Hash, LastSuccess: last.OK, LastTime: last.At,
		Succeeded: s.reloads.ok.Load(), Failed: s.reloads.failed.Load(),
	}
}

// status is the page for people who want to know how things stand.
func (s *services) status() admin.Status {
	ok, why := s.ready()
	last := s.reloader.Last()
	gen := s.edge.Generation()
	st := admin.Status{
		Version: buildVersion(), GoVersion: runtime.Version(), PID: os.Getpid(), Started: s.started,
		UptimeS: time.Since(s.started).Seconds(), Ready: ok, NotReady: why, Generation: gen.Number,
		ConfigFile: s.file, ConfigHash: last.Hash,
		LastReload: &admin.Reload{Time: last.At, Success: last.OK, Error: last.Error, Restart: last.NeedsRestart},
	}
	s.statusOfClients(&st)
	s.statusOfRoutes(&st)
	s.statusOfOrigins(&st)
	c := s.cacheStats()
	st.Cache = &admin.Cache{Objects: c.Objects, Bytes: c.Bytes, Capacity: c.Capacity, Fills: c.FillsInFlight, Evicted: c.Evicted,
		Pinned: c.Pinned, PinnedBytes: c.PinnedBytes, PinnedCapacity: c.PinnedCapacity, WritesDelayed: c.Delayed}
	st.Cluster = s.statusOfCluster()
	st.RateLimits = s.statusOfLimits()
	d := s.decisions.Stats()
	st.DecisionLog = &admin.DecisionLog{Written: d.Written, Dropped: d.Dropped, Errors: d.Errors, Bytes: d.Bytes}
	t := admin.Traffic(s.metrics.Totals())
	st.Traffic = &t
	return st
}

func (s *services) statusOfClients(st *admin.Status) {
	listeners := s.reloader.Running().Config.Listeners
	for i, a := range s.listener.Addrs() {
		protocol := "http"
		if i < len(listeners) && listeners[i].TLS.Cert != "" {
			protocol = "https"
		}
		st.Listeners = append(st.Listeners, admin.Listener{Address: a.String(), Protocol: protocol})
	}
	l := s.listenerStats()
	st.Connections = &admin.Connections{Open: l.Open, Limit: l.Limit, Accepted: l.Accepted, Ended: l.Ended}
	t := s.tunnels.Stats()
	st.Tunnels = &admin.Tunnels{Open: int64(t.Live), Limit: int64(t.Max), Opened: t.Opened, Refused: t.Refused}
}

func (s *services) statusOfRoutes(st *admin.Status) {
	c := s.reloader.Running().Config
	for _, p := range s.edge.Generation().Table.Explain() {
		r := admin.Route{Name: p.Route.Name, Match: p.String(), Origin: p.Route.Config.Origin}
		if r.Origin != "" && p.Route.Index < len(c.Routes) {
			r.Cache = c.Routes[p.Route.Index].Cache.Mode
		}
		st.Routes = append(st.Routes, r)
	}
}

func (s *services) statusOfOrigins(st *admin.Status) {
	for _, t := range s.pools.Stats() {
		if n := len(st.Origins); n == 0 || st.Origins[n-1].Name != t.Pool {
			st.Origins = append(st.Origins, admin.Origin{Name: t.Pool})
		}
		o := &st.Origins[len(st.Origins)-1]
		var failures uint64
		for _, n := range t.Errors {
			failures += n
		}
		o.Targets = append(o.Targets, admin.Target{
			URL: t.URL, State: t.State, Why: t.LastError, InFlight: int64(t.InFlight), Queued: int64(t.Queued), Uploads: int64(t.Uploads), Streams: int64(t.Streams),
			Open: int64(t.Open), Idle: int64(t.Idle), Latency: float64(t.Latency.Microseconds()) / 1000,
			Requests: t.Requests, Failures: failures,
		})
	}
}
