package decisionlog

import (
	"context"
	"log/slog"
	"testing"
)

func TestObserveDoesNotAllocate(t *testing.T) {
	l := New(config("stdout"), slog.New(slog.DiscardHandler))
	o, steps := outcome()
	o.TargetURL = "http://10.0.0.1:3000/?x=y"
	if n := testing.AllocsPerRun(2000, func() { l.observe(o, steps) }); n > 0 && !raceEnabled {
		t.Errorf("a line allocates %v times", n)
	}
}

func BenchmarkLine(b *testing.B) {
	o, steps := outcome()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendLine(buf[:0], false, privacy{}, o, steps)
	}
}

func BenchmarkObserve(b *testing.B) {
	bench := func(name string, change func(*Config)) {
		b.Run(name, func(b *testing.B) {
			c := config("/dev/null")
			change(&c)
			l := New(c, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				o, steps := outcome()
				for pb.Next() {
					l.observe(o, steps)
				}
			})
			cancel()
			<-done
			b.ReportMetric(float64(l.Stats().Dropped)/float64(b.N), "dropped/op")
		})
	}
	bench("everything", func(*Config) {})
	bench("sampled-away", func(c *Config) { c.Everything, c.Sample, c.FullRate = false, 0, 100 })
}
