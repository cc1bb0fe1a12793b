package redis

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
)

func open(t *testing.T, url string) *Redis {
	t.Helper()
	c := Default()
	c.URL = conf.NewSecret(url)
	if p := c.Validate(); len(p) > 0 {
		t.Fatal(p)
	}
	r, err := Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		r.Close()
	})
	return r
}

func TestAddresses(t *testing.T) {
	good := func(s string, want address) {
		t.Helper()
		got, err := parseAddress(s)
		if err != nil || got.kind != want.kind || got.secured != want.secured || strings.Join(got.hosts, " ") != strings.Join(want.hosts, " ") ||
			got.username != want.username || got.password != want.password || got.master != want.master || got.db != want.db {
			t.Errorf("%s: got %+v, %v", s, got, err)
		}
	}
	good("redis://h", address{hosts: []string{"h:6379"}})
	good("redis://u:p%40%2F@h:1/2", address{hosts: []string{"h:1"}, username: "u", password: "p@/", db: 2})
	good("rediss://:p@[::1]:1", address{hosts: []string{"[::1]:1"}, password: "p", secured: true})
	good("unix:///run/r.sock", address{hosts: []string{"/run/r.sock"}})
	good("redis-sentinel://:p@a,b:2/m/3", address{kind: sentinel, hosts: []string{"a:26379", "b:2"}, password: "p", master: "m", db: 3})
	good("rediss-cluster://a,b,c", address{kind: cluster, secured: true, hosts: []string{"a:6379", "b:6379", "c:6379"}})
	bad := func(s, want string) {
		t.Helper()
		_, err := parseAddress(s)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q", s, err, want)
		}
	}
	bad("hunter2", "is not an address")
	bad("http://hunter2@h", "is not an address")
	bad("redis://:hunter2@", "must name hosts")
	bad("redis://h:0", "must name hosts")
	bad("redis://a,b", "redis-cluster://")
	bad("redis://h/x", "number of a database")
	bad("redis-cluster://h/1", "number of a database")
	bad("redis-sentinel://h", "must name the master")
	bad("redis://h?x=hunter2", "neither a query")
	bad("unix://x", "absolute path")
	bad("redis://u:%zz@h", "percent-encoded")
}

func FuzzAddress(f *testing.F) {
	f.Add("redis-sentinel://u:p@h:1,i/m/0")
	f.Fuzz(func(t *testing.T, s string) {
		if a, err := parseAddress(s); err == nil && (len(a.hosts) == 0 || a.hosts[0] == "") {
			t.Fatalf("%q has no host", s)
		}
	})
}

func count(r *Redis, command, outcome string) uint64 {
	for _, c := range r.Stats().Commands {
		if c.Command == command && c.Outcome == outcome {
			return c.N
		}
	}
	return 0
}

// Redis that hangs costs its budget, then nothing, and is taken up again when it is back.
func TestBudgetAndBreaker(t *testing.T) {
	server := harness.StartRedis(t)
	r := open(t, server.URL())
	ctx := context.Background()
	c := r.Client(Reads)
	// The first command dials as well, which on a busy machine may take longer than a read may.
	harness.Eventually(t, "Redis is used", 10*time.Second, func() bool { return c.Set(ctx, "k", "v", 0).Err() == nil })
	server.Pause()
	slowest := time.Duration(0)
	for range 50 {
		began := time.Now()
		if err := c.Get(ctx, "k").Err(); err == nil {
			t.Fatal("a stopped Redis answered")
		} else if errors.Is(err, ErrOpen) {
			break
		}
		slowest = max(slowest, time.Since(began))
	}
	if !r.Stats().Open["reads"] {
		t.Fatal("the breaker did not open")
	}
	if slowest > 500*time.Millisecond {
		t.Errorf("a hanging Redis held a command for %s", slowest)
	}
	began := time.Now()
	for range 1000 {
		if err := c.Get(ctx, "k").Err(); err == nil {
			t.Fatal("a stopped Redis answered")
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a thousand commands behind an open breaker took %s", took)
	}
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !r.Stats().Open["reads"] { // half-open at most, for a probe
			if began := time.Now(); !errors.Is(c.Get(ctx, "k").Err(), ErrOpen) {
				t.Fatalf("a request was sent to a Redis that hangs, and took %s", time.Since(began))
			}
		}
	}
	server.Resume()
	harness.Eventually(t, "Redis is used again", 10*time.Second, func() bool { return c.Get(ctx, "k").Val() == "v" })
	if count(r, "get", "timeout") == 0 || count(r, "get", "open") == 0 || count(r, "get", "ok") == 0 || count(r, "set", "ok") != 1 {
		t.Errorf("counted %v", r.Stats().Commands)
	}
}

