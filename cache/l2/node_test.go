package l2_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	leases "github.com/tzero-edge/tzero/cache/flight/redis"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/cache/l2"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// origin is an app that several nodes stand before.
type origin struct {
	asked  atomic.Int64
	answer func(n int64, fetch field.List) (cache.Head, cache.Body, error)
}

// node is a gateway in miniature.
type node struct {
	t      testing.TB
	c      *cache.Cache
	l2     *l2.Tier
	leases *leases.Leases
	policy *cache.Policy
	origin *origin
	end    func()
}

func start(t testing.TB, url string, o *origin, change func(*cache.RouteConfig)) *node {
	t.Helper()
	rc := tzredis.Default()
	rc.URL = conf.NewSecret(url)
	rc.ReadBudget, rc.LeaseBudget = conf.Duration(200*time.Millisecond), conf.Duration(200*time.Millisecond) // the detector is slow
	r, err := tzredis.Open(rc, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := l2.Default()
	cfg.MaxObject = 64 << 10
	tier, err := l2.New(l2.Options{Reads: r.Client(tzredis.Reads), Writes: r.Client(tzredis.Writes), Keys: r.Keys(), Config: cfg,
		Node: tzredis.NewNodeID(), MaxBody: 8 << 20, Random: rand.Uint64, There: func() bool { return r.There(tzredis.Reads) }})
	if err != nil {
		t.Fatal(err)
	}
	ls := leases.New(leases.Options{Client: r.Client(tzredis.Leases), Bus: r.Client(tzredis.Bus), Keys: r.Keys(), TTL: time.Second,
		StampSize: l2.StampSize, Random: rand.Uint64, There: func() bool { return r.There(tzredis.Leases) }})
	memory, err := l1.New(32<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	cc := cache.Default()
	cc.Jitter = 0
	c := cache.New(cc, memory)
	c.Share(cache.Sharing{Tier: tier, Leases: ls, Wait: 10 * time.Second, Ready: func() bool { return true }})
	route := cache.DefaultRoute()
	if change != nil {
		change(&route)
	}
	policy, err := route.Compile()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	running.Go(func() { _ = tier.Run(ctx) })
	running.Go(func() { _ = ls.Run(ctx) })
	n := &node{t: t, c: c, l2: tier, leases: ls, policy: policy, origin: o}
	var once sync.Once
	n.end = func() {
		once.Do(func() {
			grace, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			if err := c.Close(grace); err != nil {
				t.Error(err)
			}
			stop()
			running.Wait()
			r.Close()
		})
	}
	t.Cleanup(n.end)
	return n
}

func list(lines ...string) field.List {
	var l field.List
	for _, s := range lines {
		name, value, _ := strings.Cut(s, ":")
		l.AddString(name, strings.TrimSpace(value))
	}
	return l
}

// body is content that arrives after a while.
type body struct {
	*strings.Reader
	wait time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	b.wait = 0
	return b.Reader.Read(p)
}
func (b *body) Ready() bool  { return b.wait == 0 }
func (b *body) Done() bool   { return true }
func (b *body) Close() error { return nil }

func page(text string, lines ...string) (cache.Head, cache.Body, error) {
	return cache.Head{Status: 200, Fields: list(lines...), Length: int64(len(text))}, &body{Reader: strings.NewReader(text)}, nil
}

// answer is what a request got, and how.
type answer struct {
	how  string // hit, stale, shared, led, joined, alone
	body string
	age  time.Duration
	left time.Duration
}

// get takes a request through the journey.
func (n *node) get(path string, lines ...string) answer {
	n.t.Helper()
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.test"), Path: []byte(path), Policy: n.policy, Fields: list(lines...)}
	for range 4 {
		res := n.c.Lookup(q, time.Now())
		run := func(q *cache.Request, res *cache.Result) (*cache.Fill, error) { return n.fetch(q, res) }
		switch res.Verdict {
		case cache.Hit, cache.Stale:
			if res.Refresh {
				n.c.Refresh(q, &res, run)
			}
			return answer{res.Verdict.String(), string(res.Object.Body()), res.Age, res.Left}
		case cache.Follow:
			return n.read("joined", res.Fill)
		case cache.Alone:
			return n.alone(q, &res)
		}
		f, turn, err := n.c.Lead(q, &res, func() (*cache.Fill, error) { return run(q, &res) })
		switch turn {
		case cache.Led:
			if err != nil {
				return answer{how: "failed"}
			}
			if f.State() == cache.Uncacheable {
				return answer{how: "led-private"}
			}
			return n.read("led", f)
		case cache.Joined:
			return n.read("joined", f)
		case cache.FromShared:
			if res.Refresh {
				n.c.Refresh(q, &res, run)
			}
			return answer{"shared", string(res.Object.Body()), res.Age, res.Left}
		case cache.OnYourOwn:
			return n.alone(q, &res)
		}
	}
	return n.alone(q, &cache.Result{})
}

func (n *node) alone(q *cache.Request, res *cache.Result) answer {
	_, b, err := n.origin.answer(n.origin.asked.Add(1), q.Fields)
	if err != nil {
		return answer{how: "failed"}
	}
	text, _ := io.ReadAll(b)
	return answer{how: "alone", body: string(text)}
}

func (n *node) fetch(q *cache.Request, res *cache.Result) (*cache.Fill, error) {
	fetch := q.Fields.Clone()
	res.AppendConditions(&fetch, q.Fields)
	asked := time.Now()
	head, b, err := n.origin.answer(n.origin.asked.Add(1), fetch)
	if err != nil {
		if ok, reason := q.OnFailure(res, 1, time.Now()); ok {
			return n.c.ServeStale(q, res, reason), nil
		}
		return nil, err
	}
	if head.Status == 304 && res.Validating() {
		return n.c.Freshen(q, res, head, asked, time.Now()), nil
	}
	return n.c.Begin(q, res, head, b, asked, time.Now()), nil
}

func (n *node) read(how string, f *cache.Fill) answer {
	r := f.Reader(nil)
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return answer{how: how + " " + err.Error()}
	}
	return answer{how: how, body: string(text)}
}

func (n *node) is(got answer, how, body string) {
	n.t.Helper()
	if got.how != how || got.body != body {
		n.t.Errorf("got %q by %s, want %q by %s", got.body, got.how, body, how)
	}
}

func stored(n *node, want uint64) {
	n.t.Helper()
	harness.Eventually(n.t, "it is stored for all", 10*time.Second, func() bool { return n.l2.Stats().Stored >= want })
}

func always(text string, lines ...string) *origin {
	o := &origin{}
	o.answer = func(n int64, _ field.List) (cache.Head, cache.Body, error) {
		return page(fmt.Sprint(text, n), lines...)
	}
	return o
}

// A response that another gateway has fetched after a purge which is not known here yet. A purge that this gateway makes by
// itself has a lesser number, and hits it all the same.
func TestAPurgeOfAnotherIsNotKnownYet(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("page ", "Cache-Control: max-age=60", "Surrogate-Key: news")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.c.Epochs().Reach(5000)
	b.c.Epochs().Reach(1000)
	a.is(a.get("/"), "led", "page 1")
	stored(a, 1)
	b.is(b.get("/"), "shared", "page 1")
	b.is(b.get("/"), "hit", "page 1")
	b.c.Epochs().Next(purge.Hard, []purge.Cell{purge.Tag([]byte("news"))})
	if got := b.get("/"); got.how == "hit" {
		t.Errorf("got %q by %s after a purge", got.body, got.how)
	}
}
