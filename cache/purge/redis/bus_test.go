package bus

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

func z(m string, score float64) redis.Z { return redis.Z{Member: m, Score: score} }

type node struct {
	*Bus
	epochs *purge.Epochs
	cuts   atomic.Int64 // when it was cut off, Unix ms
	why    atomic.Pointer[error]
	back   atomic.Int64 // latest known when it was back
	others atomic.Int64
	stop   func()
}

func start(t testing.TB, url string) *node {
	t.Helper()
	c := tzredis.Default()
	c.URL = conf.NewSecret(url)
	r, err := tzredis.Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	n := &node{epochs: purge.NewEpochs()}
	n.Bus = New(Options{
		Client: r.Client(tzredis.Bus), Keys: r.Keys(), Epochs: n.epochs, Applied: func() {},
		CutOff: func(at time.Time, why error) { n.why.Store(&why); n.cuts.Store(at.UnixMilli()) }, Rejoined: func(time.Time) { n.back.Store(int64(n.epochs.Latest())) },
		Other: func([]byte) { n.others.Add(1) },
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- n.Run(ctx) }()
	go func() { done <- r.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		stop()
		<-done
		<-done
		r.Close()
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) hit(tag string, since uint64) bool {
	cells := binary.LittleEndian.AppendUint32(nil, uint32(purge.Tag([]byte(tag))))
	return n.epochs.Check(since, cells) == purge.HardPurged
}

func ready(t testing.TB, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		harness.Eventually(t, "a node is ready", 10*time.Second, n.Ready)
	}
}

func tags(names ...string) (cells []purge.Cell) {
	for _, n := range names {
		cells = append(cells, purge.Tag([]byte(n)))
	}
	return cells
}

func TestAllNodesPurge(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := harness.StartRedis(t)
	a, b, c := start(t, server.URL()), start(t, server.URL()), start(t, server.URL())
	ready(t, a, b, c)
	began := time.Now()
	seq, err := a.Purge(context.Background(), purge.Hard, tags("news", "front"))
	if err != nil || seq != 1 {
		t.Fatalf("purge %d: %v", seq, err)
	}
	for _, n := range []*node{b, c} {
		harness.Eventually(t, "the others know", 5*time.Second, func() bool { return n.hit("front", 0) })
	}
	t.Logf("known everywhere after %s", time.Since(began))
	if b.hit("other", 0) || b.hit("news", 1) {
		t.Error("what was not purged is")
	}
	server.Client().Publish(context.Background(), tzredis.Keys{}.Bus(), "w")
	harness.Eventually(t, "other messages are handed on", 5*time.Second, func() bool { return b.others.Load() == 1 })
	late := start(t, server.URL())
	ready(t, late)
	if !late.hit("news", 0) {
		t.Error("a node that starts later is ready before it knows what was purged")
	}
	for _, n := range []*node{a, b, c, late} {
		n.stop()
	}
	server.Kill()
}

func TestAMissedMessageIsFound(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	for i := range 20 {
		if i%5 == 0 {
			server.Client().ClientKillByFilter(context.Background(), "TYPE", "pubsub")
		}
		if _, err := a.Purge(context.Background(), purge.Hard, tags(string(rune('a'+i)))); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, "all is known", 5*time.Second, func() bool {
		for i := range 20 {
			if !b.hit(string(rune('a'+i)), uint64(i)) {
				return false
			}
		}
		return b.epochs.Latest() == 20
	})
}

func TestManyAtOnce(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	var cells []purge.Cell
	for i := range purge.MaxTargets {
		cells = append(cells, purge.Cell(1+i*7))
	}
	began := time.Now()
	if _, err := a.Purge(context.Background(), purge.Soft, cells); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "all is known", 5*time.Second, func() bool { return b.epochs.Latest() == 1 })
	t.Logf("%d targets in %s", len(cells), time.Since(began))
	if b.epochs.Check(0, binary.LittleEndian.AppendUint32(nil, uint32(cells[9999]))) != purge.SoftPurged {
		t.Error("the last target is not purged")
	}
}

