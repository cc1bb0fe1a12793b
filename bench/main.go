//go:build linux

// Command bench measures tzero beside nginx, HAProxy and Varnish on one machine in one run, and writes the
// tables of bench/results. `make bench` runs it; README.md says what is measured and how.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
)

func main() {
	if err := dispatch(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func dispatch() error {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case roleOrigin:
			return runOrigin(os.Args[2])
		case roleLoad:
			return load.Serve(os.Stdin, os.Stdout)
		case roleHold:
			return load.Hold(os.Stdin, os.Stdout)
		}
	}
	return measure()
}

type options struct {
	quick    bool
	binary   string
	out      string
	only     string
	rounds   int
	idle     int
	crowd    int
	idleTime time.Duration
	threads  int
	measure  time.Duration
	servers  string
	shared   bool
}

func measure() error {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "two to three minutes in place of a quarter of an hour")
	flag.StringVar(&o.binary, "tzero", "bin/tzero", "the `binary` to measure")
	flag.StringVar(&o.out, "out", "bench/results", "`directory` for the tables")
	flag.StringVar(&o.only, "only", "", "measure only rows whose id (case/connections/closed or open) contains this `text`; none: no rows")
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of every row, in place of the plan's")
	flag.IntVar(&o.idle, "idle", 0, "idle connections, in place of the plan's")
	flag.IntVar(&o.crowd, "crowd", 0, "objects stored for the comparison of p99.9, in place of the plan's")
	flag.DurationVar(&o.idleTime, "idle-time", 0, "how long they stay idle, in place of the plan's")
	flag.DurationVar(&o.measure, "measure", 0, "measured time of a round, in place of the plan's")
	flag.StringVar(&o.servers, "servers", "", "measure only these `servers`, separated by commas")
	flag.BoolVar(&o.shared, "shared", false, "measure what gateways share through Redis, with -only as well")
	flag.IntVar(&o.threads, "threads", runtime.NumCPU(), "threads of the client in a closed loop")
	flag.Parse()

	// Debian keeps servers in /usr/sbin, which is not on everybody's path.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin"); err != nil {
		return fmt.Errorf("cannot set the path: %w", err)
	}
	b, err := newBench(&o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.set.Dir)
	if err := b.run(); err != nil {
		return err
	}
	b.out.Targets = judge(b.out)
	return writeReport(o.out, b.out)
}

func newBench(o *options) (*bench, error) {
	binary, err := exec.LookPath(o.binary)
	if err != nil {
		return nil, fmt.Errorf("cannot find tzero: %w", err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, fmt.Errorf("cannot find tzero: %w", err)
	}
	dir, err := os.MkdirTemp(tmpfs(), "tzero-bench-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the servers: %w", err)
	}
	b := &bench{plan: fullPlan(), binary: binary, threads: o.threads, only: o.servers, out: &outcome{Taken: time.Now().UTC(), Quick: o.quick,
		Versions: map[string]string{}}}
	if o.quick {
		b.plan = quickPlan()
	}
	if err := b.plan.change(o); err != nil {
		return nil, err
	}
	b.sharedOnly = o.shared
	b.set = settings{Origin: freeAddr(), Dir: dir, Workers: runtime.NumCPU()}
	m := &b.out.Machine
	m.describe()
	m.Cores, m.Go = runtime.NumCPU(), runtime.Version()
	return b, nil
}

// change applies what was asked for on the command line.
func (p *plan) change(o *options) error {
	var cells []cell
	for _, c := range p.cells {
		if o.rounds > 0 {
			c.rounds = o.rounds
		}
		if o.only == "" || strings.Contains(c.id(), o.only) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 && o.only != "none" {
		return errors.New("cannot measure: no row's id contains " + o.only)
	}
	if o.only != "" {
		p.crowd, p.idleConnections = 0, 0
	}
	if o.crowd > 0 {
		p.crowd, p.crowdMeasure = o.crowd, 30*time.Second
	}
	if o.idle > 0 {
		p.idleConnections = o.idle
	}
	if o.measure > 0 {
		p.measure = o.measure
	}
	if o.idleTime > 0 {
		p.idleTime = o.idleTime
	}
	p.cells = cells
	return nil
}

// tmpfs is where caches in files lie in memory; elsewhere the temporary directory has to do.
func tmpfs() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}
