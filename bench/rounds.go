//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
)

// bench is one run.
type bench struct {
	plan    plan
	set     settings
	binary  string
	threads int
	origin  *exec.Cmd
	servers map[string]*server
	names   []string // columns of the tables, in their order
	only    string   // servers to measure, separated by commas; empty: all
	out     *outcome

	sharedOnly bool // measure what gateways share, whatever else is left out
	// Requests are made once: the parts of a mixed load are large.
	loads map[string]prepared
}

type prepared struct {
	requests []load.Request
	order    []uint32
}

// sample is one round of one cell on one server.
type sample struct {
	Rate     float64 // answers a second
	CPU      float64 // microseconds of the server a request
	Own      float64 // microseconds of the client a request
	P50      float64 // microseconds
	P99      float64
	P999     float64
	Forwards float64          // share of the requests that reached the origin
	Faults   map[string]int64 `json:",omitempty"`
}

// outcome is everything that the report is made from.
type outcome struct {
	Taken    time.Time
	Quick    bool
	Machine  machine
	Tzero    string
	Versions map[string]string
	Servers  []string
	Cells    []cellOutcome
	Memory   map[string]memory
	Idle     map[string]idleOutcome
	IdleTime time.Duration
	Crowd    *crowdOutcome  `json:",omitempty"`
	Shared   *sharedOutcome `json:",omitempty"`
	Targets  []target
	Profiles map[string]profile `json:",omitempty"` // by row's id
	Warnings []string
}

type cellOutcome struct {
	ID          string
	Case        string
	Title       string
	Connections int
	OpenRate    float64 // 0: closed loop
	Samples     map[string][]sample
}

// run measures everything.
func (b *bench) run() error {
	b.out.Machine.LoadBefore = loadAverage()
	if err := b.startAll(); err != nil {
		return err
	}
	defer b.stopAll()
	if err := b.prime(); err != nil {
		return err
	}
	if err := b.rounds(); err != nil {
		return err
	}
	b.out.Memory = map[string]memory{}
	for _, name := range b.names {
		m, err := memoryOf(family(b.servers[name].cmd.Process.Pid))
		if err != nil {
			return err
		}
		b.out.Memory[name] = m
	}
	if err := b.profiles(); err != nil {
		return err
	}
	if err := b.idle(); err != nil {
		return err
	}
	if err := b.crowd(); err != nil {
		return err
	}
	if err := b.shared(); err != nil {
		return err
	}
	b.out.Machine.LoadAfter = loadAverage()
	return nil
}

// startAll starts the origin and every server that is installed.
func (b *bench) startAll() error {
	b.origin = child(roleOrigin, b.set.Origin)
	if err := b.origin.Start(); err != nil {
		return fmt.Errorf("cannot start the origin: %w", err)
	}
	b.servers = map[string]*server{}
	for _, name := range []string{tzero, nginx, nginxSF, haproxy, varnish} {
		if !b.wanted(name) {
			continue
		}
		if !installed(name) {
			b.warn("%s is not installed and left out", name)
			continue
		}
		s, err := start(name, b.set, b.binary)
		if s != nil {
			b.servers[name] = s
		}
		if err != nil {
			b.stopAll()
			return err
		}
		b.out.Versions[name] = s.version
		if name != nginxSF {
			b.names = append(b.names, name)
		}
	}
	b.out.Servers = b.names
	return nil
}

func (b *bench) wanted(name string) bool {
	if name == nginxSF {
		name = nginx
	}
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), name)
}

func installed(name string) bool {
	program := map[string]string{nginx: "nginx", nginxSF: "nginx", haproxy: "haproxy", varnish: "varnishd"}[name]
	if program == "" {
		return true
	}
	_, err := exec.LookPath(program)
	return err == nil
}

func (b *bench) stopAll() {
	for _, s := range b.servers {
		s.stop()
	}
	_ = b.origin.Process.Kill()
	_ = b.origin.Wait()
}

func (b *bench) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(b.out.Warnings, text) {
		b.out.Warnings = append(b.out.Warnings, text)
		fmt.Fprintln(os.Stderr, "  !", text)
	}
}

