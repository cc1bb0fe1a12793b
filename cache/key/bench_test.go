package key

import (
	"hash/maphash"
	"testing"
)

var visit = Parts{Scheme: "https", Host: []byte("www.example.com"), Path: []byte("/products/42"), Query: []byte("utm_source=hn&page=2"), HasQuery: true}

func BenchmarkAppend(b *testing.B) {
	r := rule(b, Deny, TrackingParameters()...)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], &visit, r)
	}
}

func BenchmarkHash(b *testing.B) {
	seed, k := maphash.MakeSeed(), Append(nil, &visit, rule(b, Deny, TrackingParameters()...))
	b.ReportAllocs()
	for b.Loop() {
		Hash(seed, k)
	}
}

func TestKeyAllocatesNothing(t *testing.T) {
	r, seed := rule(t, Deny, TrackingParameters()...), maphash.MakeSeed()
	dst, target := make([]byte, 0, 256), make([]byte, 0, 256)
	if n := testing.AllocsPerRun(1000, func() {
		dst = Append(dst[:0], &visit, r)
		Hash(seed, dst)
		target = AppendTarget(target[:0], visit.Path, visit.Query, visit.HasQuery, r)
		PlainPath(visit.Path)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