// Redis that stops, and comes back: known within three seconds, and nothing is served before what was missed is known.
func TestCutOff(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	server.Pause()
	stopped := time.Now()
	harness.Eventually(t, "the nodes know", 10*time.Second, func() bool { return a.cuts.Load() > 0 && b.cuts.Load() > 0 })
	if after := time.UnixMilli(max(a.cuts.Load(), b.cuts.Load())).Sub(stopped); after > 3*time.Second {
		t.Errorf("known after %s", after)
	}
	seq, err := a.Purge(context.Background(), purge.Hard, tags("meanwhile"))
	if err == nil || !a.hit("meanwhile", seq-1) {
		t.Errorf("a purge without Redis: %v", err)
	}
	server.Resume()
	ready(t, a, b)
	harness.Eventually(t, "what was purged meanwhile is known", 10*time.Second, func() bool { return b.hit("meanwhile", 0) })
	if s := a.Stats(); s.Later != 0 {
		t.Errorf("%d purges still wait", s.Later)
	}
}

// Somebody else's value under the name of the number is left alone, and said.
func TestAForeignNumber(t *testing.T) {
	server := harness.StartRedis(t)
	a := start(t, server.URL())
	ready(t, a)
	for _, value := range []string{"nonsense", "99999999999"} {
		a.cuts.Store(0)
		server.Client().Set(context.Background(), a.o.Keys.Sequence(), value, 0)
		harness.Eventually(t, "the node is cut off", 10*time.Second, func() bool { return a.cuts.Load() > 0 })
		if why := (*a.why.Load()).Error(); !strings.Contains(why, "redis.prefix") || !strings.Contains(why, a.o.Keys.Sequence()) {
			t.Errorf("it says %q", why)
		}
		if got := server.Client().Get(context.Background(), a.o.Keys.Sequence()).Val(); got != value {
			t.Errorf("it was replaced by %q", got)
		}
		server.Client().Del(context.Background(), a.o.Keys.Sequence())
		ready(t, a)
	}
}

func TestRedisForgets(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	for _, tag := range []string{"x", "y", "z"} {
		if _, err := a.Purge(context.Background(), purge.Hard, tags(tag)); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, "all is known", 5*time.Second, func() bool { return b.epochs.Latest() == 3 })
	server.Restart()
	harness.Eventually(t, "Redis is told again", 15*time.Second, func() bool {
		return server.Client().Get(context.Background(), tzredis.Keys{}.Sequence()).Val() == "3"
	})
	late := start(t, server.URL())
	ready(t, late)
	if !late.hit("x", 0) || !late.hit("z", 2) {
		t.Error("a node that starts later does not know what was purged before Redis forgot it")
	}
	ready(t, a, b)
	harness.Eventually(t, "purging goes on above what was", 10*time.Second, func() bool {
		seq, err := b.Purge(context.Background(), purge.Hard, tags("w"))
		return err == nil && seq > 3
	})
	harness.Eventually(t, "and is heard", 5*time.Second, func() bool { return a.hit("w", 3) })
}

// A number given here and by Redis to two purges: a fill from between them must not survive the second.
func TestNumbersThatCollide(t *testing.T) {
	server := harness.StartRedis(t)
	a := start(t, server.URL())
	ready(t, a)
	a.order.Lock() // nothing is heard for a moment
	local := a.epochs.Next(purge.Hard, tags("mine"))
	a.order.Unlock()
	a.hear(context.Background(), purge.Purge{Seq: uint32(local), Kind: purge.Hard, Cells: tags("theirs")})
	if !a.hit("theirs", local) {
		t.Error("a response with the number of a purge here outlives the purge that Redis gave the number to")
	}
}

// The list is evicted, and the number stays: it is what nobody reads between two purges.
func TestTheListIsEvicted(t *testing.T) {
	server := harness.StartRedis(t)
	c, ctx := server.Client(), context.Background()
	a := start(t, server.URL())
	ready(t, a)
	if _, err := a.Purge(ctx, purge.Hard, tags("x")); err != nil {
		t.Fatal(err)
	}
	c.Del(ctx, a.o.Keys.Purges())
	late := start(t, server.URL())
	ready(t, late)
	if !late.hit("x", 0) || late.hit("y", 0) {
		t.Error("a node that starts after the eviction does not know exactly what was purged before it")
	}
	c.Del(ctx, a.o.Keys.Purges())
	if _, err := late.Purge(ctx, purge.Hard, tags("y")); err != nil { // it must not begin a list that then passes for the whole
		t.Fatal(err)
	}
	last := start(t, server.URL())
	ready(t, last)
	if !last.hit("x", 0) || !last.hit("y", 1) {
		t.Error("a purge made a list without those before it")
	}
}

