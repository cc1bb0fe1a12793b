package rfc9111

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

var (
	benchRequest  = fields("Cookie: a=b | Accept-Encoding: gzip, br, zstd | Cache-Control: max-age=0 | If-None-Match: \"x\", \"a\" | Range: bytes=0-99")
	benchResponse = Response{Status: 200, Fields: fields("Date: " + at(0) + " | Cache-Control: public, max-age=60, stale-while-revalidate=30 | Vary: Accept-Encoding | ETag: \"a\" | Last-Modified: " + at(-3600))}
	benchStored   = Stored{Age: 10 * time.Second, Lifetime: time.Minute, WhileStale: time.Minute}
)

func BenchmarkAssess(b *testing.B) {
	req := requestOf(benchRequest)
	b.ReportAllocs()
	for b.Loop() {
		Assess(&req, &benchResponse, &defaults, now, now)
	}
}

func BenchmarkRequestDirectives(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		RequestDirectives(benchRequest)
	}
}

func BenchmarkReuse(b *testing.B) {
	d := RequestDirectives(benchRequest)
	b.ReportAllocs()
	for b.Loop() {
		Reuse(&benchStored, &d, time.Minute)
	}
}

func BenchmarkAppendSelecting(b *testing.B) {
	name, buf := []byte("accept-encoding"), make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendSelecting(buf[:0], benchRequest, name, NormalStrict)
	}
}

func BenchmarkVaryOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		VaryOf(benchResponse.Fields)
	}
}

func BenchmarkAppendDate(b *testing.B) {
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendDate(buf[:0], now)
	}
}

// Everything that a hit and the judgement of an answer ask of this package.
func TestArithmeticAllocatesNothing(t *testing.T) {
	req, name, buf := requestOf(benchRequest), []byte("accept-encoding"), make([]byte, 0, 256)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"assess", func() { Assess(&req, &benchResponse, &defaults, now, now) }},
		{"reuse", func() {
			d := RequestDirectives(benchRequest)
			Reuse(&benchStored, &d, time.Minute)
			CurrentAge(time.Second, now, now)
		}},
		{"vary", func() {
			VaryOf(benchResponse.Fields)
			buf = AppendSelecting(buf[:0], benchRequest, name, NormalStrict)
		}},
		{"dates", func() { buf = AppendDate(buf[:0], now) }},
		{"range", func() { RangeOf(field.List(benchRequest), 1<<10, nil, now, now, now) }},
	} {
		if n := testing.AllocsPerRun(1000, c.run); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
