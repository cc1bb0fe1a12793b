package leases

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

const ttl = 600 * time.Millisecond

// node is one gateway's leases. kill ends it without a word to anybody.
type node struct {
	*Leases
	kill func()
}

func start(t testing.TB, url string) *node {
	t.Helper()
	c := tzredis.Default()
	c.URL = conf.NewSecret(url)
	r, err := tzredis.Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l := New(Options{Client: r.Client(tzredis.Leases), Bus: r.Client(tzredis.Bus), Keys: r.Keys(), TTL: ttl, StampSize: 16, Random: rand.Uint64,
		There: func() bool { return r.There(tzredis.Leases) }})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- l.Run(ctx) }()
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	end := func() {
		once.Do(func() {
			stop()
			<-done
			<-done
			r.Close()
		})
	}
	t.Cleanup(end)
	harness.Eventually(t, "the node listens", 5*time.Second, func() bool {
		l.told.mu.Lock()
		defer l.told.mu.Unlock()
		return l.told.sub != nil
	})
	return &node{Leases: l, kill: func() {
		l.mu.Lock()
		clear(l.held) // nothing is given up
		l.mu.Unlock()
		end()
	}}
}

func ask(key string) cache.LeaseAsk { return cache.LeaseAsk{Primary: []byte(key), Full: []byte(key)} }

func (n *node) must(t testing.TB, a cache.LeaseAsk, want cache.LeaseVerdict) cache.Lease {
	t.Helper()
	got, lease := n.Acquire(context.Background(), a)
	if got != want {
		t.Fatalf("got verdict %d, want %d", got, want)
	}
	return lease
}

func TestOneHoldsIt(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	lease := a.must(t, ask("k"), cache.LeaseGranted)
	for end := time.Now().Add(3 * ttl); time.Now().Before(end); time.Sleep(ttl / 10) {
		b.must(t, ask("k"), cache.LeaseTaken) // it is renewed
	}
	other := b.must(t, ask("other"), cache.LeaseGranted)
	lease.End(cache.EndStored)
	lease.End(cache.EndUncacheable) // says nothing
	harness.Eventually(t, "it is free", 5*time.Second, func() bool { v, _ := b.Acquire(context.Background(), ask("k")); return v == cache.LeaseGranted })
	other.End(cache.EndFailed)
	a.kill()
	b.kill()
	server.Kill()
}

func TestWhatIsRemembered(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	with := func(key string, class uint8) cache.LeaseAsk {
		q := ask(key)
		q.Class = class
		return q
	}
	until := func(q cache.LeaseAsk, want cache.LeaseVerdict) {
		t.Helper()
		harness.Eventually(t, "the word is out", 5*time.Second, func() bool { v, _ := b.Acquire(context.Background(), q); return v == want })
	}
	a.must(t, with("u", 1), cache.LeaseGranted).End(cache.EndUncacheable)
	until(with("u", 1), cache.LeaseUncacheable)
	b.must(t, with("u", 0), cache.LeaseGranted) // another class finds out for itself
	a.must(t, ask("l"), cache.LeaseGranted).End(cache.EndTooLarge)
	until(with("l", 3), cache.LeaseTooLarge)
}

func TestChangedMeanwhile(t *testing.T) {
	server := harness.StartRedis(t)
	a := start(t, server.URL())
	c := server.Client()
	k := tzredis.Keys{}.Object(tzredis.Tag([]byte("k")))
	c.Set(context.Background(), k, "0123456789abcdefREST", 0)
	a.must(t, ask("k"), cache.LeaseChanged)
	seen := ask("k")
	seen.Seen = "0123456789abcdef"
	c.Set(context.Background(), tzredis.Keys{}.Fence(tzredis.Tag([]byte("k"))), "7", 0)
	if lease := a.must(t, seen, cache.LeaseGranted); lease.Fence() != "7" {
		t.Errorf("fence %q", lease.Fence())
	}
}