// prime asks every server for everything that may be stored, twice: an object that a cache's admission let
// pass the first time has another chance.
func (b *bench) prime() error {
	var all []load.Request
	b.loads = map[string]prepared{}
	for _, s := range everyone {
		requests, order := s.requests()
		b.loads[s.name] = prepared{requests, order}
		for _, q := range requests {
			if q.Status == 200 && !strings.HasPrefix(string(q.Bytes[4:]), pathDyn) {
				all = append(all, q)
			}
		}
	}
	order := make([]uint32, len(all))
	for i := range order {
		order[i] = uint32(i)
	}
	for range 2 {
		for name, s := range b.servers {
			res, err := do(&load.Job{Addr: s.addr, Connections: 8, Requests: all, Order: order, Limit: int64(len(all))})
			if err != nil {
				return err
			}
			if len(res.Faults) > 0 {
				return fmt.Errorf("cannot fill the cache of %s: %v", name, res.Faults)
			}
		}
	}
	return nil
}

// rounds measures each cell on all servers one directly after the other, since a machine's speed drifts; who
// begins changes from round to round.
func (b *bench) rounds() error {
	for _, c := range b.plan.cells {
		o := cellOutcome{ID: c.id(), Case: c.name, Title: c.title, Connections: c.connections, Samples: map[string][]sample{}}
		if c.open {
			o.OpenRate = c.rate
		}
		b.out.Cells = append(b.out.Cells, o)
	}
	for round := 0; ; round++ {
		any := false
		for i, c := range b.plan.cells {
			if round >= c.rounds {
				continue
			}
			any = true
			fmt.Fprintf(os.Stderr, "round %d of %d: %s\n", round+1, c.rounds, c.id())
			for k := range b.names {
				name := b.names[(k+round+i)%len(b.names)]
				s, err := b.measure(c, name)
				if err != nil {
					return err
				}
				b.out.Cells[i].Samples[name] = append(b.out.Cells[i].Samples[name], s)
			}
		}
		if !any {
			return nil
		}
	}
}

// serverFor is the process that stands in a column: nginx has two, the better one for the case serves.
func (b *bench) serverFor(c cell, name string) *server {
	if name == nginx && c.large {
		return b.servers[nginxSF]
	}
	return b.servers[name]
}

func (b *bench) measure(c cell, name string) (sample, error) {
	s := b.serverFor(c, name)
	p := b.loads[c.name]
	job := &load.Job{Addr: s.addr, Connections: c.connections, Threads: b.threads, Requests: p.requests, Order: p.order,
		Warm: b.plan.warm, Measure: b.plan.measure, Pids: family(s.cmd.Process.Pid)}
	if c.open {
		job.Rate, job.Threads = c.rate, 1+b.threads/8
	}
	before, err := requestsAt(b.set.Origin)
	if err != nil {
		return sample{}, err
	}
	res, err := do(job)
	if err != nil {
		return sample{}, fmt.Errorf("%s on %s: %w", c.id(), name, err)
	}
	after, err := requestsAt(b.set.Origin)
	if err != nil {
		return sample{}, err
	}
	return b.sampleOf(c, name, res, after-before), nil
}

func (b *bench) sampleOf(c cell, name string, res *load.Result, asked int64) sample {
	n := float64(max(res.Requests, 1))
	micro := func(q float64) float64 { return float64(res.Latency.Quantile(q)) / 1e3 }
	s := sample{Rate: n / b.plan.measure.Seconds(), CPU: float64(res.CPU) / 1e3 / n, Own: float64(res.Own) / 1e3 / n,
		P50: micro(.5), P99: micro(.99), P999: micro(.999), Faults: res.Faults}
	// Requests of the time before the measured one reach the origin as well.
	whole := n * float64(b.plan.warm+b.plan.measure) / float64(b.plan.measure)
	s.Forwards = float64(asked) / whole
	if c.forwards == 0 && asked > 16 || c.forwards > 0 && (s.Forwards < c.forwards*0.7 || s.Forwards > c.forwards*1.5) {
		b.warn("%s, %s: %.3f of the requests reached the origin, %.3f were meant to", name, c.id(), s.Forwards, c.forwards)
	}
	if len(res.Faults) > 0 {
		b.warn("%s, %s: wrong answers: %v", name, c.id(), res.Faults)
	}
	if c.open && s.Rate < 0.98*c.rate {
		b.warn("%s, %s: answered %.0f/s of %.0f/s", name, c.id(), s.Rate, c.rate)
	}
	return s
}