// Sixty commands that are late together are one stall, and no reason to give Redis up; one after the other are.
func TestOneStallIsNoOutage(t *testing.T) {
	h := newHook(Reads, time.Second, &counts{}, slog.New(slog.DiscardHandler))
	now := time.Now()
	many := func(failed bool, n int) { // at once
		began := now
		now = now.Add(25 * time.Millisecond)
		for range n {
			h.note(failed, began, now)
		}
		now = now.Add(time.Millisecond)
	}
	for range 20 {
		many(false, 1)
		many(true, 60)
		many(true, 3)
		many(false, 500)
	}
	if !h.breaker.IsClosed() {
		t.Error("stalls opened the breaker")
	}
	for n := 0; h.breaker.IsClosed(); n++ {
		if many(true, 2); n > breakerLast {
			t.Fatal("nothing opens the breaker")
		}
	}
}

func TestRefusedAtOnce(t *testing.T) {
	server := harness.StartRedis(t)
	r := open(t, server.URL())
	server.Kill()
	began := time.Now()
	err := r.Client(Reads).Get(context.Background(), "k").Err()
	if err == nil || time.Since(began) > time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

func TestOutcomes(t *testing.T) {
	server := harness.StartRedis(t, "--maxmemory", "1mb", "--maxmemory-policy", "noeviction")
	r := open(t, server.URL())
	ctx := context.Background()
	c := r.Client(Writes)
	junk := strings.Repeat("x", 100<<10)
	for i := range 30 {
		c.Set(ctx, string(rune('a'+i)), junk, 0)
	}
	c.Get(ctx, "nothing")
	c.Eval(ctx, "return redis.call('nonsense')", nil)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	c.Get(gone, "nothing")
	for _, want := range [][2]string{{"set", "oom"}, {"get", "nil"}, {"eval", "error"}, {"get", "canceled"}} {
		if count(r, want[0], want[1]) == 0 {
			t.Errorf("no %s counted as %s: %v", want[0], want[1], r.Stats().Commands)
		}
	}
	if r.Stats().Open["writes"] {
		t.Error("answers that say no opened the breaker")
	}
}

func TestPassword(t *testing.T) {
	server := harness.StartRedis(t, "--requirepass", "hunter2")
	good := open(t, "redis://:hunter2@"+server.Addr)
	if err := good.Client(Bus).Ping(context.Background()).Err(); err != nil {
		t.Error(err)
	}
	bad := open(t, "redis://:hunter3@"+server.Addr)
	if err := bad.Client(Bus).Ping(context.Background()).Err(); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got %v", err)
	}
	if s := bad.Stats().Trouble["bus"]; !strings.HasPrefix(s, "refuses: WRONGPASS") || strings.Contains(s, "hunter") {
		t.Errorf("the status says %q", s)
	}
	if s := good.Stats().Trouble; len(s) > 0 {
		t.Errorf("where all is well, the status says %q", s)
	}
}

func TestSentinelAndCluster(t *testing.T) {
	s := harness.StartSentinel(t)
	url, _ := harness.StartCluster(t)
	for _, url := range []string{s.URL(), url} {
		r := open(t, url)
		c := r.Client(Writes)
		ctx := context.Background()
		for _, k := range []string{"a", "b", "c", "d"} {
			if err := c.Set(ctx, k, k, 0).Err(); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		}
	}
	r := open(t, s.URL())
	s.Master.Kill()
	harness.Eventually(t, "the replica took over", 30*time.Second, func() bool {
		return r.Client(Writes).Set(context.Background(), "e", "e", 0).Err() == nil
	})
}

