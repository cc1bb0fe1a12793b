// Package origin asks the app behind the gateway. It owns its connections: it dials, pools, balances,
// checks health, writes requests in one clean form and reads responses strictly, so that nothing is
// retried, pooled or swallowed behind the gateway's back.
//
// [Pools] is the long-lived service. [Pools.Run] owns its only standing goroutine, the sweep, which
// closes what is overdue, unwanted or idle for too long, and starts health checks. A request costs no
// goroutine, no timer and no deadline system call: it notes in its connection until when it waits for
// what, and the sweep, every 50 ms, looks. Requests that stream a body from their client are the
// exception: a goroutine sends it, so that an origin which answers early is heard.
//
// [Pools.Build] makes a [Set] of pools from a configuration without any effect; [Pools.Use] puts it in
// force. The state of a target (connections, health, counters) belongs to the pool's name, the target's
// URL and its TLS settings, and outlives any number of configurations.
package origin

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options are the things that Pools needs from outside; the zero value is good.
type Options struct {
	// Dial opens a connection; nil means net.Dialer, which tries all addresses of a name.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log hears of targets that come and go; nil means nobody.
	Log *slog.Logger
}

// Pools holds the connections to all origins.
type Pools struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	log   *slog.Logger
	clock clock

	buffers buffers

	mu      sync.Mutex
	targets map[string]*target   // by identity: those of the set in force
	swept   map[*target]struct{} // those, and the ones that drain
	set     atomic.Pointer[Set]
}

// New returns Pools without any origin. Requests have no time limits until Run runs.
func New(o Options) *Pools {
	ps := &Pools{dial: o.Dial, log: o.Log, targets: map[string]*target{}, swept: map[*target]struct{}{}}
	if ps.dial == nil {
		d := &net.Dialer{KeepAlive: 30 * time.Second}
		ps.dial = d.DialContext
	}
	if ps.log == nil {
		ps.log = slog.New(slog.DiscardHandler)
	}
	ps.clock.start = time.Now()
	ps.buffers.mayHold = maxHeld
	ps.set.Store(&Set{pools: map[string]*Pool{}})
	return ps
}

// Set is the pools of one configuration, by name. It is immutable.
type Set struct{ pools map[string]*Pool }

// Pool returns the pool called name, or nil.
func (s *Set) Pool(name string) *Pool { return s.pools[name] }

// Build makes the pools of a configuration, which must be valid. It reads the certificate files, and
// changes nothing: targets that exist are taken over, new ones begin to live with Use.
func (ps *Pools) Build(configs map[string]Config) (*Set, error) {
	set := &Set{pools: make(map[string]*Pool, len(configs))}
	for name, cfg := range configs {
		tlsConf, tlsID, err := cfg.TLS.load()
		if err != nil {
			return nil, fmt.Errorf("cannot set up origin %s: %w", name, err)
		}
		p := &Pool{name: name, cfg: cfg, asHost: []byte(cfg.Host), ps: ps}
		for _, raw := range cfg.Targets {
			a, err := parseTarget(raw)
			if err != nil {
				return nil, fmt.Errorf("cannot set up origin %s: target %w", name, err)
			}
			p.targets = append(p.targets, ps.target(name, a, tlsConf, tlsID))
		}
		set.pools[name] = p
	}
	return set, nil
}

// target returns the target that exists already, or a new one.
func (ps *Pools) target(pool string, a address, tlsConf *tls.Config, tlsID string) *target {
	id := pool + " " + a.url()
	if a.https {
		id += " " + tlsID
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if t := ps.targets[id]; t != nil {
		return t
	}
	return newTarget(ps, id, pool, a, tlsConf)
}

// Use puts a set in force: its settings apply to its targets from now on, new targets are checked,
// targets that are no longer named serve what they have begun and then close.
func (ps *Pools) Use(set *Set) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	before := ps.targets
	ps.targets = make(map[string]*target, len(before))
	for _, p := range set.pools {
		for i, t := range p.targets {
			ps.targets[t.id] = t
			ps.swept[t] = struct{}{}
			t.adopt(&p.cfg, i, len(p.targets))
		}
	}
	for id, t := range before {
		if ps.targets[id] != t {
			t.drain()
		}
	}
	ps.set.Store(set)
}

// keep has the sweep look after a target again that a late request of an old configuration still uses.
func (ps *Pools) keep(t *target) {
	ps.mu.Lock()
	ps.swept[t] = struct{}{}
	ps.mu.Unlock()
}

// Apply builds a set and uses it. On an error nothing has changed.
func (ps *Pools) Apply(configs map[string]Config) (*Set, error) {
	set, err := ps.Build(configs)
	if err != nil {
		return nil, err
	}
	ps.Use(set)
	return set, nil
}

// Pool returns the pool called name of the set in force, or nil.
func (ps *Pools) Pool(name string) *Pool { return ps.set.Load().Pool(name) }
