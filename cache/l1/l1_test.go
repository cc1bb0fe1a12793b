package l1_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/internal/field"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type body struct{ *bytes.Reader }

func (b body) Ready() bool  { return true }
func (b body) Done() bool   { return b.Len() == 0 }
func (b body) Close() error { return nil }

func policy(t testing.TB) *cache.Policy {
	p, err := cache.DefaultRoute().Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func request(p *cache.Policy, path string) *cache.Request {
	return &cache.Request{Method: []byte("GET"), Scheme: "http", Host: []byte("x"), Path: []byte(path), Policy: p}
}

// fill stores content under path, whatever is there.
func fill(c *cache.Cache, p *cache.Policy, path string, content []byte, now time.Time) *cache.Fill {
	q := request(p, path)
	res := c.Lookup(q, now)
	head := cache.Head{Status: 200, Length: int64(len(content)), Fields: field.List{
		{Name: []byte("Cache-Control"), Value: []byte("max-age=60")}, {Name: []byte("Content-Type"), Value: []byte("image/png")}}}
	return c.Begin(q, &res, head, body{bytes.NewReader(content)}, now, now)
}

func newCache(t testing.TB, capacity int64) (*cache.Cache, *l1.Tier) {
	return newPinningCache(t, capacity, 0)
}

func newPinningCache(t testing.TB, capacity, pinned int64) (*cache.Cache, *l1.Tier) {
	tier, err := l1.New(capacity, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return ownCache(t, tier), tier
}

func ownCache(t testing.TB, tier *l1.Tier) *cache.Cache {
	c := cache.New(cache.Default(), tier)
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBytesAreHonest compares what the tier says it holds with what the heap grew by.
func TestBytesAreHonest(t *testing.T) {
	for _, size := range []int{100, 1000, 20000, 100000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			before := heap()
			tier, err := l1.New(256<<20, 0)
			if err != nil {
				t.Fatal(err)
			}
			empty := heap() - before
			c := ownCache(t, tier)
			before = heap()
			p := policy(t)
			for i := range min(15000, 50<<20/size) {
				fill(c, p, fmt.Sprintf("/%d", i), make([]byte, size), t0)
			}
			tier.Wait()
			c.Lookup(request(p, "/0"), t0)
			grown, says := heap()-before+empty, tier.Stats().Bytes
			if ratio := float64(says) / float64(grown); ratio < 0.95 || ratio > 1.05 {
				t.Errorf("the tier says %d, the heap grew by %d: %.3f", says, grown, ratio)
			} else {
				t.Logf("the tier says %d, the heap grew by %d: %.3f", says, grown, ratio)
			}
			runtime.KeepAlive(c)
		})
	}
}

// TestChurn rewrites keys with changing sizes, invalidates and reads, from several goroutines. Every body
// carries the checksum of its key and itself.
func TestChurn(t *testing.T) {
	const capacity = 16 << 20
	c, tier := newCache(t, capacity)
	p := policy(t)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for i := range 1500 {
				now := t0.Add(time.Duration(i) * time.Second / 20)
				path := fmt.Sprintf("/%d", r.IntN(400))
				switch r.IntN(10) {
				case 0:
					c.Invalidate(request(p, path), now)
				case 1, 2, 3:
					fill(c, p, path, checked(path, r.IntN(60000)), now)
				default:
					if res := c.Lookup(request(p, path), now); res.Object.Exists() && !bytes.Equal(res.Object.Body(), recheck(path, res.Object.Body())) {
						t.Errorf("%s: a wrong body", path)
					}
				}
			}
		})
	}
	all.Wait()
	tier.Wait()
	if s := tier.Stats(); s.Bytes > capacity*13/10 || s.Bytes < 0 || s.Objects < 0 {
		t.Errorf("holds %d of %d bytes, %d objects", s.Bytes, capacity, s.Objects)
	}
}

func checked(path string, n int) []byte {
	b := make([]byte, n+4)
	return seal(path, b)
}

func recheck(path string, b []byte) []byte { return seal(path, bytes.Clone(b)) }

func seal(path string, b []byte) []byte {
	sum := crc32.ChecksumIEEE([]byte(path)) ^ crc32.ChecksumIEEE(b[4:])
	binary.LittleEndian.PutUint32(b, sum)
	return b
}

func TestClosedTierHoldsNothing(t *testing.T) {
	tier, err := l1.New(16<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := cache.New(cache.Default(), tier)
	p := policy(t)
	for i := range 100 {
		f := fill(c, p, fmt.Sprintf("/%d", i), make([]byte, 1000), t0)
		if n, err := io.Copy(io.Discard, f.Reader(nil)); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := tier.Stats(); s.Bytes != 0 || s.Objects != 0 {
		t.Errorf("left: %+v", s)
	}
}
