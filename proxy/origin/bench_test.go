package origin

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
)

// benchServer answers every request with 1 KiB, as cheaply as can be.
func benchServer(b *testing.B) *server {
	answer := []byte(ok(strings.Repeat("x", 1<<10)))
	return serve(b, func(p *peer) {
		r := bufio.NewReaderSize(p.Conn, 4<<10)
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				p.Write(answer)
			}
		}
	})
}

func benchRequest() *Request {
	q := get("/index.html?x=1")
	q.Fields = fields("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept", "text/html,*/*;q=0.8",
		"Accept-Encoding", "gzip, br, zstd", "Accept-Language", "en-GB,en;q=0.5", "Cookie", strings.Repeat("c", 200),
		"X-Forwarded-For", "192.0.2.1", "X-Request-Id", "0123456789abcdef")
	return q
}

// cpu reports the processor time of an operation, the peer's included: on a shared machine it says more
// than the time that went by.
func cpu(b *testing.B) func() {
	b.ReportAllocs()
	var from syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &from)
	return func() {
		var to syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &to)
		used := to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano()
		b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
	}
}

func BenchmarkDo(b *testing.B) {
	g := start(b, config(benchServer(b).url()))
	p := g.Pool("app")
	q, r := benchRequest(), new(Response)
	buf := make([]byte, 4<<10)
	ctx := context.Background()
	defer cpu(b)()
	for b.Loop() {
		if err := p.DoInto(ctx, q, r); err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := r.Body.Read(buf); err == io.EOF {
				break
			}
		}
		r.Close()
	}
}

func BenchmarkDoParallel(b *testing.B) {
	g := start(b, config(benchServer(b).url()))
	p := g.Pool("app")
	b.SetParallelism(32)
	defer cpu(b)()
	b.RunParallel(func(pb *testing.PB) {
		q, r := benchRequest(), new(Response)
		buf := make([]byte, 4<<10)
		for pb.Next() {
			if err := p.DoInto(context.Background(), q, r); err != nil {
				b.Fatal(err)
			}
			for {
				if _, err := r.Body.Read(buf); err == io.EOF {
					break
				}
			}
			r.Close()
		}
	})
}

// BenchmarkFloor is the least that an exchange can cost: one write and one read on a socket.
func BenchmarkFloor(b *testing.B) {
	nc, err := net.Dial("tcp", benchServer(b).Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	w := newWire(nc)
	head, _ := appendHead(nil, benchRequest(), []byte("a"), framing{length: -1})
	buf := make([]byte, 4<<10)
	defer cpu(b)()
	for b.Loop() {
		w.Write(head)
		if n, _ := w.Read(buf); n < 1<<10 {
			b.Fatal(n)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	q := benchRequest()
	var buf []byte
	defer cpu(b)()
	for b.Loop() {
		head, lines := appendHead(buf[:0], q, q.Host, framing{length: -1})
		if buf = head; !clean(head, lines) {
			b.Fatal("unclean")
		}
	}
}

func TestExchangeOnKeptConnectionAllocatesNothing(t *testing.T) {
	answer := []byte(ok(strings.Repeat("x", 1<<10)))
	s := serve(t, func(p *peer) {
		b := make([]byte, 4<<10)
		for {
			if n, _ := p.Read(b); n == 0 {
				return
			}
			p.Write(answer)
		}
	})
	p := start(t, config(s.url())).Pool("app")
	q, r := benchRequest(), new(Response)
	ctx := context.Background()
	once := func() {
		if err := p.DoInto(ctx, q, r); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Body.WriteTo(io.Discard); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	once()
	allowed := 0.0
	if raceEnabled {
		allowed = 20 // sync.Pool drops a part of what it is given
	}
	if n := testing.AllocsPerRun(200, once); n > allowed {
		t.Errorf("%v allocations", n)
	}
}
