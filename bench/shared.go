//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
)

// sharedOutcome compares what several gateways share with what one does by itself.
type sharedOutcome struct {
	Objects int
	Redis   string // its version
	Rows    []sharedRow
}

// sharedRow is one kind of request. The figures are medians of the rounds.
type sharedRow struct {
	What         string
	CPU          float64 // microseconds of the server's processes a request
	RedisCPU     float64 // microseconds of Redis a request; 0 where there is none
	Rate         float64
	P50, P99     float64 // microseconds at 64 connections
	OriginPerReq float64
}

const (
	sharedObjects     = 100_000
	sharedConnections = 64
	sharedRounds      = 3
)

// shared measures two gateways with one Redis: what one has stored answers the other, and what nobody has costs a lease.
func (b *bench) shared() error {
	if b.plan.crowd == 0 && !b.sharedOnly {
		return nil
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		b.warn("redis-server is not installed: what gateways share is left out")
		return nil
	}
	r, err := startRedis(b.set.Dir)
	if err != nil {
		return err
	}
	defer r.stop()
	s := sharedRun{b: b, redis: r, out: &sharedOutcome{Objects: sharedObjects, Redis: firstLine("redis-server", "--version")}}
	b.out.Shared = s.out
	return s.run()
}

// redisServer is a Redis that keeps nothing on disk.
type redisServer struct {
	cmd  *exec.Cmd
	addr string
}

