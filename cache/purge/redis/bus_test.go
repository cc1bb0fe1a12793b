package bus

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
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

func redisConfig(url string) tzredis.Config {
	c := tzredis.Default()
	c.URL = conf.NewSecret(url)
	return c
}

func start(t testing.TB, url string) *node {
	t.Helper()
	r, err := tzredis.Open(redisConfig(url), slog.New(slog.NewTextHandler(io.Discard, nil)))
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
	if now := uint64(time.Since(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds()) * 2; err != nil || purge.Own(seq) || seq > now || seq < now-60e6 {
		t.Fatalf("purge %d at %d: %v", seq, now, err)
	}
	for _, n := range []*node{b, c} {
		harness.Eventually(t, "the others know", 5*time.Second, func() bool { return n.hit("front", 0) })
	}
	t.Logf("known everywhere after %s", time.Since(began))
	if b.hit("other", seq-2) || b.hit("news", seq) {
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
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	numbers := []uint64{a.epochs.Latest()}
	for i := range 20 {
		if i%5 == 0 {
			server.Client().ClientKillByFilter(context.Background(), "TYPE", "pubsub")
		}
		seq, err := a.Purge(context.Background(), purge.Hard, tags(string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, seq)
	}
	harness.Eventually(t, "all is known", 5*time.Second, func() bool {
		for i := range 20 {
			if !b.hit(string(rune('a'+i)), numbers[i]) {
				return false
			}
		}
		return b.epochs.Latest() == numbers[20] && b.Applied() == numbers[20]
	})
	if b.hit("t", numbers[20]) || b.n.diverged.Load() > 0 {
		t.Error("more is purged than was")
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	var cells []purge.Cell
	for i := range purge.MaxTargets {
		cells = append(cells, purge.Cell(1+i*7))
	}
	began := time.Now()
	seq, err := a.Purge(context.Background(), purge.Soft, cells)
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "all is known", 5*time.Second, func() bool { return b.epochs.Latest() == seq })
	t.Logf("%d targets in %s", len(cells), time.Since(began))
	if b.epochs.Check(seq-2, binary.LittleEndian.AppendUint32(nil, uint32(cells[9999]))) != purge.SoftPurged {
		t.Error("the last target is not purged")
	}
}

// Redis that stops, and comes back: known within three seconds, and nothing is served before what was missed is known.
func TestCutOff(t *testing.T) {
	t.Parallel()
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

// Somebody else's value under the name of the list is left alone, and said.
func TestAForeignList(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a := start(t, server.URL())
	ready(t, a)
	c, ctx, name := server.Client(), context.Background(), a.o.Keys.Purges()
	for _, value := range []func(){
		func() { c.Set(ctx, name, "nonsense", 0) },
		func() { c.ZAdd(ctx, name, z("nonsense", -5)) },
		func() { c.ZAdd(ctx, name, z("7", math.Inf(-1))) },
		func() { c.ZAdd(ctx, name, z("18014398509481984", -18014398509481984)) },
		func() { c.ZAdd(ctx, name, z("9007199254740990", -9007199254740990)) }, // a clock that is far ahead
	} {
		a.cuts.Store(0)
		c.Del(ctx, name)
		value()
		before := c.Dump(ctx, name).Val()
		harness.Eventually(t, "the node is cut off", 10*time.Second, func() bool { return a.cuts.Load() > 0 })
		if why := (*a.why.Load()).Error(); !strings.Contains(why, "redis.prefix") && !strings.Contains(why, "clock") || !strings.Contains(why, name) {
			t.Errorf("it says %q", why)
		}
		if c.Dump(ctx, name).Val() != before {
			t.Error("it was changed")
		}
		c.Del(ctx, name)
		ready(t, a)
	}
}

func purged(t testing.TB, n *node, names ...string) (seq uint64) {
	t.Helper()
	seq, err := n.Purge(context.Background(), purge.Hard, tags(names...))
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// A number given here and then by Redis a lesser one: a fill from between must not survive the second.
func TestOwnNumbersRunAhead(t *testing.T) {
	t.Parallel()
	b := New(Options{Epochs: purge.NewEpochs(), Applied: func() {}})
	b.synced.Store(true)
	b.known.Store(100)
	b.o.Epochs.Reach(100)
	for range 50 {
		b.Later(purge.Hard, tags("theirs"))
	}
	own := b.o.Epochs.Latest()
	if !purge.Own(own) || own <= 120 {
		t.Fatal("own number", own)
	}
	b.hear(context.Background(), purge.Purge{Seq: 120, Kind: purge.Hard, Cells: tags("theirs")}, 100)
	cells := binary.LittleEndian.AppendUint32(nil, uint32(purge.Tag([]byte("theirs"))))
	if b.o.Epochs.Check(own, cells) != purge.HardPurged || b.Applied() != 120 {
		t.Error("a response with the number of a purge here outlives the purge of another")
	}
	if b.Ready() {
		t.Error("it shares under its own number")
	}
}

// While one of those that wait is told, so many come that all are made one: that one is told, too.
func TestTooManyWaitMeanwhile(t *testing.T) {
	t.Parallel()
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

// A gateway whose purge is still to be told is not ready, even where Redis has numbered another meanwhile.
func TestWhoHasToTellIsNotReady(t *testing.T) {
	b := New(Options{Epochs: purge.NewEpochs(), Applied: func() {}})
	b.synced.Store(true)
	b.Later(purge.Hard, tags("mine"))
	b.hear(context.Background(), purge.Purge{Seq: 100, Kind: purge.Hard, Cells: tags("other")}, 0)
	if b.Applied() != 100 || b.Ready() {
		t.Error("ready with a purge that others do not know")
	}
}

func TestTheSamePurgeWaitsOnce(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	a.order.Lock()
	a.Later(purge.Hard, tags("mine"))
	if a.Ready() {
		t.Error("it shares under a number that Redis may give to another purge")
	}
	seq, err := b.issue(context.Background(), purge.Hard, tags("theirs"))
	if err != nil {
		t.Fatal(err)
	}
	a.order.Unlock()
	ready(t, a, b)
	harness.Eventually(t, "both know both", 5*time.Second, func() bool {
		return a.hit("theirs", seq-1) && b.hit("mine", seq) && a.epochs.Latest() == b.epochs.Latest() && a.Ready() && b.Ready()
	})
}

func TestRubbishIsIgnored(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	c, ctx := server.Client(), context.Background()
	c.ZAdd(ctx, tzredis.Keys{}.Purges(), z("4", -4), z("3", -3), z("-2", -2), z("nonsense", 1), z("h999999999", 2), z("5", 2), z("x5", 3), z("h5", 4), z("h0", 1<<52))
	a := start(t, server.URL())
	ready(t, a)
	for _, m := range []string{"", "p", "p12345678123456781234h123", "p\x00\x00\x00\x00h", "pAAAAAAAABBBBBBBBh\xff\xff\xff\xff", "p\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00h"} {
		a.receive(ctx, []byte(m))
	}
	if a.epochs.Latest() > limit() || !a.history.has(4) || everything(a) > 0 || a.Stats().Unknown < 10 {
		t.Errorf("latest %d, %+v", a.epochs.Latest(), a.Stats())
	}
	if purged(t, a, "x") <= 4 {
		t.Error("it does not go on")
	}
}

func TestOnACluster(t *testing.T) {
	t.Parallel()
	url, _ := harness.StartCluster(t)
	a, b := start(t, url), start(t, url)
	ready(t, a, b)
	if _, err := a.Purge(context.Background(), purge.Hard, tags("news")); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the other knows", 5*time.Second, func() bool { return b.hit("news", 0) })
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("p\x02\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00h\x05\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, _, ok := message(b, limit()); ok {
			purge.NewEpochs().Note(p)
		}
	})
}