// The list is gone, and so is everybody who knew it: nobody can say what was purged.
func TestNobodyKnowsTheList(t *testing.T) {
	server := harness.StartRedis(t)
	ctx := context.Background()
	a := start(t, server.URL())
	ready(t, a)
	if _, err := a.Purge(ctx, purge.Hard, tags("x")); err != nil {
		t.Fatal(err)
	}
	a.stop()
	server.Client().Del(ctx, tzredis.Keys{}.Purges())
	b, c := start(t, server.URL()), start(t, server.URL())
	time.Sleep(patience / 2)
	if b.Ready() {
		t.Error("a node trusts what it knows nothing about")
	}
	ready(t, b, c)
	if !b.hit("x", 1) || !c.hit("x", 1) {
		t.Error("what may have been purged is used")
	}
	if _, err := c.Purge(ctx, purge.Hard, tags("z")); err != nil {
		t.Error(err)
	}
}

// While one of those that wait is told, so many come that all are made one: that one is told, too.
func TestTooManyWaitMeanwhile(t *testing.T) {
	for _, kind := range []purge.Kind{purge.Hard, purge.Soft} {
		b := New(Options{Epochs: purge.NewEpochs(), Applied: func() {}})
		for i := range maxLater {
			b.Later(kind, []purge.Cell{purge.Cell(i + 1)})
		}
		b.telling = true
		b.Later(kind, []purge.Cell{purge.Cells - 1})
		if b.telling || len(b.later) != 1 || b.later[0].Kind != kind || b.later[0].Cells[0] != purge.Everything {
			t.Fatal("what is being told is taken for all of them", b.telling, len(b.later))
		}
	}
}

func TestTheSamePurgeWaitsOnce(t *testing.T) {
	b := New(Options{Epochs: purge.NewEpochs(), Applied: func() {}})
	for range 2 * maxLater {
		b.Later(purge.Soft, tags("group"))
	}
	b.telling = true // the first may have its number: what was fetched since then must be hit as well
	b.Later(purge.Soft, tags("group"))
	b.Later(purge.Soft, tags("group"))
	if len(b.later) != 2 {
		t.Error(len(b.later), "wait")
	}
}

// A node that numbered a purge itself shares nothing until Redis is as far: the number could be another purge's.
func TestNothingIsSharedUnderOwnNumbers(t *testing.T) {
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	a.order.Lock()
	a.Later(purge.Hard, tags("mine"))
	if a.Ready() {
		t.Error("it shares under a number that Redis may give to another purge")
	}
	if _, err := b.issue(context.Background(), purge.Hard, tags("theirs")); err != nil {
		t.Fatal(err)
	}
	a.order.Unlock()
	ready(t, a, b)
	harness.Eventually(t, "both know both", 5*time.Second, func() bool {
		return a.hit("theirs", 1) && b.hit("mine", 0) && a.epochs.Latest() == b.epochs.Latest() && a.Ready() && b.Ready()
	})
}

func TestRubbishIsIgnored(t *testing.T) {
	server := harness.StartRedis(t)
	c, ctx := server.Client(), context.Background()
	c.ZAdd(ctx, tzredis.Keys{}.Purges(), z("complete", 0), z("nonsense", 1), z("h999999999", 2), z("h5", -1), z("x5", 3), z("h5", 4))
	c.Set(ctx, tzredis.Keys{}.Sequence(), "4", 0)
	a := start(t, server.URL())
	ready(t, a)
	for _, m := range []string{"", "p", "p1234h123", "p\x00\x00\x00\x00h", "pAAAAh\xff\xff\xff\xff", "p1234z0000"} {
		a.receive(ctx, []byte(m))
	}
	if a.epochs.Latest() != 4 || a.Stats().Unknown < 5 {
		t.Errorf("latest %d, %+v", a.epochs.Latest(), a.Stats())
	}
	c.Set(ctx, tzredis.Keys{}.Sequence(), "rubbish", 0)
	harness.Eventually(t, "a node that cannot read is cut off", 10*time.Second, func() bool { return !a.Ready() })
}

func TestOnACluster(t *testing.T) {
	url, _ := harness.StartCluster(t)
	a, b := start(t, url), start(t, url)
	ready(t, a, b)
	if _, err := a.Purge(context.Background(), purge.Hard, tags("news")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the other knows", 5*time.Second, func() bool { return b.hit("news", 0) })
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("p\x01\x00\x00\x00h\x05\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := message(b); ok {
			purge.NewEpochs().Note(p)
		}
	})
}
