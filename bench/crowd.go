//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/bench/load"
)

// crowdOutcome compares the latency of hits with few and with many objects stored, while new ones come in, so
// that the garbage collector has to run over all of them.
type crowdOutcome struct {
	Few, Many     int
	Rate          float64 // requests a second, one in ten of them for a new object
	FewP999       float64 // microseconds
	ManyP999      float64
	FewP50        float64
	ManyP50       float64
	ManyRSS       int64
	Kept          float64 // share of a thousand objects in the middle that were still stored at the end
	FewGC, ManyGC int     // collections during each measurement
}

const (
	crowdFew  = 1000
	crowdRate = 5000
	crowdNew  = 10 // one request in so many is for a new object
)

// crowd measures tzero alone, on a fresh process.
func (b *bench) crowd() error {
	if b.plan.crowd == 0 {
		return nil
	}
	set := b.set
	set.Dir += "/crowd"
	s, err := start(tzero, set, b.binary)
	if err != nil {
		return err
	}
	defer s.stop()
	c := crowdRun{b: b, s: s}
	o := &crowdOutcome{Few: crowdFew, Many: b.plan.crowd, Rate: crowdRate}
	if err := c.fill(crowdFew); err != nil {
		return err
	}
	if o.FewP50, o.FewP999, o.FewGC, err = c.measure(); err != nil {
		return err
	}
	if err := c.fill(b.plan.crowd); err != nil {
		return err
	}
	if o.ManyP50, o.ManyP999, o.ManyGC, err = c.measure(); err != nil {
		return err
	}
	if o.ManyGC == 0 {
		b.warn("%s, hits among many objects: the collector did not run meanwhile, so that the figure says nothing about it", tzero)
	}
	if o.Kept, err = c.kept(b.plan.crowd / 2); err != nil {
		return err
	}
	m, err := memoryOf(family(s.cmd.Process.Pid))
	if err != nil {
		return err
	}
	o.ManyRSS = m.RSS
	b.out.Crowd = o
	if o.ManyP999 <= crowdTarget*o.FewP999 {
		return nil
	}
	seconds := int(b.plan.crowdMeasure / time.Second)
	return b.profileDuring(s, profileMany, "hits among many objects: CPU time", seconds, func() error {
		_, _, _, err := c.measure()
		return err
	})
}

type crowdRun struct {
	b    *bench
	s    *server
	next int64 // number of the next object
}

// fill stores objects until there are n.
func (c *crowdRun) fill(n int) error {
	fmt.Fprintf(os.Stderr, "filling the cache of tzero up to %d objects\n", n)
	need := int64(n) - c.next
	if need <= 0 {
		return nil
	}
	_, err := do(&load.Job{Addr: c.s.addr, Connections: 32, Threads: 1, Requests: []load.Request{numbered()},
		Order: []uint32{0}, Limit: need, FirstNumber: c.next})
	c.next += need
	return err
}

// measure asks for the first objects, which every cache keeps, and for new ones in between. Only a fill takes
// longer than a hit for reasons of its own, so that hits are measured apart, by a process of their own.
func (c *crowdRun) measure() (p50, p999 float64, collections int, err error) {
	job := &load.Job{Addr: c.s.addr, Connections: 64, Threads: 1, Warm: time.Second, Measure: c.b.plan.crowdMeasure}
	hits := *job
	hits.Rate = crowdRate * (crowdNew - 1) / crowdNew
	for n := range crowdFew {
		q := numbered()
		fixed := q.Bytes
		for i, d := q.Number+load.NumberDigits-1, n; i >= q.Number; i, d = i-1, d/10 {
			fixed[i] = '0' + byte(d%10)
		}
		hits.Requests = append(hits.Requests, load.Request{Bytes: fixed, Status: 200, Length: 1 << 10})
		hits.Order = append(hits.Order, uint32(n))
	}
	fills := *job
	fills.Rate, fills.FirstNumber = crowdRate/crowdNew, c.next
	fills.Requests, fills.Order = []load.Request{numbered()}, []uint32{0}
	c.next += int64(fills.Rate * (job.Warm + job.Measure).Seconds())

	before, err := c.s.collections()
	if err != nil {
		return 0, 0, 0, err
	}
	var beside errgroup.Group
	over := make(chan struct{})
	beside.Go(func() error { return c.s.collect(over) })
	beside.Go(func() error {
		_, err := do(&fills)
		return err
	})
	res, err := do(&hits)
	close(over)
	if err = errors.Join(err, beside.Wait()); err != nil {
		return 0, 0, 0, err
	}
	if len(res.Faults) > 0 {
		c.b.warn("%s, hits among many objects: wrong answers: %v", tzero, res.Faults)
	}
	after, err := c.s.collections()
	return float64(res.Latency.Quantile(.5)) / 1e3, float64(res.Latency.Quantile(.999)) / 1e3, after - before, err
}

// kept asks for a thousand objects from the nth on and sees for how many of them the origin was asked.
func (c *crowdRun) kept(n int) (float64, error) {
	const probes = 1000
	before, err := requestsAt(c.b.set.Origin)
	if err != nil {
		return 0, err
	}
	_, err = do(&load.Job{Addr: c.s.addr, Connections: 8, Requests: []load.Request{numbered()}, Order: []uint32{0},
		Limit: probes, FirstNumber: int64(n)})
	if err != nil {
		return 0, err
	}
	after, err := requestsAt(c.b.set.Origin)
	return 1 - float64(after-before)/probes, err
}

// collect has tzero's garbage collector run every few seconds, until over: what comes in meanwhile would not make
// it run among a million objects.
func (s *server) collect(over <-chan struct{}) error {
	t := time.NewTicker(3 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-over:
			return nil
		case <-t.C:
		}
		if _, err := s.ask("/profiles/heap?gc=1"); err != nil {
			return fmt.Errorf("cannot have the collector run: %w", err)
		}
	}
}

// collections is how often tzero's garbage collector has run so far, by its own metrics.
func (s *server) collections() (int, error) {
	const name = "go_gc_duration_seconds_count "
	text, err := read("http://" + s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(text, "\n"+name)
	if !found {
		return 0, errors.New("cannot count the collections: the metrics lack " + name)
	}
	count, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(count)
}
