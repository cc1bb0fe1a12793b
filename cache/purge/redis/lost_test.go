package bus

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// Redis forgets everything, by a restart or because the list was evicted or deleted: those that know it restore it, exactly.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	ctx := context.Background()
	for name, forget := range map[string]func(){
		"restart": server.Restart, "list": func() { server.Client().Del(ctx, tzredis.Keys{}.Purges()) }, "all": func() { server.Client().FlushAll(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, server.URL()), start(t, server.URL())
			defer a.stop()
			defer b.stop()
			ready(t, a, b)
			first := a.epochs.Latest()
			x := purged(t, a, "x")
			y := purged(t, a, "y")
			harness.Eventually(t, "all is known", 5*time.Second, func() bool { return b.epochs.Latest() == y })
			forget()
			late := start(t, server.URL())
			defer late.stop()
			ready(t, late)
			if !late.hit("x", first) || late.hit("x", x) || !late.hit("y", x) || late.hit("w", first) {
				t.Error("a node that starts later does not know exactly what was purged before Redis forgot it")
			}
			ready(t, a, b)
			harness.Eventually(t, "purging goes on above what was", 10*time.Second, func() bool {
				w, err := b.Purge(ctx, purge.Hard, tags("w"))
				return err == nil && w > y
			})
			harness.Eventually(t, "and is heard", 5*time.Second, func() bool { return a.hit("w", y) && late.hit("w", y) })
			if b.hit("other", first) || late.hit("other", first) {
				t.Error("more is purged than was")
			}
		})
	}
}

// Redis forgets everything when nodes know different purges: the one that restores knows less. What it then numbers is
// heard by those that know more, and what they know is told again.
func TestRedisForgetsAndNodesDiffer(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	ctx := context.Background()
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	both := purged(t, a, "both")
	harness.Eventually(t, "both know", 5*time.Second, func() bool { return b.Applied() == both })
	a.order.Lock() // hears nothing
	var last uint64
	for _, tag := range []string{"p", "q", "r"} {
		last = purged(t, b, tag)
	}
	b.order.Lock()
	server.Client().FlushAll(ctx)
	if err := a.restore(ctx); err != nil {
		t.Fatal(err)
	}
	a.order.Unlock()
	w := purged(t, a, "w")
	b.order.Unlock()
	harness.Eventually(t, "the one hears what the other purged", 5*time.Second, func() bool { return b.hit("w", last) })
	if b.Applied() < w {
		t.Error("it is known and not acknowledged")
	}
	harness.Eventually(t, "the other is told what it missed", 5*time.Second, func() bool { return a.hit("p", w) && a.hit("r", w) })
	ready(t, a, b)
	if a.hit("both", w) || a.hit("other", both) {
		t.Error("more is told again than was lost")
	}
	harness.Eventually(t, "they agree", 5*time.Second, func() bool { return a.Applied() == b.Applied() })
}

// loseTheEnd has both nodes purge "kept" and "lost", and Redis forget the second, as a failover may.
func loseTheEnd(t testing.TB, server *harness.Redis, a, b *node) (kept, lost uint64) {
	t.Helper()
	c, ctx, name := server.Client(), context.Background(), tzredis.Keys{}.Purges()
	kept = purged(t, a, "kept")
	old := c.Dump(ctx, name).Val()
	lost = purged(t, a, "lost")
	harness.Eventually(t, "all is known", 5*time.Second, func() bool { return b.Applied() == lost })
	if err := c.RestoreReplace(ctx, name, 0, old).Err(); err != nil {
		t.Fatal(err)
	}
	return kept, lost
}

// A failover loses the end of the list. What the nodes know of it is told again, and nothing else.
func TestAFailoverLosesTheEnd(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	kept, lost := loseTheEnd(t, server, a, b)
	next := purged(t, b, "next") // before or after the loss was noticed
	harness.Eventually(t, "they have told", 10*time.Second, func() bool { return a.Stats().Later == 0 && b.Stats().Later == 0 && a.Applied() == b.Applied() })
	late := start(t, server.URL())
	ready(t, a, b, late)
	if !late.hit("lost", lost-2) || !late.hit("next", next-2) || !a.hit("next", next-2) {
		t.Error("a purge is lost")
	}
	if late.hit("kept", kept) || late.hit("other", kept) || next < lost {
		t.Error("more is purged than was lost")
	}
}

