package metrics

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/proxy"
)

func hit() *proxy.Outcome {
	return &proxy.Outcome{
		Duration: 180 * time.Microsecond, Route: "products", Status: 200,
		Cache: proxy.CacheHit, CacheReason: "fresh", BytesOut: 1024,
	}
}

func BenchmarkObserve(b *testing.B) {
	m := New(Build{}, Sources{}, time.Now)
	o := hit()
	m.Observe(o)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(o)
	}
}

func BenchmarkObserveParallel(b *testing.B) {
	m := New(Build{}, Sources{}, time.Now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		o := hit()
		for pb.Next() {
			m.Observe(o)
		}
	})
}
