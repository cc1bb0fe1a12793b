package ratelimit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const start = int64(time.Hour)

func perSecond(n, burst int64) Quota {
	i := int64(time.Second) / n
	return Quota{i, i * burst}
}

func TestTake(t *testing.T) {
	table, q, now := NewTable(100), perSecond(10, 5), start
	for i := range int64(5) {
		ahead, ok := table.Take(7, q, now)
		if !ok || q.Remaining(ahead) != 4-i {
			t.Fatalf("request %d of the burst: %v, %d remain", i, ok, q.Remaining(ahead))
		}
	}
	ahead, ok := table.Take(7, q, now)
	if ok || time.Duration(q.Wait(ahead)) != 100*time.Millisecond || q.Remaining(ahead) != 0 {
		t.Fatal("the sixth of five passed, or waits for another time", ok, q.Wait(ahead))
	}
	if _, ok := table.Take(7, q, now+q.Wait(ahead)-1); ok {
		t.Fatal("a request passed a nanosecond before its time")
	}
	if _, ok := table.Take(7, q, now+q.Wait(ahead)); !ok {
		t.Fatal("a request that waited as it was told was refused")
	}
	if _, ok := table.Take(8, q, now); !ok {
		t.Fatal("another key is refused")
	}
	if n := table.Busy(now); n != 2 {
		t.Fatal(n, "keys are busy")
	}
	if n := table.Busy(now + int64(time.Second)); n != 0 {
		t.Fatal(n, "keys are busy when all is paid back")
	}
}

// TestLikeABucket compares the table with the plainest form of the same rule, a leaking bucket in real numbers.
func TestLikeABucket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		q := Quota{Interval: 1 + random.Int64N(1e9)}
		q.Burst = q.Interval * (1 + random.Int64N(20))
		table, now := NewTable(1000), start
		level, last := int64(0), now // nanoseconds in the bucket
		for range 500 {
			if random.IntN(3) > 0 {
				now += random.Int64N(2 * q.Interval)
			}
			level, last = max(level-(now-last), 0), now
			want := level+q.Interval <= q.Burst
			if want {
				level += q.Interval
			}
			ahead, ok := table.Take(3, q, now)
			if ok != want || ahead != level {
				t.Fatalf("quota %+v at %d: %v and %d ahead; the bucket says %v and %d", q, now, ok, ahead, want, level)
			}
			if refill := q.Refill(ahead); refill > 0 && q.Remaining(ahead-refill) != q.Remaining(ahead)+1 || refill > 1 && q.Remaining(ahead-refill+1) != q.Remaining(ahead) {
				t.Fatalf("quota %+v, %d ahead: one more in %d, which is not when it comes", q, ahead, refill)
			}
		}
	}
}

func TestReturn(t *testing.T) {
	table, q := NewTable(100), perSecond(1, 1)
	for range 3 {
		if _, ok := table.Take(1, q, start); !ok {
			t.Fatal("what was given back cannot be taken again")
		}
		table.Return(1, q)
	}
	table.Used(func(uint64, int, int64) bool { t.Error("nothing was used in the end"); return true })
	table.Return(99, q) // nobody
	if n := table.Busy(start); n != 0 {
		t.Fatal(n)
	}
}

func TestUsedAndReach(t *testing.T) {
	table, q := NewTable(1000), perSecond(10, 10)
	for key := uint64(1); key <= 200; key++ {
		for range key % 3 {
			table.Take(key, q, start)
		}
	}
	used := map[uint64]int{}
	table.Used(func(key uint64, n int, _ int64) bool { used[key] += n; return key%2 == 0 })
	table.Used(func(key uint64, n int, tat int64) bool {
		if key%2 == 0 || tat != start+int64(n)*q.Interval {
			t.Errorf("key %d: %d, until %d", key, n, tat-start)
		}
		return true
	})
	for key := uint64(1); key <= 200; key++ {
		if used[key] != int(key%3) {
			t.Fatalf("key %d: %d", key, used[key])
		}
	}
	table.Used(func(key uint64, _ int, _ int64) bool { t.Errorf("key %d is told twice", key); return true })

	table.Reach(5, 9*q.Interval, start)
	table.Reach(5, 3*q.Interval, start) // never back
	if _, ok := table.Take(5, q, start); !ok {
		t.Error("nine of ten are taken elsewhere: the tenth passes")
	}
	if _, ok := table.Take(5, q, start); ok {
		t.Error("an eleventh passed")
	}
	n := 0
	table.Used(func(uint64, int, int64) bool { n++; return true })
	if n != 1 {
		t.Error("what others took is not this table's use", n)
	}
	table.Reach(6, 1e18, start)
	if ahead := table.Peek(6, q, start); ahead != MaxDebt*q.Burst {
		t.Error("a foreign number reaches beyond the burst", ahead)
	}
}

func TestSmallerBurst(t *testing.T) {
	table := NewTable(100)
	wide, narrow := perSecond(1, 1000), perSecond(1, 2)
	for range 1000 {
		table.Take(1, wide, start)
	}
	if ahead := table.Peek(1, narrow, start); ahead != MaxDebt*narrow.Burst {
		t.Error("a smaller burst is waited for without bound", ahead)
	}
}

// TestFull fills the table beyond its places: nobody new is refused, those closest to whole leave, and it is counted.
func TestFull(t *testing.T) {
	const keys = 3000
	table, q := NewTable(keys), perSecond(1, 100)
	random := rand.New(rand.NewPCG(3, 4))
	for range keys {
		table.Take(random.Uint64(), q, start)
	}
	if n := table.Evicted(); n > keys/1000 {
		t.Errorf("%d of %d keys were forgotten in a table made for them", n, keys)
	}
	if n := table.Busy(start); n != keys-int(table.Evicted()) {
		t.Error(n, "keys are there")
	}
	heavy := uint64(1)
	for range 100 {
		table.Take(heavy, q, start)
	}
	for range 2 * keys {
		if _, ok := table.Take(random.Uint64(), q, start); !ok {
			t.Fatal("a key that never asked is refused")
		}
	}
	if table.Evicted() == 0 {
		t.Error("nobody was forgotten in an overfull table")
	}
	if _, ok := table.Take(heavy, q, start); ok {
		t.Error("the heaviest key was forgotten before lighter ones")
	}
	before := table.Evicted()
	later := start + int64(time.Minute)*10
	for range keys {
		table.Take(random.Uint64(), q, later)
	}
	if n := table.Evicted() - before; n > keys/1000 {
		t.Error("places whose time is over were not free", n)
	}
}

func TestConcurrently(t *testing.T) {
	table, q := NewTable(1000), Quota{1000, 1000 * 100}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 20_000 {
				if _, ok := table.Take(42, q, start); ok {
					passed.Add(1)
				}
				table.Take(uint64(100+i), q, start) // places change hands meanwhile
			}
		})
	}
	wg.Wait()
	if n := passed.Load(); n < 100 || n > 110 {
		t.Errorf("%d of 100 passed", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, c := range []struct {
		name string
		keys uint64
	}{{"one-key", 1}, {"1000-keys", 1000}, {"1M-keys", 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			table, q, now := NewTable(1_000_000), perSecond(100, 100), start
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				now += 100
				table.Take((i%c.keys+1)*0x9e3779b97f4a7c15, q, now)
			}
		})
	}
}
