package listen

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/proxy"
)

// stored answers everything with the same kibibyte: what is measured is the connection's side alone.
type stored struct{ content []byte }

func (s *stored) Serve(x *proxy.Exchange) bool {
	r := &x.Res
	r.Status, r.Bytes, r.Length = 200, s.content, int64(len(s.content))
	r.Fields.Add(benchDate, benchDateValue)
	r.Fields.Add(benchType, benchTypeValue)
	return true
}

func (*stored) Finish(*proxy.Exchange, int64, error) {}
func (*stored) GiveUp()                              {}

// Names and values as bytes, so that the handler allocates nothing itself.
var (
	benchDate, benchDateValue = []byte("Date"), []byte("Mon, 23 Nov 2026 10:00:00 GMT")
	benchType, benchTypeValue = []byte("Content-Type"), []byte("image/png")
)

// benchRequest is a browser's, with two cookies.
const benchRequest = "GET /page HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-Dest: document\r\nAccept-Encoding: gzip, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: _ga=GA1.1.1234567890.1700000000; theme=dark\r\n\r\n"

// asker is a kept connection to a server of its own; every answer has the same size.
type asker struct {
	tb   testing.TB
	conn net.Conn
	req  []byte
	buf  []byte
}

func newAsker(tb testing.TB) *asker {
	tb.Helper()
	s, err := New(&stored{[]byte(strings.Repeat("x", 1<<10))}, Settings{Listeners: []Config{{Address: "127.0.0.1:0"}}, Limits: DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func() (think, grace time.Duration) { return 0, time.Second }) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	a := &asker{tb: tb, req: []byte(benchRequest), buf: make([]byte, 8<<10)}
	if a.conn, err = net.Dial("tcp", s.Addrs()[0].String()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { a.conn.Close() })
	if _, err := a.conn.Write(a.req); err != nil {
		tb.Fatal(err)
	}
	n := 0
	for !strings.HasSuffix(string(a.buf[:n]), "\r\n\r\n"+strings.Repeat("x", 1<<10)) {
		k, err := a.conn.Read(a.buf[n:])
		if n += k; err != nil {
			tb.Fatal(err)
		}
	}
	a.buf = a.buf[:n]
	return a
}

func (a *asker) once() {
	if _, err := a.conn.Write(a.req); err != nil {
		a.tb.Fatal(err)
	}
	if _, err := io.ReadFull(a.conn, a.buf); err != nil {
		a.tb.Fatal(err)
	}
}

// BenchmarkAnswer has the client's two system calls in it.
func BenchmarkAnswer(b *testing.B) {
	a := newAsker(b)
	b.ReportAllocs()
	for b.Loop() {
		a.once()
	}
}

func TestAnswerAllocatesNothing(t *testing.T) {
	a := newAsker(t)
	for range 100 {
		a.once()
	}
	if n := testing.AllocsPerRun(1000, a.once); n != 0 && !raced {
		t.Errorf("%v allocations", n)
	}
}
