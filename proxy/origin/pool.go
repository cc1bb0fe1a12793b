package origin

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Pool is one origin of one configuration: its targets and how to choose among them.
type Pool struct {
	name    string
	cfg     Config
	asHost  []byte // Config.Host
	ps      *Pools
	targets []*target
	next    atomic.Uint32
}

// Name is the origin's name in the configuration.
func (p *Pool) Name() string { return p.name }

// Config returns the settings that the pool was built from.
func (p *Pool) Config() Config { return p.cfg }

// maxAttempts bounds the targets and connections that one request may try.
const maxAttempts = 3

// call is one Do: what its attempts share.
type call struct {
	p       *Pool
	q       *Request
	tm      Timeouts
	start   int64
	totalBy int64 // 0: no bound
	body    held
	tried   uint64 // a bit for each target that was given up
	fresh   bool   // idle connections are not to be trusted any more
}

// Do asks the origin and returns its final answer's head, or its 101; the body follows as it is read.
// The error is an *Error. While the request's body is still being sent when Do returns,
// it goes on being sent until it ends or the response is closed.
func (p *Pool) Do(ctx context.Context, q *Request) (*Response, error) {
	r := new(Response)
	if err := p.DoInto(ctx, q, r); err != nil {
		return nil, err
	}
	return r, nil
}

// DoInto is Do with a Response of the caller's, whose contents it replaces. It allocates nothing on a
// kept connection.
func (p *Pool) DoInto(ctx context.Context, q *Request, r *Response) error {
	c := call{p: p, q: q, tm: q.Timeouts.over(&p.cfg.Timeouts)}
	if q.Began.IsZero() {
		c.start = p.ps.clock.exact()
	} else {
		c.start = p.ps.clock.at(q.Began)
	}
	if c.tm.Total > 0 {
		c.totalBy = c.start + int64(c.tm.Total)
	}
	if err := c.body.take(q, &p.ps.buffers); err != nil {
		return c.clientFault(err)
	}
	err := c.run(ctx, r)
	c.body.free(&p.ps.buffers)
	if err != nil {
		return err
	}
	return nil
}

// run makes attempts until one succeeds or no further one is allowed.
func (c *call) run(ctx context.Context, r *Response) *Error {
	var last *Error
	for n := 1; ; n++ {
		i := c.p.pick(c.tried, c.body.streams())
		if i < 0 {
			return last
		}
		t := c.p.targets[i]
		err := c.attempt(ctx, t, r)
		if err == nil {
			r.Attempts = n
			return nil
		}
		err.Attempts = n
		t.failed(err)
		last = err
		if n == maxAttempts || !c.again(err, i) || ctx.Err() != nil || closed(c.q.Done) {
			return err
		}
	}
}

// again decides whether a failed attempt may be followed by another. Only what cannot be done twice by
// that is tried again: nothing was sent, or the method is idempotent and there is no body. On a kept
// connection that turned out closed the same target gets a second chance with a new connection, else
// another target has to exist.
func (c *call) again(err *Error, target int) bool {
	if !err.again || (c.totalBy > 0 && c.p.ps.clock.exact() > c.totalBy) {
		return false
	}
	if err.stale && !c.fresh {
		c.fresh = true
		return true
	}
	switch err.Kind {
	case ConnectFailed, ConnectTimeout, TLSFailed, QueueFull, Reset:
		c.tried |= 1 << target
		return true
	}
	return false
}

// attempt asks one target once.
func (c *call) attempt(ctx context.Context, t *target, r *Response) *Error {
	tm := c.tm
	if c.totalBy > 0 {
		left := time.Duration(c.totalBy - c.p.ps.clock.exact())
		tm.Connect = min(tm.Connect, conf.Duration(max(left, 1)))
	}
	var cn *conn
	var err *Error
	if c.body.streams() {
		cn, err = t.acquireUpload(ctx, c.q, &tm, c.fresh)
	} else {
		cn, err = t.acquire(ctx, c.q, &tm, c.fresh, 0)
	}
	for {
		if err != nil {
			err.again, err.Retryable = true, c.untouched()
			return err
		}
		cn.begin(ctx, c.q, &tm, c.totalBy)
		dead, fault := c.exchange(cn, r)
		if !dead {
			return fault
		}
		cn, err = t.retake(ctx, c.q, &tm, cn, 0)
	}
}

// untouched reports whether nothing of the request's body was read.
func (c *call) untouched() bool { return c.body.n == 0 }

func (c *call) clientFault(cause error) *Error {
	return &Error{Kind: RequestBody, Pool: c.p.name, Detail: details[RequestBody], Err: cause}
}

// over fills what is unset with the settings beneath.
func (t Timeouts) over(base *Timeouts) Timeouts {
	fill := func(d *conf.Duration, from conf.Duration) {
		if *d == 0 {
			*d = from
		}
	}
	fill(&t.Connect, base.Connect)
	fill(&t.FirstByte, base.FirstByte)
	fill(&t.Idle, base.Idle)
	fill(&t.EventIdle, base.EventIdle)
	fill(&t.Total, base.Total)
	return t
}

// host is what Host says to a target.
func (p *Pool) host(q *Request, t *target) []byte {
	switch {
	case p.cfg.Host != "":
		return p.asHost
	case p.cfg.ThirdParty || len(q.Host) == 0:
		return t.asHost
	}
	return q.Host
}

// pick chooses among the targets that were not tried yet: healthy ones with room first, then healthy
// ones, then any: when all are bad, trying is better than refusing. It returns -1 when all were tried.
func (p *Pool) pick(tried uint64, upload bool) int {
	n := len(p.targets)
	if n == 1 && tried == 0 {
		return 0
	}
	now := p.ps.clock.coarse()
	first := int(p.next.Add(1) % uint32(n))
	best, bestRank, bestLoad := -1, 3, 0
	for k := range n {
		i := (first + k) % n
		if tried&(1<<i) != 0 {
			continue
		}
		t := p.targets[i]
		load, full := t.load(upload)
		rank := t.rank(now, full)
		if rank < bestRank || rank == bestRank && load < bestLoad {
			best, bestRank, bestLoad = i, rank, load
		}
		if rank == 0 && p.cfg.Balance == RoundRobin {
			break
		}
	}
	return best
}

// rank orders targets by whether they should be asked; lower is better.
func (t *target) rank(now int64, full bool) int {
	switch {
	case !t.health.usable(now):
		return 2
	case full:
		return 1
	}
	return 0
}