func startRedis(dir string) (*redisServer, error) {
	r := &redisServer{addr: freeAddr()}
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", dir)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Redis: %w", err)
	}
	for range 200 {
		if c, err := net.DialTimeout("tcp", r.addr, time.Second); err == nil {
			return r, c.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.New("cannot start Redis: it does not listen")
}

func (r *redisServer) stop() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

type sharedRun struct {
	b     *bench
	redis *redisServer
	out   *sharedOutcome
}

func (s *sharedRun) gateway(name string) (*server, error) {
	set := s.b.set
	set.Dir, set.Redis = filepath.Join(set.Dir, name), "redis://"+s.redis.addr
	return start(tzero, set, s.b.binary)
}

func (s *sharedRun) run() error {
	first, err := s.gateway("first")
	if err != nil {
		return err
	}
	defer first.stop()
	if err := s.store(first); err != nil {
		return err
	}
	var hits, redisHits, leased, redisLeased, alone []sample
	next := int64(0)
	cold := int64(2_000_000_000)
	for round := range sharedRounds {
		fmt.Fprintf(os.Stderr, "round %d of %d: what gateways share\n", round+1, sharedRounds)
		second, err := s.gateway(fmt.Sprint("second", round)) // with nothing in memory
		if err != nil {
			return err
		}
		time.Sleep(time.Second) // until it knows of all purges
		step := int64(sharedObjects / sharedRounds / 2)
		for i, pids := range [][]int{family(second.cmd.Process.Pid), {s.redis.cmd.Process.Pid}} {
			hit, err := s.measure(second, pids, next)
			if err != nil {
				second.stop()
				return err
			}
			next += step
			miss, err := s.measure(second, pids, cold)
			if err != nil {
				second.stop()
				return err
			}
			cold += 1_000_000
			if i == 0 {
				hits, leased = append(hits, hit), append(leased, miss)
			} else {
				redisHits, redisLeased = append(redisHits, hit), append(redisLeased, miss)
			}
		}
		second.stop()
		miss, err := s.measure(s.b.servers[tzero], family(s.b.servers[tzero].cmd.Process.Pid), cold)
		if err != nil {
			return err
		}
		cold += 1_000_000
		alone = append(alone, miss)
	}
	s.row("in Redis, not in memory", hits, redisHits)
	for _, name := range []string{tzero, nginx, varnish} {
		if s.b.servers[name] == nil {
			continue
		}
		sm, err := s.b.measure(cell{scenario: hit1K, connections: sharedConnections}, name)
		if err != nil {
			return err
		}
		s.row("in memory: "+name, []sample{sm}, nil)
	}
	s.row("nowhere: fetched with a lease, and shared", leased, redisLeased)
	s.row("nowhere: fetched, without Redis", alone, nil)
	return nil
}

// store has a gateway fetch all objects, and waits until Redis has them.
func (s *sharedRun) store(g *server) error {
	fmt.Fprintf(os.Stderr, "storing %d objects in Redis\n", sharedObjects)
	time.Sleep(time.Second)
	for at := int64(0); at < sharedObjects; at += 2000 { // in portions: the writer's queue is bounded
		if _, err := do(&load.Job{Addr: g.addr, Connections: 16, Threads: 1, Requests: []load.Request{numbered()}, Order: []uint32{0}, Limit: 2000, FirstNumber: at}); err != nil {
			return err
		}
		for range 500 {
			text, err := read("http://" + g.admin + "/metrics")
			if err != nil {
				return err
			}
			if strings.Contains(text, "tzero_shared_queue_bytes 0\n") {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// measure asks for objects from a number on, each once.
func (s *sharedRun) measure(g *server, pids []int, from int64) (sample, error) {
	before, err := requestsAt(s.b.set.Origin)
	if err != nil {
		return sample{}, err
	}
	res, err := do(&load.Job{Addr: g.addr, Connections: sharedConnections, Threads: s.b.threads, Requests: []load.Request{numbered()}, Order: []uint32{0},
		Warm: 200 * time.Millisecond, Measure: time.Second, FirstNumber: from, Pids: pids})
	if err != nil {
		return sample{}, err
	}
	after, err := requestsAt(s.b.set.Origin)
	if err != nil {
		return sample{}, err
	}
	n := float64(max(res.Requests, 1))
	if len(res.Faults) > 0 {
		s.b.warn("%s, what gateways share: wrong answers: %v", tzero, res.Faults)
	}
	return sample{Rate: n / res.Elapsed.Seconds(), CPU: float64(res.CPU) / 1e3 / n, P50: float64(res.Latency.Quantile(.5)) / 1e3,
		P99: float64(res.Latency.Quantile(.99)) / 1e3, Forwards: float64(after-before) / (n * 1.2)}, nil
}

func (s *sharedRun) row(what string, of, redis []sample) {
	median := func(all []sample, m metric) float64 {
		var v []float64
		for _, one := range all {
			v = append(v, m(one))
		}
		return spreadOf(v).Median
	}
	s.out.Rows = append(s.out.Rows, sharedRow{
		What: what, CPU: median(of, cpu), RedisCPU: median(redis, cpu), Rate: median(of, rate),
		P50: median(of, func(x sample) float64 { return x.P50 }), P99: median(of, func(x sample) float64 { return x.P99 }),
		OriginPerReq: median(of, func(x sample) float64 { return x.Forwards }),
	})
}

func sharedTable(b *strings.Builder, o *outcome) {
	c := o.Shared
	if c == nil {
		return
	}
	fmt.Fprintf(b, "\n## What gateways share\n\nObjects of 1 KiB, a closed loop of %d connections; in the first row and the last two every object is asked for once. %d objects lay in %s. "+
		"CPU time in microseconds a request, of the server's processes and of Redis.\n\n| the object is | CPU | CPU of Redis | requests per second | p50 µs | p99 µs | origin asked, per request |\n|---|---:|---:|---:|---:|---:|---:|\n",
		sharedConnections, c.Objects, c.Redis)
	for _, r := range c.Rows {
		redis := "–"
		if r.RedisCPU > 0 {
			redis = fmt.Sprintf("%.1f", r.RedisCPU)
		}
		fmt.Fprintf(b, "| %s | %.1f | %s | %.0f | %.0f | %.0f | %.2f |\n", r.What, r.CPU, redis, r.Rate, r.P50, r.P99, r.OriginPerReq)
	}
}
