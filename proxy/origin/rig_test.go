package origin

import (
	"bufio"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
)

func TestMain(m *testing.M) {
	// fasthttp, which a benchmark compares with, leaves its cleaners running.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"))
}

// peer is the origin's end of one connection, driven by a test's script.
type peer struct {
	net.Conn
	r *bufio.Reader
	n int // the connection's number, from 1
	t testing.TB
}

// head reads one request's head and returns it; "" at the connection's end.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return ""
		}
		b.WriteString(line)
		if line == "\r\n" {
			return b.String()
		}
	}
}

func (p *peer) body(n int) string {
	b := make([]byte, n)
	k, _ := io.ReadFull(p.r, b)
	return string(b[:k])
}

// line reads up to CRLF.
func (p *peer) line() string {
	s, _ := p.r.ReadString('\n')
	return strings.TrimSuffix(s, "\r\n")
}

func (p *peer) say(s string) { io.WriteString(p, s) }

// ended waits for the gateway to close the connection; what still comes is dropped.
func (p *peer) ended() { io.Copy(io.Discard, p.r) }

func (p *peer) reset() {
	p.Conn.(*net.TCPConn).SetLinger(0)
	p.Close()
}

// server is a raw origin; script serves one connection, which is closed when it returns.
type server struct {
	net.Listener
	conns atomic.Int32
}

func serve(t testing.TB, script func(p *peer)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: ln}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			n := int(s.conns.Add(1))
			wg.Go(func() {
				script(&peer{c, bufio.NewReader(c), n, t})
				c.Close()
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *server) url() string { return "http://" + s.Addr().String() }

// rig is Pools with one pool, "app", running.
type rig struct {
	*Pools
	t   testing.TB
	cfg Config
}

func config(targets ...string) Config {
	c := Default()
	c.Targets = targets
	return c
}

func start(t testing.TB, c Config) *rig {
	t.Helper()
	return startWith(t, c, Options{})
}

func startWith(t testing.TB, c Config, o Options) *rig {
	t.Helper()
	if p := c.Validate(); len(p) > 0 {
		t.Fatalf("the test's config has problems: %v", p)
	}
	g := &rig{New(o), t, c}
	if _, err := g.Apply(map[string]Config{"app": c}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { g.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return g
}

func (g *rig) do(q *Request) (*Response, error) {
	return g.Pool("app").Do(context.Background(), q)
}

// answers expects a final answer and returns its body.
func (g *rig) answers(q *Request, status int) string {
	g.t.Helper()
	r, err := g.do(q)
	if err != nil {
		g.t.Fatalf("%s %s: %v", q.Method, q.Target, err)
	}
	defer r.Close()
	if r.Status != status {
		g.t.Errorf("%s %s: status %d, want %d", q.Method, q.Target, r.Status, status)
	}
	b, err := io.ReadAll(&r.Body)
	if err != nil {
		g.t.Fatalf("%s %s: body: %v", q.Method, q.Target, err)
	}
	return string(b)
}

// fails expects an error of a kind and returns it.
func (g *rig) fails(q *Request, kind Kind) *Error {
	g.t.Helper()
	r, err := g.do(q)
	if err == nil {
		defer r.Close()
		_, err = io.ReadAll(&r.Body)
	}
	e, ok := err.(*Error)
	if !ok || e.Kind != kind {
		g.t.Fatalf("%s %s: %v, want %s", q.Method, q.Target, err, kind)
	}
	return e
}

func (g *rig) target() TargetStats {
	g.t.Helper()
	return g.Stats()[0]
}

func get(target string) *Request {
	return &Request{Method: []byte("GET"), Target: []byte(target), Host: []byte("shop.example")}
}

func post(body string) *Request {
	return send("POST", io.Reader(strings.NewReader(body)), int64(len(body)))
}

func send(method string, body io.Reader, n int64) *Request {
	return &Request{
		Method: []byte(method), Target: []byte("/"), Host: []byte("shop.example"),
		Body: body, Length: n,
	}
}

func fields(pairs ...string) field.List {
	var l field.List
	for i := 0; i < len(pairs); i += 2 {
		l.AddString(pairs[i], pairs[i+1])
	}
	return l
}

func ms(n int) conf.Duration { return conf.Duration(time.Duration(n) * time.Millisecond) }

func ok(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// echo answers every request with its target.
func echo(p *peer) {
	for {
		h := p.head()
		if h == "" {
			return
		}
		p.say(ok(strings.Fields(h)[1]))
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	limit := time.Now().Add(5 * time.Second)
	for !f() {
		if time.Now().After(limit) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(time.Millisecond)
	}
}
