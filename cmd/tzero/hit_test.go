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
)

// browserRequest is what a browser sends, about 600 bytes with two cookies.
const browserRequest = "GET /page HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: _ga=GA1.1.1234567890.1700000000; theme=dark\r\n\r\n"

// cookieNumber is where ten digits of a cookie stand in it.
var cookieNumber = strings.Index(browserRequest, "1700000000")

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

// TestHitAllocatesNothing: 1,000 hits on a kept connection, with all default features on, whose requests repeat their
// fields or never do.
func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates; the promise is kept by the build without it")
		return
	}
	_, addr := gateway(t, pageOrigin(t, 1024))
	h := newHitter(t, addr)
	for fields, change := range map[string]func(){"repeated": func() {}, "changing": func() { countUp(h.req[cookieNumber : cookieNumber+10]) }} {
		const n = 1000
		best := uint64(1 << 62)
		for range 5 {
			best = min(best, mallocs(func() {
				for range n {
					change()
					h.once(t)
				}
			}))
		}
		// The admission policy of the first tier allocates one list per 64 hits.
		if best > n/64+n/20 {
			t.Errorf("%s fields: %d allocations for %d hits", fields, best, n)
		}
		t.Logf("%s fields: %d allocations for %d hits", fields, best, n)
	}
}

// mallocs counts the whole process's allocations while work runs.
func mallocs(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
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

// BenchmarkHitJourney is a hit without its connection: reading the head, the journey, the observers. Its requests repeat
// their fields.
func BenchmarkHitJourney(b *testing.B) {
	benchmarkJourney(b, &again{text: []byte(browserRequest)})
}

// BenchmarkHitJourneyAnew is one whose requests never repeat their fields: a cookie has a running number.
func BenchmarkHitJourneyAnew(b *testing.B) {
	benchmarkJourney(b, &again{text: []byte(browserRequest), number: cookieNumber})
}

func benchmarkJourney(b *testing.B, src *again) {
	svc, addr := gateway(b, pageOrigin(b, 1024))
	newHitter(b, addr) // stores the page
	rd := http1.NewReader(src, http1.Limits{})
	var req http1.Request
	x := new(proxy.Exchange)
	var before proxy.Memory
	peer := netip.MustParseAddrPort("127.0.0.1:5000")
	b.ReportAllocs()
	repeated, section := 0, uint32(0)
	for b.Loop() {
		if err := rd.Await(); err != nil {
			b.Fatal(err)
		}
		if err := rd.ReadRequest(&req); err != nil {
			b.Fatal(err)
		}
		if req.Section != 0 && req.Section == section {
			repeated++
		}
		section = req.Section
		x.Reset()
		x.Req, x.Peer, x.Started, x.Before = &req, peer, time.Now(), &before
		svc.edge.Serve(x)
		svc.edge.Finish(x, 1024, nil)
	}
	if x.Res.Status != 200 || x.Out.Cache != proxy.CacheHit {
		b.Fatal(x.Res.Status, x.Out.Cache)
	}
	if want := max(0, b.N-2); src.number == 0 && repeated < want || src.number > 0 && repeated > 0 {
		b.Fatalf("%d of %d requests repeated their fields", repeated, b.N)
	}
}

// again is a source of one text, whole with every read.
type again struct {
	text   []byte
	number int // where a running number of ten digits stands in it; 0: nowhere
}

func (a *again) Read(p []byte) (int, error) {
	if a.number > 0 {
		countUp(a.text[a.number : a.number+10])
	}
	return copy(p, a.text), nil
}

// countUp adds one to a number of decimal digits.
func countUp(digits []byte) {
	for i := len(digits) - 1; i >= 0; i-- {
		if digits[i]++; digits[i] <= '9' {
			return
		}
		digits[i] = '0'
	}
}

func (a *again) ReadLazy(l http1.Lender) (int, error) { return a.Read(l.Lend()) }