// TestNodesAreRemembered: Redis loses its registry, and for a moment only one node is in it again.
func TestNodesAreRemembered(t *testing.T) {
	server := harness.StartRedis(t)
	ctx := context.Background()
	a := NewNodes(open(t, server.URL()), func() Node { return Node{ID: "a", Host: "one"} })
	b := NewNodes(open(t, server.URL()), func() Node { return Node{ID: "b", Host: "two\x1b[2J"} })
	for _, n := range []*Nodes{b, a} {
		if err := n.Beat(ctx); err != nil {
			t.Fatal(err)
		}
	}
	all, err := a.List(ctx)
	if err != nil || len(all) != 2 || all[1].Host != "two[2J" {
		t.Fatal(all, err)
	}
	a.known.Store(&listed{all, time.Now()})
	server.Client().FlushAll(ctx)
	if err := a.Beat(ctx); err != nil {
		t.Fatal(err)
	}
	if all, err = a.List(ctx); err != nil || len(all) != 2 || all[1].ID != "b" {
		t.Error("a node that Redis has forgotten is forgotten here as well", all, err)
	}
	a.lost.Store(&listed{all, time.Now().Add(-2 * time.Minute)})
	if all, err = a.List(ctx); err != nil || len(all) != 1 {
		t.Error("it is remembered for ever", all, err)
	}
}

// A gateway that was killed and started again under its name is one, not two of which one never answers.
func TestANodeIsReplaced(t *testing.T) {
	old, now := time.Unix(1000, 0), time.Unix(2000, 0)
	node := func(id, host string, started time.Time, alive, named bool) Node {
		return Node{ID: id, Host: host, Started: started, Alive: alive, Named: named}
	}
	by := []Node{node("b", "edge-1", now, true, true), node("c", "box", now, true, false)}
	for _, c := range []struct {
		n    Node
		want bool
	}{
		{node("a", "edge-1", old, false, true), true},
		{node("a", "edge-2", old, false, true), false},
		{node("a", "edge-1", old, true, true), false},   // two run under one name
		{node("a", "edge-1", old, false, false), false}, // the machine's name
		{node("a", "box", old, false, false), false},    // another gateway on it may be cut off
		{node("a", "edge-1", now.Add(1), false, true), false},
	} {
		if got := c.n.replaced(by); got != c.want {
			t.Errorf("%+v: %t", c.n, got)
		}
	}
}

func TestNodes(t *testing.T) {
	server := harness.StartRedis(t)
	ctx, stop := context.WithCancel(context.Background())
	epoch := uint64(7)
	a := NewNodes(open(t, server.URL()), func() Node { return Node{ID: "a", Host: "one", Version: "1", Epoch: epoch} })
	b := NewNodes(open(t, server.URL()), func() Node { return Node{ID: "b", Host: "two"} })
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	if err := b.Beat(ctx); err != nil {
		t.Fatal(err)
	}
	c := server.Client()
	c.HSet(ctx, a.key, "junk", "nonsense", "long", "1 "+strings.Repeat("x", 5000), "other", `99 {"id":"someone"}`)
	harness.Eventually(t, "both are listed", 5*time.Second, func() bool {
		nodes, err := b.List(ctx)
		return err == nil && len(nodes) == 2 && nodes[0].ID == "a" && nodes[0].Epoch == 7 && nodes[0].Alive && nodes[1].ID == "b"
	})
	harness.Eventually(t, "who is silent is not alive", 10*time.Second, func() bool {
		nodes, err := a.List(ctx)
		return err == nil && len(nodes) == 2 && nodes[0].Alive && !nodes[1].Alive
	})
	stop()
	<-done
	harness.Eventually(t, "who ends signs off", 5*time.Second, func() bool {
		nodes, err := b.List(context.Background())
		return err == nil && len(nodes) == 1
	})
	if n := c.HLen(context.Background(), a.key).Val(); n > 2 {
		t.Errorf("%d fields are left of what was nonsense", n)
	}
}