// A holder that dies is replaced by one, not by all who wait.
func TestOneSuccessor(t *testing.T) {
	server := harness.StartRedis(t)
	a, b, c := start(t, server.URL()), start(t, server.URL()), start(t, server.URL())
	a.must(t, ask("k"), cache.LeaseGranted)
	a.kill()
	died := time.Now()
	var granted atomic.Int32
	var last atomic.Int64
	var all sync.WaitGroup
	for i := range 40 {
		n := []*node{b, c}[i%2]
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 4*ttl)
			defer cancel()
			for ctx.Err() == nil {
				switch v, _ := n.Acquire(ctx, ask("k")); v {
				case cache.LeaseGranted:
					granted.Add(1)
					last.Store(int64(time.Since(died)))
					return
				case cache.LeaseTaken:
					n.Await(ctx, ask("k"))
				}
			}
		})
	}
	all.Wait()
	if granted.Load() != 1 {
		t.Errorf("%d successors", granted.Load())
	}
	t.Logf("succeeded %s after the death, the lease lives %s", time.Duration(last.Load()), ttl)
}

// Who gives up what was lost meanwhile does not touch the successor's.
func TestALostLeaseIsNobodys(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	lost := a.must(t, ask("k"), cache.LeaseGranted)
	n := a.names(ask("k"))
	server.Client().Del(context.Background(), n.lease)
	b.must(t, ask("k"), cache.LeaseGranted)
	harness.Eventually(t, "the loss is noticed", 5*time.Second, func() bool { return a.Stats().Lost == 1 })
	lost.End(cache.EndUncacheable)
	time.Sleep(ttl / 2)
	a.must(t, ask("k"), cache.LeaseTaken)
	if s := a.Stats(); s.Held != 0 {
		t.Errorf("%d held", s.Held)
	}
}

func TestWhoWaitsIsTold(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	var took []time.Duration
	for range 50 {
		lease := a.must(t, ask("k"), cache.LeaseGranted)
		woke := make(chan time.Time)
		go func() {
			b.Await(context.Background(), ask("k"))
			woke <- time.Now()
		}()
		harness.Eventually(t, "somebody waits", 5*time.Second, func() bool { return b.Stats().Waiting == 1 })
		time.Sleep(5 * time.Millisecond)
		ended := time.Now()
		lease.End(cache.EndStored)
		took = append(took, (<-woke).Sub(ended))
	}
	slices.Sort(took)
	s := b.Stats()
	t.Logf("told after %s (median), %s at most; %d told, %d found out", took[25], took[49], s.Told, s.Polled)
	if s.Told < 25 {
		t.Errorf("%d of 50 were told, the others had to look", s.Told)
	}
}

// The telling is a hint: without it, looking finds out.
func TestWhoIsNotToldLooks(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	a.must(t, ask("k"), cache.LeaseGranted)
	done := make(chan struct{})
	go func() {
		b.Await(context.Background(), ask("k"))
		close(done)
	}()
	harness.Eventually(t, "somebody waits", 5*time.Second, func() bool { return b.Stats().Waiting == 1 })
	server.Client().Del(context.Background(), a.names(ask("k")).lease)
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("nobody looked")
	}
}

func TestRedisGoesAway(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	lease := a.must(t, ask("k"), cache.LeaseGranted)
	done := make(chan struct{})
	go func() {
		b.Await(context.Background(), ask("k"))
		close(done)
	}()
	harness.Eventually(t, "somebody waits", 5*time.Second, func() bool { return b.Stats().Waiting == 1 })
	server.Kill()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("who waits was not let go")
	}
	began := time.Now()
	b.must(t, ask("k"), cache.LeaseAway)
	lease.End(cache.EndStored)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s to find out that Redis is away", took)
	}
}

func TestOnACluster(t *testing.T) {
	url, _ := harness.StartCluster(t)
	a, b := start(t, url), start(t, url)
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		q := cache.LeaseAsk{Primary: []byte(k), Full: []byte(k + "+variant")}
		lease := a.must(t, q, cache.LeaseGranted)
		b.must(t, q, cache.LeaseTaken)
		lease.End(cache.EndStored)
		b.Await(context.Background(), q)
		harness.Eventually(t, "it is free", 5*time.Second, func() bool { v, _ := b.Acquire(context.Background(), q); return v == cache.LeaseGranted })
	}
}

func BenchmarkAcquireAndEnd(b *testing.B) {
	n := start(b, harness.StartRedis(b).URL())
	for b.Loop() {
		if _, got := n.Acquire(context.Background(), ask("k")); got != nil {
			n.drop(got.(*lease))
			n.tell(context.Background(), []ending{{got.(*lease), cache.EndStored}})
		}
	}
}