// everything is when everything was purged last.
func everything(nodes ...*node) (last uint64) {
	for _, n := range nodes {
		n.epochs.Each(func(c purge.Cell, _ purge.Kind, seq uint64) {
			if c == purge.Everything {
				last = max(last, seq)
			}
		})
	}
	return last
}

// A gateway that starts right after a failover which has lost an acknowledged purge, before the others have noticed.
func TestAStarterAfterAFailover(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	for range 5 {
		kept, _ := loseTheEnd(t, server, a, b)
		late := start(t, server.URL())
		for !late.Ready() {
			time.Sleep(time.Millisecond)
		}
		if !late.hit("lost", kept) {
			t.Fatal("a gateway that starts trusts a list that has lost its end")
		}
		late.stop()
	}
}

// The end of the list is lost, the clock of the new master is behind, and the node that purges does not know what was lost:
// its numbers lie among those that others know.
func TestLesserNumbersAreHeard(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	c, ctx, name := server.Client(), context.Background(), tzredis.Keys{}.Purges()
	a := start(t, server.URL())
	ready(t, a)
	purged(t, a, "before")
	old := c.Dump(ctx, name).Val()
	lost := purged(t, a, "lost")
	a.order.Lock()
	c.RestoreReplace(ctx, name, 0, old)
	base := c.ZRangeWithScores(ctx, name, 0, 0).Val()[0].Score
	less := uint64(-base) + 10
	text := strconv.FormatUint(less, 10)
	c.ZAdd(ctx, name, z("h"+strconv.Itoa(int(tags("less")[0])), float64(less)), z(text, -float64(less)))
	a.order.Unlock()
	m := binary.LittleEndian.AppendUint64([]byte("p"), uint64(-base))
	m = append(binary.LittleEndian.AppendUint64(m, less), 'h')
	a.receive(ctx, append(m, pack(tags("less"))...))
	if a.Applied() >= lost || !a.hit("less", lost) {
		t.Fatal("a purge with a lesser number is taken for known")
	}
	late := start(t, server.URL())
	ready(t, a, late)
	harness.Eventually(t, "what was fetched under a greater number is purged everywhere, too", 5*time.Second, func() bool {
		return late.hit("less", lost) && late.hit("lost", lost-2)
	})
	harness.Eventually(t, "they agree", 5*time.Second, func() bool { return a.Ready() && late.Ready() && a.Applied() == late.Applied() })
}

// Another has acknowledged a number that Redis has lost.
func TestNumbersBeginAboveThoseAcknowledged(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a := start(t, server.URL())
	ready(t, a)
	acknowledged := numberAt(time.Now().Add(time.Hour))
	a.o.Acknowledged = func() uint64 { return acknowledged }
	x, y := purged(t, a, "x"), purged(t, a, "y")
	if x <= acknowledged || y <= x || y > acknowledged+2*maxStep+4 {
		t.Error(x, y)
	}
	a.o.Acknowledged = func() uint64 { return numberAt(time.Now().Add(25 * time.Hour)) } // nobody's
	if z := purged(t, a, "z"); z > y+maxStep+2 {
		t.Error("an unlikely number is believed", z)
	}
}

