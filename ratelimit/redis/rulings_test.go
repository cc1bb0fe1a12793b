package counters

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/ratelimit"
)

type ruler struct {
	*Rulings
	l       *ratelimit.Limiter
	learned int
}

func rulerOn(t *testing.T, url string) *ruler {
	c := tzredis.Default()
	c.URL = conf.NewSecret(url)
	r, err := tzredis.Open(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	n := &ruler{l: ratelimit.New(1, time.Now())}
	n.Rulings = NewRulings(RulingsOptions{Client: r.Client(tzredis.Limits), Keys: r.Keys(), Limiter: n.l, Learned: func() { n.learned++ }, Failed: func(error) {}})
	return n
}

func (n *ruler) exchanged(t *testing.T) {
	t.Helper()
	if err := n.Exchange(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (n *ruler) order(t *testing.T, o ratelimit.Order) {
	t.Helper()
	o.For = conf.Duration(time.Hour)
	if err := n.l.Rule(o, time.Now()); err != nil {
		t.Fatal(err)
	}
	n.exchanged(t)
}

func (n *ruler) count() int { return len(n.l.Rulings(false, time.Now())) }

func testRulings(t *testing.T, url string, forget func()) {
	a, b := rulerOn(t, url), rulerOn(t, url)
	a.exchanged(t)
	a.order(t, ratelimit.Order{Deny: []string{"192.0.2.1", "2001:db8::/32"}})
	b.exchanged(t)
	if b.count() != 2 || b.learned != 1 {
		t.Fatal("the other knows of", b.count())
	}
	b.order(t, ratelimit.Order{Lift: []string{"192.0.2.1"}})
	a.exchanged(t)
	if a.count() != 1 {
		t.Error("what another has lifted holds")
	}
	a.exchanged(t)
	b.exchanged(t)
	if a.learned != 1 || b.learned != 1 {
		t.Error("nothing has changed, and is learned", a.learned, b.learned)
	}
	forget()
	c := rulerOn(t, url)
	c.exchanged(t)
	a.exchanged(t)
	c.exchanged(t)
	if c.count() != 1 || len(c.l.Rulings(true, time.Now())) != 2 {
		t.Error("Redis is not told again what it has lost:", c.l.Rulings(true, time.Now()))
	}
}

func TestRulingsTravel(t *testing.T) {
	server := harness.StartRedis(t)
	ctx := context.Background()
	testRulings(t, server.URL(), func() { server.Client().FlushAll(ctx) })
	server.Client().HSet(ctx, tzredis.Keys{}.Rulings(), "192.0.2.9", "1 99999999999 {", "x", "nonsense", "version", "7")
	d := rulerOn(t, server.URL())
	d.exchanged(t)
	if d.count() != 1 || d.n.unknown.Load() != 1 {
		t.Error("rubbish is read", d.count(), d.n.unknown.Load())
	}
	server.Client().Del(ctx, tzredis.Keys{}.Rulings())
	server.Client().Set(ctx, tzredis.Keys{}.Rulings(), "x", 0)
	if err := d.Exchange(ctx); err == nil {
		t.Error("somebody else's value is taken for rulings")
	}
}

func TestRulingsTravelOnACluster(t *testing.T) {
	url, _ := harness.StartCluster(t)
	testRulings(t, url, func() {})
}
