package origin

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"
)

// target is one address of an origin: its connections, its health, its counters. It outlives the
// configurations that name it.
type target struct {
	ps     *Pools
	id     string
	pool   string // its origin's name
	addr   address
	url    string
	asHost []byte      // the target's own authority
	tls    *tls.Config // nil for http

	conf   atomic.Pointer[settings]
	health health
	counts counts

	lastError atomic.Pointer[Error]

	mu       sync.Mutex
	conns    []*conn // all open ones, for the sweep
	idle     []*conn // the most recently used last
	open     int     // connections of the pool, those being dialed included
	inFlight int     // requests that hold one of them
	queue    queue
	uploads  int   // requests that may have a connection although their body is still to come
	line     queue // requests that wait to be one of those
	streams  int   // event streams; their connections are in conns, but not in open
	draining bool
}

// settings are the parts of a Config that a target works by.
type settings struct {
	pool    PoolConfig
	health  HealthConfig
	passive PassiveConfig
	offset  time.Duration // of its checks within the interval, so that targets are not checked at once
}

func newTarget(ps *Pools, id, pool string, a address, tc *tls.Config) *target {
	t := &target{ps: ps, id: id, pool: pool, addr: a, url: a.url(), asHost: []byte(a.authority())}
	if a.https {
		t.tls = tc.Clone()
		if t.tls.ServerName == "" {
			t.tls.ServerName = a.host
		}
	}
	return t
}

// adopt puts a configuration's settings in force; i of n is the target's place in its pool.
func (t *target) adopt(c *Config, i, n int) {
	offset := c.Health.Interval.D() * time.Duration(i) / time.Duration(n)
	t.conf.Store(&settings{c.Pool, c.Health, c.Passive, offset})
	t.mu.Lock()
	t.draining = false
	t.admit() // there may be more room than before
	t.admitUploads()
	t.mu.Unlock()
}

// drain closes the idle connections and lets the others end with their requests.
func (t *target) drain() {
	t.mu.Lock()
	t.draining = true
	idle := t.idle
	t.idle = nil
	for _, c := range idle {
		t.forget(c)
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.wire.Close()
	}
}

// acquire returns a connection for one request: the idle one used last, a new one, or one that another
// request is done with, in the order of asking. fresh refuses idle ones; waited is a part of the longest
// wait that is used up. An idle one may be dead: it is conn.unseen until somebody has looked.
func (t *target) acquire(ctx context.Context, q *Request, tm *Timeouts, fresh bool, waited time.Duration) (*conn, *Error) {
	t.mu.Lock()
	t.inFlight++
	t.counts.requests++
	return t.take(ctx, q, tm, fresh, waited)
}

// retake goes on where acquire stopped with a connection that was found dead.
func (t *target) retake(ctx context.Context, q *Request, tm *Timeouts, dead *conn, waited time.Duration) (*conn, *Error) {
	dead.rd.Reset(nil)
	t.drop(dead)
	t.mu.Lock()
	return t.take(ctx, q, tm, false, waited)
}

// take is acquire for a request that is counted. Callers hold mu; it is released.
func (t *target) take(ctx context.Context, q *Request, tm *Timeouts, fresh bool, waited time.Duration) (*conn, *Error) {
	for !fresh && len(t.idle) > 0 {
		c := t.popIdle()
		t.mu.Unlock()
		if c.unseen = c.looksLater(); c.unseen || c.alive() {
			return c, nil
		}
		t.drop(c)
		t.mu.Lock()
	}
	limit := t.limits().MaxConnections
	if t.open >= limit && len(t.idle) > 0 {
		old := t.oldestIdle()
		t.forget(old)
		defer old.wire.Close()
	}
	if t.open < limit {
		t.open++
		t.admit() // connections found dead may have left more than one place
		t.mu.Unlock()
		return t.dialed(ctx, q, tm)
	}
	t.inFlight-- // it counts as waiting now
	w, err := t.enqueue(&t.queue)
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	c, err := t.await(ctx, q, w, waited)
	if err != nil {
		return nil, err
	}
	return t.served(ctx, q, tm, c)
}

