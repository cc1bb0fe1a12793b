package counters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/ratelimit"
)

// gateway is what one gateway has of rate limits.
type gateway struct {
	*Counters
	limiter *ratelimit.Limiter
	set     *ratelimit.Set
	chains  map[string]ratelimit.Chain
	alone   atomic.Int64
	stop    func()
}

func rate(text string) ratelimit.PolicyConfig {
	p := ratelimit.DefaultPolicy()
	if err := p.Rate.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return p
}

func start(t testing.TB, url string, nodes int) *gateway {
	t.Helper()
	c := tzredis.Default()
	c.URL = conf.NewSecret(url)
	r, err := tzredis.Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{limiter: ratelimit.New(uint64(time.Now().UnixNano()), time.Now()), chains: map[string]ratelimit.Chain{}}
	g.Counters = New(Options{
		Client: r.Client(tzredis.Limits), Keys: r.Keys(), Limiter: g.limiter, Nodes: func() int { return nodes },
		Alone: func(n int, _ error) { g.alone.Store(int64(n)) }, Again: func() { g.alone.Store(0) },
	})
	g.limiter.Share(g.Counters)
	exact, refuse := rate("10/1h"), rate("10/1h")
	exact.Exact, refuse.Exact, refuse.OnFailure = true, true, ratelimit.OnFailureRefuse
	set, ps := g.limiter.Compile(ratelimit.Config{Keys: 100_000, Policies: map[string]ratelimit.PolicyConfig{
		"hour": rate("30/1h"), "second": rate("50/1s"), "exact": exact, "refuse": refuse,
	}})
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	g.set = set
	for _, name := range []string{"hour", "second", "exact", "refuse"} {
		if g.chains[name], err = set.Chain([]string{name}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = g.Run(ctx) })
	wg.Go(func() { _ = r.Run(ctx) })
	g.stop = sync.OnceFunc(func() {
		stop()
		wg.Wait()
		r.Close()
	})
	t.Cleanup(g.stop)
	return g
}

func (g *gateway) ask(name, addr string) bool {
	var r ratelimit.Receipt
	r.Reset()
	a := ratelimit.Asker{Address: netip.MustParseAddr(addr)}
	c := g.chains[name]
	return g.set.Ask(c.Origin, &a, time.Now(), &r) && g.set.AskExact(context.Background(), c.Exact, &a, time.Now(), &r)
}

func (g *gateway) passes(n int, name, addr string) int {
	passed := 0
	for range n {
		if g.ask(name, addr) {
			passed++
		}
	}
	return passed
}

// agreed waits until all gateways hash alike.
func agreed(t testing.TB, all ...*gateway) {
	t.Helper()
	harness.Eventually(t, "the gateways agree on a secret", 10*time.Second, func() bool {
		for _, g := range all {
			if g.limiter.Secret() != all[0].limiter.Secret() || g.n.rounds.Load() == g.n.failed.Load() {
				return false
			}
		}
		return true
	})
}

func TestCountedTogether(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL(), 2), start(t, server.URL(), 2)
	agreed(t, a, b)
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		if n := a.passes(20, "hour", addr); n != 20 {
			t.Fatal(n)
		}
		if n := b.passes(20, "hour", addr); n != 20 {
			t.Fatal(n)
		}
		harness.Eventually(t, "both know that 40 of 30 were taken", 5*time.Second, func() bool { return !a.ask("hour", addr) && !b.ask("hour", addr) })
	}
	if n := b.passes(40, "hour", "192.0.2.2"); n != 30 {
		t.Error("somebody else got", n)
	}
	a.stop()
	b.stop()
}

// TestASingleGatewayTellsNobody: there is nobody to tell.
func TestASingleGatewayTellsNobody(t *testing.T) {
	server := harness.StartRedis(t)
	a := start(t, server.URL(), 1)
	agreed(t, a)
	a.passes(20, "hour", "192.0.2.1")
	rounds := a.n.rounds.Load()
	harness.Eventually(t, "two rounds", 5*time.Second, func() bool { return a.n.rounds.Load() >= rounds+2 })
	if n := a.n.sent.Load(); n != 0 {
		t.Error(n, "keys were told")
	}
}

