package origin

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/http1"
)

// health is what is known about a target's ability to serve. A new target counts as healthy until
// checks or requests show otherwise.
type health struct {
	sick         atomic.Bool  // active checks say so
	ejectedUntil atomic.Int64 // passive checks say so, until this moment
	misses       atomic.Int32 // failed requests in a row
	missesSince  atomic.Int64
	lastHit      atomic.Int64 // a request was answered; to the sweep's precision, 0: never

	// Of the checks, which the sweep starts one at a time.
	checking  atomic.Bool
	nextCheck atomic.Int64 // 0: not planned
	good, bad int          // in a row; written by the check that runs
}

func (h *health) usable(now int64) bool {
	return !h.sick.Load() && now >= h.ejectedUntil.Load()
}

// hit notes a request that was answered.
func (h *health) hit(now int64) {
	if last := h.lastHit.Load(); last == 0 || now-last >= int64(tick) { // seldom: many processors share it
		h.lastHit.Store(max(now, 1))
	}
	if h.misses.Load() != 0 {
		h.misses.Store(0)
	}
}

// miss notes a request that failed by the target's fault; true when that takes the target out. One that
// comes back stays on probation: its first failure takes it out again, its first success clears it.
// whole: the failure speaks of the target, not perhaps of what it was asked for. One broken URL, which any
// visitor can ask for again and again, must not take out a target that answers everything else.
func (h *health) miss(now int64, p *PassiveConfig, whole bool) bool {
	if p.Failures <= 0 || now < h.ejectedUntil.Load() {
		return false
	}
	if last := h.lastHit.Load(); !whole && last != 0 && now-last <= int64(p.Window) {
		return false
	}
	n := h.misses.Add(1)
	if since := h.missesSince.Load(); n == 1 || now-since > int64(p.Window) {
		h.missesSince.Store(now)
		if now-since > int64(p.Window) {
			h.misses.Store(1)
			n = 1
		}
	}
	if int(n) < p.Failures {
		return false
	}
	h.misses.Store(int32(p.Failures - 1))
	until := now + int64(p.For)
	h.ejectedUntil.Store(until)
	h.missesSince.Store(until)
	return true
}

// failed counts a failed request and draws the passive check's conclusion.
func (t *target) failed(e *Error) {
	t.counts.errors[e.Kind].Add(1)
	whole := false
	switch e.Kind {
	case ConnectFailed, ConnectTimeout, TLSFailed:
		whole = true
	case FirstByteTimeout, SendTimeout, BadResponse, Truncated, BodyTimeout:
	case Reset:
		if e.stale {
			return // an idle connection may end at any time
		}
		whole = e.mute
	default:
		return
	}
	t.lastError.Store(e)
	if t.health.miss(t.ps.clock.coarse(), &t.conf.Load().passive, whole) {
		t.counts.ejections.Add(1)
		t.ps.log.Warn("origin target taken out after failed requests", "origin", t.pool, "target", t.url,
			"for", t.conf.Load().passive.For.String(), "error", e.Error())
	}
}

// answered notes an answer and how long it took.
func (t *target) answered(took time.Duration) {
	t.health.hit(t.ps.clock.coarse())
	// A lost update between two requests does no harm to a moving average.
	old := t.counts.latency.Load()
	if old == 0 {
		t.counts.latency.Store(int64(took))
		return
	}
	t.counts.latency.Store(old + (int64(took)-old)/16)
}

// due reports whether a check should start now, and claims it.
func (t *target) due(now int64) bool {
	s := t.conf.Load()
	if s.health.Path == "" {
		t.health.sick.Store(false)
		t.health.nextCheck.Store(0)
		return false
	}
	next := t.health.nextCheck.Load()
	if now < next || !t.health.checking.CompareAndSwap(false, true) {
		return false
	}
	if next == 0 { // the first check is made at once, the second apart from those of other targets
		now += int64(s.offset)
	}
	t.health.nextCheck.Store(now + int64(s.health.Interval))
	return true
}

// check asks the target once and draws the conclusion.
func (t *target) check(ctx context.Context) {
	defer t.health.checking.Store(false)
	hc := &t.conf.Load().health
	err := t.probe(ctx, hc)
	if ctx.Err() != nil {
		return
	}
	t.judge(hc, err)
}

func (t *target) judge(hc *HealthConfig, err error) {
	h := &t.health
	if err == nil {
		h.good, h.bad = h.good+1, 0
		if h.sick.Load() && h.good >= hc.HealthyAfter {
			h.sick.Store(false)
			t.ps.log.Info("origin target is healthy again", "origin", t.pool, "target", t.url)
		}
		return
	}
	h.good, h.bad = 0, h.bad+1
	if !h.sick.Load() && h.bad >= hc.UnhealthyAfter {
		h.sick.Store(true)
		t.ps.log.Warn("origin target is unhealthy", "origin", t.pool, "target", t.url, "error", err.Error())
	}
}

// probe makes one check on a connection of its own, so that full pools do not look like sick targets.
func (t *target) probe(ctx context.Context, hc *HealthConfig) error {
	limit := hc.Timeout.D()
	begun := time.Now()
	nc, w, dialErr := t.secured(ctx, ctx.Done(), limit)
	if dialErr != nil {
		return dialErr
	}
	defer w.Close()
	defer context.AfterFunc(ctx, func() { w.Close() })()
	if err := nc.SetDeadline(begun.Add(limit)); err != nil {
		return fmt.Errorf("cannot check: %w", err)
	}
	return t.probeOn(nc, hc)
}

func (t *target) probeOn(nc net.Conn, hc *HealthConfig) error {
	host := hc.Host
	if host == "" {
		host = t.addr.authority()
	}
	ask := "GET " + hc.Path + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: tzero-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := nc.Write([]byte(ask)); err != nil {
		return fmt.Errorf("cannot send the check: %w", err)
	}
	rd := http1.NewReader(nc, responseLimits())
	var head http1.Response
	for range maxInterim + 1 {
		if err := rd.ReadResponse(&head, []byte("GET")); err != nil {
			return fmt.Errorf("cannot read the check's answer: %w", err)
		}
		if head.Status >= 200 || head.Status == 101 {
			break
		}
	}
	if head.Status < hc.Expect.Min || head.Status > hc.Expect.Max {
		return fmt.Errorf("GET %s answered %d, expected %s", hc.Path, head.Status, hc.Expect)
	}
	return nil
}