// dialed opens a connection on a place that is counted already.
func (t *target) dialed(ctx context.Context, q *Request, tm *Timeouts) (*conn, *Error) {
	t.mu.Lock()
	late := t.draining
	t.mu.Unlock()
	if late {
		t.ps.keep(t)
	}
	c, err := t.connect(ctx, q.Done, tm.Connect.D())
	t.mu.Lock()
	if err != nil {
		t.open--
		t.leave()
		t.mu.Unlock()
		return nil, err
	}
	t.counts.connects++
	c.at = len(t.conns)
	t.conns = append(t.conns, c)
	t.mu.Unlock()
	return c, nil
}

// release takes a connection back from a request that is through with it.
func (t *target) release(c *conn, reuse bool) {
	if !reuse || c.stream || !c.end() {
		t.discard(c)
		return
	}
	c.head.Reset() // it points into buffers that others get now
	c.rd.Idle()
	t.mu.Lock()
	t.endUpload(c)
	t.inFlight--
	if !t.draining {
		if w := t.queue.pop(); w != nil {
			t.inFlight++
			w.ready <- c
			t.mu.Unlock()
			return
		}
		if max := t.limits(); len(t.idle) < max.MaxIdle && t.open <= max.MaxConnections {
			c.idleSince = t.ps.clock.coarse()
			t.idle = append(t.idle, c)
			t.mu.Unlock()
			return
		}
	}
	t.forget(c)
	t.admit()
	t.mu.Unlock()
	c.wire.Close()
}

// discard closes a connection that its request leaves in an unknown state.
func (t *target) discard(c *conn) {
	c.kill(c.word.Load(), None)
	c.rd.Reset(nil)
	t.part(c)
}

// drop closes an idle connection that was found dead; its request goes on.
func (t *target) drop(c *conn) {
	t.mu.Lock()
	t.forget(c)
	t.counts.stale++
	t.mu.Unlock()
	c.wire.Close()
}

// detach lets a connection go that has become a tunnel.
func (t *target) detach(c *conn) {
	c.end()
	c.rd.Reset(nil)
	t.part(c)
}

// part takes a connection that is not kept off the books, with the request that had it.
func (t *target) part(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endUpload(c)
	t.forget(c)
	if !c.stream {
		t.leave()
	}
}

// leave ends a request's stay. Callers hold mu.
func (t *target) leave() {
	t.inFlight--
	t.admit()
}

// admit gives free places to the first in the queue. Callers hold mu.
func (t *target) admit() {
	for t.open < t.limits().MaxConnections {
		w := t.queue.pop()
		if w == nil {
			return
		}
		t.open++
		t.inFlight++
		w.ready <- nil
	}
}

// forget removes a connection from the books. Callers hold mu.
func (t *target) forget(c *conn) {
	last := len(t.conns) - 1
	t.conns[c.at] = t.conns[last]
	t.conns[c.at].at = c.at
	t.conns[last] = nil
	t.conns = t.conns[:last]
	if c.stream {
		t.streams--
		return
	}
	t.open--
}

func (t *target) popIdle() *conn {
	last := len(t.idle) - 1
	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]
	return c
}

func (t *target) oldestIdle() *conn {
	c := t.idle[0]
	n := copy(t.idle, t.idle[1:])
	t.idle[n] = nil
	t.idle = t.idle[:n]
	return c
}

func (t *target) limits() *PoolConfig { return &t.conf.Load().pool }

// load is the number of requests that are at the target or wait for it, and whether another would wait.
func (t *target) load(upload bool) (requests int, full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	max := t.limits()
	full = t.inFlight >= max.MaxConnections || upload && t.uploads >= max.uploads()
	return t.inFlight + t.streams + t.queue.n + t.line.n, full
}

func (t *target) fail(kind Kind, detail string, cause error) *Error {
	if detail == "" {
		detail = details[kind]
	}
	return &Error{Kind: kind, Pool: t.pool, Target: t.url, Detail: detail, Err: cause}
}