// What is read of the list is of one moment: numbers without the cells that belong to them would be taken for all there is.
func TestTheListIsReadInOneStep(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	c, ctx, name := server.Client(), context.Background(), tzredis.Keys{}.Purges()
	a := start(t, server.URL())
	ready(t, a)
	for i := range 50 {
		purged(t, a, string(rune('a'+i)))
	}
	whole := c.Dump(ctx, name).Val()
	a.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1500 {
			c.Del(ctx, name)
			c.RestoreReplace(ctx, name, 0, whole)
		}
	}()
	r, err := tzredis.Open(redisConfig(server.URL()), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b := New(Options{Client: r.Client(tzredis.Bus), Keys: r.Keys(), Epochs: purge.NewEpochs(), Applied: func() {}})
	for {
		l, err := b.look(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if l.last != 0 && len(l.cells) < 50 {
			t.Fatal("numbers up to", l.last, "and", len(l.cells), "cells")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// Being cut off and being back are told in the order in which they happen.
func TestStandingIsToldInOrder(t *testing.T) {
	t.Parallel()
	var told atomic.Bool
	b := New(Options{
		Epochs: purge.NewEpochs(), Applied: func() {},
		CutOff: func(time.Time, error) { told.Store(true) }, Rejoined: func(time.Time) { told.Store(false) },
	})
	now := time.Now()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for range 2000 {
				b.watch(now.Add(cutAfter * 2))
			}
		})
		group.Go(func() {
			for i := range 2000 {
				b.contact(now.Add(time.Duration(i) * settle))
			}
		})
	}
	group.Wait()
	if b.cut.Load() != told.Load() {
		t.Error("cut off", b.cut.Load(), "and told", told.Load())
	}
}

// A gateway for which Redis has numbered a purge and which then cannot read what was purged before it has purged all the same.
func TestNumberedAndNotRead(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	c, ctx := server.Client(), context.Background()
	if err := c.Do(ctx, "ACL", "SETUSER", "half", "on", ">pw", "~*", "&*", "+@all", "-zrangebyscore").Err(); err != nil {
		t.Fatal(err)
	}
	a := start(t, server.URL())
	ready(t, a)
	b := start(t, strings.Replace(server.URL(), "redis://", "redis://half:pw@", 1))
	seq, err := b.issue(ctx, purge.Hard, tags("x"))
	if err != nil || seq == 0 || !b.hit("x", b.known.Load()) {
		t.Fatal("it has not purged", err)
	}
	harness.Eventually(t, "the other has", 5*time.Second, func() bool { return a.Applied() >= seq })
	if b.Applied() >= seq {
		t.Error("it acknowledges what it has not read")
	}
}

// A gateway that was away for more purges than the list has numbers of.
func TestAwayForManyPurges(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	a, b := start(t, server.URL()), start(t, server.URL())
	ready(t, a, b)
	purged(t, a, "all")
	ready(t, b)
	b.order.Lock()
	known := b.known.Load()
	all := everything(a, b)
	first := purged(t, a, "first")
	for i := range maxNumbers + 10 {
		if _, _, err := a.number(context.Background(), purge.Hard, []purge.Cell{purge.Cell(100 + i)}, false); err != nil {
			t.Fatal(err)
		}
	}
	b.order.Unlock()
	harness.Eventually(t, "it knows all", 5*time.Second, func() bool { return b.hit("first", known) && b.Ready() && b.Applied() > first })
	time.Sleep(compareEvery)
	if again := everything(a, b); again != all {
		t.Error("everything was purged again", all, again)
	}
	if n := server.Client().ZCount(context.Background(), a.o.Keys.Purges(), "-inf", "(0").Val(); n > maxNumbers+1 {
		t.Error(n, "numbers are on the list")
	}
}

// The list is gone, and so is everybody who knew it: nobody can say what was purged.
func TestNobodyKnowsTheList(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	ctx := context.Background()
	a := start(t, server.URL())
	ready(t, a)
	x := purged(t, a, "x")
	a.stop()
	server.Client().Del(ctx, tzredis.Keys{}.Purges())
	b, c := start(t, server.URL()), start(t, server.URL())
	time.Sleep(patience / 2)
	if b.Ready() {
		t.Error("a node trusts what it knows nothing about")
	}
	ready(t, b, c)
	if !b.hit("y", x) || !c.hit("y", x) {
		t.Error("what may have been purged is used")
	}
	last := b.epochs.Latest()
	if z := purged(t, c, "z"); z <= last || c.hit("y", last) {
		t.Error("it is not begun once")
	}
}

// A list begun by a Redis whose clock is behind, while a node knows later numbers.
func TestTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	server := harness.StartRedis(t)
	c, ctx, name := server.Client(), context.Background(), tzredis.Keys{}.Purges()
	a := start(t, server.URL())
	ready(t, a)
	x := purged(t, a, "x")
	a.order.Lock()
	c.Del(ctx, name)
	c.ZAdd(ctx, name, z("h0", 1000), z("1000", -1000), z("h77", 1002), z("1002", -1002))
	a.order.Unlock()
	harness.Eventually(t, "what was purged by the lesser numbers is", 5*time.Second, func() bool { return a.hit("y", x) && a.Ready() })
	if w := purged(t, a, "w"); w <= x {
		t.Error("a number is given twice")
	}
	late := start(t, server.URL())
	ready(t, late)
	if !late.hit("x", x-2) {
		t.Error("what the node knew is not told again")
	}
}
