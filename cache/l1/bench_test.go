package l1

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
)

// filled returns a tier with n objects of about 1.1 KiB in it.
func filled(b *testing.B, n int) *Tier {
	x := tier(b, int64(n)*2000+64<<20, 0)
	b.Cleanup(x.Close)
	for k := range n {
		x.Set(spread(k), blob(spread(k), 1, 1126))
		if k%10000 == 0 {
			x.Wait()
		}
	}
	x.Wait()
	return x
}

var sink atomic.Int64

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1, 1000, 1000000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := filled(b, n)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				k, found := 0, int64(0)
				for pb.Next() {
					if x.Get(spread(k % n)).Exists() {
						found++
					}
					k += 7919
				}
				sink.Add(found)
			})
		})
	}
}

func BenchmarkSet(b *testing.B) {
	for _, size := range []int{1126, 20000, 100000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x := tier(b, 256<<20, 0)
			defer x.Close()
			o := blob(1, 1, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			k := 0
			for b.Loop() {
				x.Set(spread(k), o)
				if k++; k%256 == 0 {
					x.Wait()
				}
			}
		})
	}
}

func BenchmarkReplace(b *testing.B) {
	x := filled(b, 10000)
	o := blob(1, 1, 1126)
	b.ReportAllocs()
	k := 0
	for b.Loop() {
		x.Set(spread(k%10000), o)
		k++
	}
}

// BenchmarkCompact gives segments back of which half is wanted; bytes are those of the segments.
func BenchmarkCompact(b *testing.B) {
	x := filled(b, 0)
	x.compaction.stop()
	defer func() { x.compaction.start(x.compact) }()
	k := 0
	next := func() *segment {
		for {
			for len(x.log.small) < 64 {
				x.Set(spread(k), blob(spread(k), 1, 1126))
				if k++; k%2 == 0 {
					x.Del(spread(k - 1))
				}
			}
			if s := x.log.emptiest(); s != nil {
				return s
			}
			for k > 0 { // all segments are full of what was moved
				k--
				x.Del(spread(k))
			}
		}
	}
	b.SetBytes(segmentSize)
	for b.Loop() {
		b.StopTimer()
		s := next()
		b.StartTimer()
		x.clear(s)
	}
}

// BenchmarkHitsWhileCollecting measures the latency of Get at a steady pace while the collector never rests. What
// is reported is the 99.9th percentile, in microseconds, from the moment a Get was due.
func BenchmarkHitsWhileCollecting(b *testing.B) {
	for _, n := range []int{1000, 1000000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := filled(b, n)
			stop := make(chan struct{})
			done := make(chan int)
			go func() {
				cycles := 0
				for {
					select {
					case <-stop:
						done <- cycles
						return
					default:
						runtime.GC()
						cycles++
					}
				}
			}()
			const pace = 100 * time.Microsecond
			late := make([]time.Duration, 0, 200000)
			begin := time.Now()
			for i := 0; b.Loop(); i++ {
				due := begin.Add(time.Duration(i) * pace)
				time.Sleep(time.Until(due))
				var o cache.Object
				for k := range 10 {
					o = x.Get(spread((i*10 + k) % 1000))
				}
				if o.Exists() && len(late) < cap(late) {
					late = append(late, time.Since(due))
				}
			}
			close(stop)
			cycles := <-done
			took := time.Since(begin)
			slices.Sort(late)
			b.ReportMetric(float64(late[len(late)*999/1000].Nanoseconds())/1000, "p99.9-µs")
			b.ReportMetric(float64(late[len(late)/2].Nanoseconds())/1000, "p50-µs")
			b.ReportMetric(float64(took.Milliseconds())/float64(cycles), "ms/collection")
		})
	}
}
