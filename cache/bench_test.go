package cache_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/internal/field"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func lines(nv ...string) field.List {
	var l field.List
	for i := 0; i < len(nv); i += 2 {
		l.AddString(nv[i], nv[i+1])
	}
	return l
}

// whole is a body that is all there.
type whole struct{ rest []byte }

func (w *whole) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}
func (w *whole) Ready() bool  { return true }
func (w *whole) Done() bool   { return true }
func (w *whole) Close() error { return nil }

func newCache(tb testing.TB) (*cache.Cache, *l1.Tier) {
	tb.Helper()
	tier, err := l1.New(64<<20, 0)
	if err != nil {
		tb.Fatal(err)
	}
	c := cache.New(cache.Default(), tier)
	tb.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return c, tier
}

func browser(policy *cache.Policy, path string) *cache.Request {
	return &cache.Request{
		Method: []byte("GET"), Scheme: "https", Host: []byte("www.example.com"), Path: []byte(path),
		Query: []byte("utm_source=hn&page=2"), HasQuery: true, Policy: policy,
		Fields: lines("Host", "www.example.com", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
			"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
			"Accept-Encoding", "gzip, deflate, br, zstd", "Accept-Language", "en-GB,en;q=0.9,de;q=0.8",
			"Cookie", "a=b; theme=dark", "Sec-Fetch-Mode", "navigate", "Cache-Control", "max-age=0"),
	}
}

func store(tb testing.TB, c *cache.Cache, tier *l1.Tier, q *cache.Request, size int, head field.List) {
	tb.Helper()
	res := c.Lookup(q, t0)
	if res.Verdict != cache.Miss {
		tb.Fatalf("got %s %s", res.Verdict, res.Reason)
	}
	h := cache.Head{Status: 200, Fields: head, Length: int64(size)}
	_, turn, err := c.Lead(q, &res, func() (*cache.Fill, error) {
		return c.Begin(q, &res, h, &whole{make([]byte, size)}, t0, t0), nil
	})
	if turn != cache.Led || err != nil {
		tb.Fatal(turn, err)
	}
	tier.Wait()
}

func policy(tb testing.TB) *cache.Policy {
	r := cache.DefaultRoute()
	r.Reload = "ignore"
	r.PrivateCookies = []string{"session", "wp_*"}
	p, err := r.Compile()
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

var page = lines("Content-Type", "application/json", "Cache-Control", "max-age=300", "ETag", `"abc"`,
	"Date", "Sun, 01 Mar 2026 12:00:00 GMT")

func vary(names string) field.List {
	l := page.Clone()
	l.AddString("Vary", names)
	return l
}

// hit is everything that a hit touches.
func hit(tb testing.TB, c *cache.Cache, q *cache.Request, dst field.List, buf []byte) (field.List, []byte) {
	now := t0.Add(time.Second)
	res := c.Lookup(q, now)
	if res.Verdict != cache.Hit {
		tb.Fatalf("got %s %s", res.Verdict, res.Reason)
	}
	o := res.Object
	dst = o.Fields(dst[:0])
	buf = append(buf[:0], o.Head()...)
	buf = strconv.AppendInt(buf, int64(res.Age/time.Second), 10)
	status := cache.CacheStatus{Hit: true, HasTTL: true, TTL: res.Left}
	buf = status.Append(buf)
	_ = o.Condition(q.Fields, now)
	_ = o.Range(q.Fields, now)
	_ = o.Get("Content-Type")
	if _, ok := c.GetDerived(o, "zstd"); !ok {
		tb.Fatal("no derived encoding")
	}
	return dst, append(buf, o.Body()...)
}

func TestHitsAllocateNothing(t *testing.T) {
	for _, head := range []field.List{page, vary("Accept-Encoding"), vary("Accept-Encoding, Accept-Language, X-None, Sec-Fetch-Mode")} {
		c, tier := newCache(t)
		q := browser(policy(t), "/")
		store(t, c, tier, q, 1024, head)
		if res := c.Lookup(q, t0); !c.PutDerived(res.Object, "zstd", nil, []byte("small")) {
			t.Fatal("not taken")
		}
		tier.Wait()
		dst, buf := make(field.List, 0, 32), make([]byte, 0, 8<<10)
		if n := testing.AllocsPerRun(5000, func() { dst, buf = hit(t, c, q, dst, buf) }); n != 0 && !raced {
			t.Errorf("Vary %q: %v allocations", head.Get("Vary"), n)
		}
	}
}

// TestEquivalentHitsAllocateNothing: visitors with a query of their own each are the rule, not the exception.
func TestEquivalentHitsAllocateNothing(t *testing.T) {
	head := append(lines("No-Vary-Search", `key-order, params=("x")`), vary("Accept-Encoding")...)
	c, tier := newCache(t)
	q := browser(policy(t), "/")
	store(t, c, tier, q, 1024, head)
	q.Query = []byte("utm_source=x&page=%32&x=1")
	if n := testing.AllocsPerRun(1000, func() {
		if r := c.Lookup(q, t0); r.Verdict != cache.Hit {
			t.Fatal(r.Verdict)
		}
	}); n != 0 && !raced {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	for _, head := range []field.List{page, vary("Accept-Encoding")} {
		b.Run("vary="+string(head.Get("Vary")), func(b *testing.B) {
			c, tier := newCache(b)
			p := policy(b)
			store(b, c, tier, browser(p, "/"), 1024, head)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				q := browser(p, "/")
				for pb.Next() {
					if res := c.Lookup(q, t0); res.Verdict != cache.Hit {
						b.Fatal(res.Verdict)
					}
				}
			})
		})
	}
}

func BenchmarkMiss(b *testing.B) {
	c, _ := newCache(b)
	p := policy(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		q := browser(p, "/")
		q.Path = fmt.Appendf(q.Path[:0], "/%d", i)
		res := c.Lookup(q, t0)
		h := cache.Head{Status: 200, Fields: page, Length: 1024}
		c.Lead(q, &res, func() (*cache.Fill, error) {
			return c.Begin(q, &res, h, &whole{make([]byte, 1024)}, t0, t0), nil
		})
	}
}
