package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/headers"
)

// browserRequest is what a browser sends, about 600 bytes with two cookies.
const browserRequest = "GET /page HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: _ga=GA1.1.1234567890.1700000000; theme=dark\r\n\r\n"

// hitter is one keep-alive connection that asks for a stored page again and again without allocating.
type hitter struct {
	c    net.Conn
	req  []byte
	buf  []byte
	size int // of one answer
}

func newHitter(tb testing.TB, addr string) *hitter {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	h := &hitter{c: c, req: []byte(browserRequest), buf: make([]byte, 64<<10)}
	for range 50 { // until the compressed copy is there and every pool is warm
		h.once(tb)
	}
	return h
}

// once sends a request and reads the whole answer, whose length Content-Length tells.
func (h *hitter) once(tb testing.TB) {
	if _, err := h.c.Write(h.req); err != nil {
		tb.Fatal(err)
	}
	n, want := 0, -1
	for want < 0 || n < want {
		k, err := h.c.Read(h.buf[n:])
		if err != nil {
			tb.Fatal(err)
		}
		n += k
		if end := bytes.Index(h.buf[:n], []byte("\r\n\r\n")); want < 0 && end > 0 {
			want = answerSize(h.buf[:n], end)
		}
	}
	h.size = n
}

func answerSize(b []byte, end int) int {
	at := bytes.Index(b[:end], []byte("Content-Length: "))
	if at < 0 { // chunked, while there is no copy yet
		return len(b)
	}
	n := 0
	for _, c := range b[at+len("Content-Length: "):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return end + 4 + n
}

func pageOrigin(tb testing.TB, size int) string {
	tb.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "image/png") // not compressed: one copy, one size
		w.Header().Set("ETag", `"v1"`)
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	}))
	tb.Cleanup(origin.Close)
	return origin.URL
}

// TestHitAllocatesNothing: 1,000 hits on a kept connection, with all default features on.
func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates; the promise is kept by the build without it")
		return
	}
	_, addr := gateway(t, pageOrigin(t, 1024))
	h := newHitter(t, addr)
	var before, after runtime.MemStats
	const n = 1000
	best := uint64(1 << 62)
	for range 5 {
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			h.once(t)
		}
		runtime.ReadMemStats(&after)
		best = min(best, after.Mallocs-before.Mallocs)
	}
	// The admission policy of the first tier allocates one list per 64 hits.
	if best > n/64+n/20 {
		t.Errorf("%d allocations for %d hits", best, n)
	}
	t.Logf("%d allocations for %d hits", best, n)
}

func BenchmarkHit(b *testing.B) {
	_, addr := gateway(b, pageOrigin(b, 1024))
	h := newHitter(b, addr)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		h.once(b)
	}
}

// BenchmarkHitJourney is a hit without its connection: reading the head, the journey, the observers.
func BenchmarkHitJourney(b *testing.B) {
	svc, addr := gateway(b, pageOrigin(b, 1024))
	newHitter(b, addr) // stores the page
	src := &again{text: browserRequest}
	rd := http1.NewReader(src, http1.Limits{})
	var req http1.Request
	x := new(proxy.Exchange)
	var before headers.Received
	peer := netip.MustParseAddrPort("127.0.0.1:5000")
	b.ReportAllocs()
	for b.Loop() {
		if err := rd.Await(); err != nil {
			b.Fatal(err)
		}
		if err := rd.ReadRequest(&req); err != nil {
			b.Fatal(err)
		}
		x.Reset()
		x.Req, x.Peer, x.Started, x.Before = &req, peer, time.Now(), &before
		svc.edge.Serve(x)
		svc.edge.Finish(x, 1024, nil)
	}
	if x.Res.Status != 200 || x.Out.Cache != proxy.CacheHit {
		b.Fatal(x.Res.Status, x.Out.Cache)
	}
}

// again is a source of one text, whole with every read.
type again struct{ text string }

func (a *again) Read(p []byte) (int, error) { return copy(p, a.text), nil }

func (a *again) ReadLazy(l http1.Lender) (int, error) { return a.Read(l.Lend()) }
