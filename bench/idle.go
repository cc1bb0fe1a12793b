//go:build linux

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
)

// idleOutcome is what idle keep-alive connections cost a server.
type idleOutcome struct {
	Connections int
	StillOpen   int     // at the end
	Bytes       float64 // of the server's memory (PSS) a connection, the kernel's not included
}

// eachHolds is how many connections one client process keeps: a process may have 20,000 descriptors.
const eachHolds = 5000

// idle opens connections to all servers, each with one request, leaves them alone for the same time, and
// compares the memory with that of before. The servers are fresh: memory that a server keeps from earlier load
// would hide what connections need.
func (b *bench) idle() error {
	if b.plan.idleConnections == 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "%d idle connections for %v\n", b.plan.idleConnections, b.plan.idleTime)
	b.out.Idle, b.out.IdleTime = map[string]idleOutcome{}, b.plan.idleTime
	set := b.set
	set.Dir += "/idle"
	runs := map[string]*idleRun{}
	defer func() {
		for _, r := range runs {
			r.s.stop()
		}
	}()
	for _, name := range b.names {
		s, err := start(name, set, b.binary)
		if err != nil {
			return err
		}
		runs[name] = &idleRun{s: s}
		if err := runs[name].begin(min(b.plan.idleConnections, s.maxIdle)); err != nil {
			return fmt.Errorf("idle connections to %s: %w", name, err)
		}
	}
	time.Sleep(b.plan.idleTime)
	for name, r := range runs {
		var err error
		if r.after, err = memoryOf(family(r.s.cmd.Process.Pid)); err != nil {
			return fmt.Errorf("idle connections to %s: %w", name, err)
		}
	}
	if r := runs[tzero]; r != nil { // a profile needs memory itself
		if err := b.profileHeap(r.s, profileIdle, "idle connections: memory of the heap"); err != nil {
			return err
		}
	}
	for name, r := range runs {
		o, err := r.end()
		if err != nil {
			return fmt.Errorf("idle connections to %s: %w", name, err)
		}
		b.out.Idle[name] = o
		if o.StillOpen < o.Connections {
			b.warn("%s closed %d of %d idle connections", name, o.Connections-o.StillOpen, o.Connections)
		}
	}
	return nil
}

type idleRun struct {
	s       *server
	before  memory
	after   memory
	n       int
	holders []*holder
}

// begin lets the server reach its working state, looks at its memory and opens the connections.
func (r *idleRun) begin(n int) error {
	requests, order := hit1K.requests()
	job := load.Job{Addr: r.s.addr, Requests: requests, Order: order}
	warm := job
	warm.Connections, warm.Limit = 16, 2000
	if _, err := do(&warm); err != nil {
		return err
	}
	var err error
	if r.before, err = memoryOf(family(r.s.cmd.Process.Pid)); err != nil {
		return err
	}
	for r.n < n {
		part := job
		part.Connections = min(eachHolds, n-r.n)
		h, err := hold(&part)
		if err != nil {
			return err
		}
		r.holders = append(r.holders, h)
		r.n += part.Connections
	}
	return nil
}

func (r *idleRun) end() (idleOutcome, error) {
	o := idleOutcome{Connections: r.n}
	for _, h := range r.holders {
		open, err := h.release()
		if err != nil {
			return o, err
		}
		o.StillOpen += open
	}
	o.Bytes = float64(r.after.PSS-r.before.PSS) / float64(max(o.StillOpen, 1))
	return o, nil
}
