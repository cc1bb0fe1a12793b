//go:build linux

package main

import (
	"fmt"
	"slices"
)

// spread is a figure of several rounds: its median, least and greatest.
type spread struct{ Median, Least, Most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	mid := v[len(v)/2]
	if len(v)%2 == 0 {
		mid = (v[len(v)/2-1] + mid) / 2
	}
	return spread{mid, v[0], v[len(v)-1]}
}

// metric picks one figure of a sample.
type metric func(sample) float64

func cpu(s sample) float64  { return s.CPU }
func rate(s sample) float64 { return s.Rate }

func (c *cellOutcome) spread(server string, m metric) spread {
	var v []float64
	for _, s := range c.Samples[server] {
		v = append(v, m(s))
	}
	return spreadOf(v)
}

// ratio compares two servers round by round: the rounds of one number were measured directly after each
// other, so that the machine's drift falls out.
func (c *cellOutcome) ratio(a, b string, m metric) (spread, bool) {
	as, bs := c.Samples[a], c.Samples[b]
	var v []float64
	for i := range min(len(as), len(bs)) {
		if m(bs[i]) > 0 {
			v = append(v, m(as[i])/m(bs[i]))
		}
	}
	return spreadOf(v), len(v) > 0
}

func (o *outcome) cell(id string) *cellOutcome {
	for i := range o.Cells {
		if o.Cells[i].ID == id {
			return &o.Cells[i]
		}
	}
	return nil
}

// target is a promise and what became of it.
type target struct {
	What  string
	Bound float64
	Least bool // the bound is a lower one
	Unit  string
	Found spread
	State string // met, missed, not measured
	Note  string `json:",omitempty"`

	Profile string `json:",omitempty"` // key of the profile that says why
}

func (t *target) settle(found spread, measured bool) {
	t.Found = found
	switch {
	case !measured:
		t.State = "not measured"
	case t.Least && found.Median >= t.Bound, !t.Least && found.Median <= t.Bound:
		t.State = "met"
	default:
		t.State = "missed"
	}
}

// promise is a ratio between two servers in one cell.
type promise struct {
	what  string
	cell  cell
	to    string
	of    metric
	bound float64
	least bool
}

func promises() []promise {
	at := func(s scenario, n int) cell { return cell{scenario: s, connections: n} }
	return []promise{
		{"hit 1 KiB, 64 connections: CPU per request, × nginx", at(hit1K, 64), nginx, cpu, 0.80, false},
		{"hit 1 KiB, 512 connections: CPU per request, × nginx", at(hit1K, 512), nginx, cpu, 1.0, false},
		{"hit 1 KiB, 64 connections: CPU per request, × Varnish", at(hit1K, 64), varnish, cpu, 0.4, false},
		{"hit 1 KiB, 64 connections: requests per second, × nginx", at(hit1K, 64), nginx, rate, 1.2, true},
		{"hit 100 KiB, 64 connections: CPU per request, × nginx with sendfile", at(hit100K, 64), nginx, cpu, 1.4, false},
		{"hit 100 KiB, 64 connections: CPU per request, × Varnish", at(hit100K, 64), varnish, cpu, 1.0, false},
		{"forwarded 1 KiB, 64 connections: CPU per request, × nginx", at(forward, 64), nginx, cpu, 1.1, false},
	}
}

// The conditions under which an idle connection's target holds.
const (
	idleTargetConnections = 15000
	idleTargetKiB         = 3
	crowdTarget           = 2
)

func judge(o *outcome) []target {
	var ts []target
	for _, p := range promises() {
		t := target{What: p.what, Bound: p.bound, Least: p.least, Unit: "×", Profile: p.cell.id()}
		var found spread
		measured := false
		if c := o.cell(p.cell.id()); c != nil {
			found, measured = c.ratio(tzero, p.to, p.of)
		}
		t.settle(found, measured)
		ts = append(ts, t)
	}
	return append(ts, judgeIdle(o), judgeCrowd(o))
}

func judgeIdle(o *outcome) target {
	t := target{What: "idle keep-alive connection", Bound: idleTargetKiB, Unit: "KiB", Profile: profileIdle}
	i, ok := o.Idle[tzero]
	kib := i.Bytes / 1024
	t.settle(spread{kib, kib, kib}, ok)
	if ok && (i.Connections < idleTargetConnections || o.IdleTime.Minutes() < 1) {
		t.Note = fmt.Sprintf("%d connections, %v after the last request; the target speaks of 15,000 and a minute", i.Connections, o.IdleTime)
	}
	return t
}

func judgeCrowd(o *outcome) target {
	t := target{What: "hit p99.9 with a million objects stored, × with a thousand", Bound: crowdTarget, Unit: "×", Profile: profileMany}
	var found spread
	measured := o.Crowd != nil && o.Crowd.FewP999 > 0 && o.Crowd.FewGC > 0 && o.Crowd.ManyGC > 0 // it is the collector that delays
	if measured {
		r := o.Crowd.ManyP999 / o.Crowd.FewP999
		found = spread{r, r, r}
	}
	t.settle(found, measured)
	return t
}