// TestRate sends twice the rate through three gateways, evenly: in the long run the rate passes.
func TestRate(t *testing.T) {
	server := harness.StartRedis(t)
	all := []*gateway{start(t, server.URL(), 3), start(t, server.URL(), 3), start(t, server.URL(), 3)}
	agreed(t, all...)
	const addr, long, warm = "192.0.2.9", 12 * time.Second, 5 * time.Second
	began := time.Now()
	passed := 0
	for i := 0; time.Since(began) < long; i++ {
		if all[i%3].ask("second", addr) && time.Since(began) > warm {
			passed++
		}
		time.Sleep(10*time.Millisecond - time.Since(began)%(10*time.Millisecond))
	}
	perSecond := float64(passed) / (long - warm).Seconds()
	if perSecond < 40 || perSecond > 60 {
		t.Errorf("%.1f/s of 50/s passed", perSecond)
	}
}

func TestRedisAway(t *testing.T) {
	server := harness.StartRedis(t)
	a := start(t, server.URL(), 3)
	agreed(t, a)
	a.passes(5, "exact", "192.0.2.1")
	server.Kill()
	harness.Eventually(t, "it counts for itself", 10*time.Second, func() bool { return a.alone.Load() == 3 })
	if n := a.passes(30, "hour", "192.0.2.3"); n != 10 {
		t.Error(n, "of 30/1h passed at one of three gateways")
	}
	if n := a.passes(30, "exact", "192.0.2.3"); n != 3 {
		t.Error(n, "of an exact 10/1h passed at one of three gateways")
	}
	if a.ask("refuse", "192.0.2.3") {
		t.Error("a policy that is to refuse lets pass")
	}
	server.Restart()
	harness.Eventually(t, "they count together again", 10*time.Second, func() bool { return a.alone.Load() == 0 })
	harness.Eventually(t, "and exactly", 10*time.Second, func() bool { return a.ask("refuse", "192.0.2.4") })
}

func TestExact(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL(), 2), start(t, server.URL(), 2)
	agreed(t, a, b)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for _, g := range []*gateway{a, b} {
		for range 10 {
			wg.Go(func() { passed.Add(int64(g.passes(5, "exact", "192.0.2.1"))) })
		}
	}
	wg.Wait()
	if n := passed.Load(); n != 10 {
		t.Error(n, "of exactly 10 passed")
	}
	site := 0
	for i := range 400 {
		if []*gateway{a, b}[i%2].ask("exact", fmt.Sprintf("2001:db8:0:%x::1", i)) {
			site++
		}
	}
	if site != 320 {
		t.Error(site, "of a /48's 320 passed")
	}
}

// TestRubbish has Redis hold what nobody wrote.
func TestRubbish(t *testing.T) {
	server := harness.StartRedis(t)
	c, ctx := server.Client(), context.Background()
	c.Set(ctx, tzredis.Keys{}.RateSecret(), "rubbish", 0)
	a := start(t, server.URL(), 2)
	agreed(t, a)
	a.passes(10, "exact", "192.0.2.1")
	a.passes(30, "hour", "192.0.2.1")
	harness.Eventually(t, "a key is told", 5*time.Second, func() bool { return a.n.sent.Load() > 0 })
	keys := c.Keys(ctx, "rate:{*").Val()
	if len(keys) < 2 {
		t.Fatal(keys)
	}
	for _, value := range []string{"nan", "-inf", "1e308", "x", ""} {
		for _, k := range keys {
			c.Set(ctx, k, value, 0)
		}
		a.ask("exact", "192.0.2.1")
		a.ask("hour", "192.0.2.1")
		if err := a.round(ctx, time.Now()); err != nil {
			t.Error(value, err)
		}
	}
	for _, k := range keys {
		c.Del(ctx, k)
		c.LPush(ctx, k, "a list")
	}
	if n := a.passes(20, "exact", "192.0.2.1"); n != 10 {
		t.Error(n)
	}
	var failed error
	c.Del(ctx, tzredis.Keys{}.RateSecret())
	c.LPush(ctx, tzredis.Keys{}.RateSecret(), "a list")
	failed = a.secret(ctx, 0)
	if failed != nil && !errors.Is(failed, context.Canceled) {
		t.Error(failed)
	}
}

func TestOnACluster(t *testing.T) {
	url, _ := harness.StartCluster(t)
	a, b := start(t, url, 2), start(t, url, 2)
	agreed(t, a, b)
	for i := range 50 {
		addr := fmt.Sprintf("192.0.2.%d", i)
		a.passes(30, "hour", addr)
	}
	harness.Eventually(t, "all are known at the other", 10*time.Second, func() bool {
		b.passes(1, "hour", "192.0.2.49") // whoever takes something hears what the others took
		return !b.ask("hour", "192.0.2.49")
	})
	if n := a.passes(8, "exact", "192.0.2.1") + b.passes(8, "exact", "192.0.2.1"); n != 10 {
		t.Error(n)
	}
}
