package origin

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// counts are a target's counters since the process began.
type counts struct {
	requests, connects, stale, queued uint64 // guarded by target.mu

	errors    [numKinds]atomic.Uint64
	ejections atomic.Uint64
	latency   atomic.Int64 // moving average, ns
}

// TargetStats is a snapshot of one target.
type TargetStats struct {
	Pool, URL string
	State     string // healthy, unhealthy, ejected, draining
	InFlight  int    // requests that hold a connection of the pool
	Uploads   int    // those of them whose body is still to come from the client
	Streams   int    // event streams under way, each on a connection that has left the pool
	Queued    int    // requests that wait for a connection
	Open      int    // connections of the pool, those being opened included
	Idle      int

	Requests  uint64           // attempts
	Connects  uint64           // connections opened
	Stale     uint64           // idle connections found closed when they were wanted
	Waited    uint64           // requests that had to queue
	Errors    [numKinds]uint64 // by Kind
	Ejections uint64           // times that failed requests took the target out
	Latency   time.Duration    // to the end of the response's head, moving average
	LastError string           // the target's last fault
}

// Stats returns a snapshot of all targets, in the order of pools and URLs.
func (ps *Pools) Stats() []TargetStats {
	now := ps.clock.coarse()
	var all []TargetStats
	for _, t := range ps.list(nil) {
		all = append(all, t.stats(now))
	}
	slices.SortFunc(all, func(a, b TargetStats) int {
		if c := strings.Compare(a.Pool, b.Pool); c != 0 {
			return c
		}
		return strings.Compare(a.URL, b.URL)
	})
	return all
}

func (t *target) stats(now int64) TargetStats {
	s := TargetStats{
		Pool: t.pool, URL: t.url, State: "healthy",
		Ejections: t.counts.ejections.Load(),
		Latency:   time.Duration(t.counts.latency.Load()),
	}
	for k := range s.Errors {
		s.Errors[k] = t.counts.errors[k].Load()
	}
	if e := t.lastError.Load(); e != nil {
		s.LastError = e.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.InFlight, s.Queued, s.Open, s.Idle = t.inFlight, t.queue.n+t.line.n, t.open, len(t.idle)
	s.Uploads, s.Streams = t.uploads, t.streams
	s.Requests, s.Connects = t.counts.requests, t.counts.connects
	s.Stale, s.Waited = t.counts.stale, t.counts.queued
	switch {
	case t.draining:
		s.State = "draining"
	case t.health.sick.Load():
		s.State = "unhealthy"
	case now < t.health.ejectedUntil.Load():
		s.State = "ejected"
	}
	return s
}
