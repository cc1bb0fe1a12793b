package listen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy"
)

// fasthttp keeps its coarse clock in one goroutine for the life of the process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// echo answers by path, as the journey would: /len, /chunked, /head, /sse, /panic-free refusals.
type echo struct {
	mu       sync.Mutex
	finished []finished
	gone     atomic.Int64
	hold     chan struct{}
}

type finished struct {
	path    string
	status  int
	sent    int64
	aborted bool
}

func (e *echo) Serve(x *proxy.Exchange) (done bool) {
	if p := path(x); x.Prompt && (p == "/early" || p == "/wait" || p == "/upgrade") {
		return false
	}
	e.answer(x)
	return true
}

func path(x *proxy.Exchange) string {
	if x.Refusal != nil {
		return ""
	}
	return string(x.Req.Path)
}

func (e *echo) answer(x *proxy.Exchange) {
	r := &x.Res
	r.Fields.AddString("Date", "Mon, 23 Nov 2026 10:00:00 GMT")
	if x.Refusal != nil {
		r.Status, r.Bytes, r.Close = x.Refusal.Status, []byte(x.Refusal.Reason), true
		return
	}
	r.Status = 200
	switch string(x.Req.Path) {
	case "/chunked":
		r.Stream, r.Length = &parts{list: []string{"one ", "two ", "three"}}, -1
	case "/trailer":
		r.Trailer = []byte("X-Sum")
		r.Stream, r.Length = &parts{list: []string{"data"}, trailer: field.List{{Name: []byte("X-Sum"), Value: []byte("42")}}}, -1
	case "/fail":
		r.Stream, r.Length = &parts{list: []string{"some"}, err: errors.New("origin died")}, -1
	case "/big":
		r.Stream, r.Length = &parts{list: []string{strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20)}}, 2<<20
	case "/short": // the origin's answer breaks off
		r.Stream, r.Length = &parts{list: []string{"some"}, err: errors.New("origin died")}, 10
	case "/body":
		b, err := io.ReadAll(x.Body)
		if err != nil {
			r.Status, r.Close = 400, true
		}
		r.Bytes = fmt.Appendf(nil, "%d %s", len(b), b[:min(len(b), 20)])
	case "/early":
		_ = x.Carrier.Interim(103, field.List{{Name: []byte("Link"), Value: []byte("</a.css>; rel=preload")}})
		r.Bytes = []byte("after")
	case "/wait":
		select {
		case <-x.Carrier.Gone():
			e.gone.Add(1)
		case <-e.hold:
		}
		r.Bytes = []byte("waited")
	case "/upgrade":
		res := proxy.Response{Status: 101}
		res.Fields.AddString("Upgrade", "echo")
		_ = x.Carrier.TakeOver(&res, func(c net.Conn, early []byte) {
			_, _ = c.Write(early)
			_, _ = io.Copy(c, c)
		})
	case "/untold": // a length that the origin did not say
		r.Stream, r.Length = &parts{list: []string{"some"}}, -1
		r.NoBody = string(x.Req.Method) == "HEAD"
	default:
		r.Fields.AddString("X-Twice", "a")
		r.Fields.AddString("X-Twice", "b")
		r.Bytes = []byte("hello " + x.Peer.Addr().String())
		if string(x.Req.Method) == "HEAD" {
			r.NoBody, r.Length = true, int64(len(r.Bytes))
		}
	}
}

func (e *echo) GiveUp() {}

func (e *echo) Finish(x *proxy.Exchange, sent int64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = append(e.finished, finished{path(x), x.Res.Status, sent, err != nil})
}

func (e *echo) last(t *testing.T) finished {
	t.Helper()
	for range 1000 {
		e.mu.Lock()
		n := len(e.finished)
		e.mu.Unlock()
		if n > 0 {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.finished) == 0 {
		t.Fatal("no exchange finished")
	}
	return e.finished[len(e.finished)-1]
}

type parts struct {
	list    []string
	err     error
	trailer field.List
}

func (p *parts) Read([]byte) (int, error) { panic("WriteTo is used") }
func (p *parts) WriteTo(w io.Writer) (n int64, err error) {
	for _, s := range p.list {
		k, err := io.WriteString(w, s)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, p.err
}
func (p *parts) Trailer() field.List { return p.trailer }
func (p *parts) Close(error)         {}

// start runs a server and returns its address; it ends with the test.
func start(t *testing.T, h Handler, change func(*Settings)) (*Server, string) {
	t.Helper()
	return startWith(t, h, change, napAfter)
}

// startWith is start for a server whose idle connections let go of their goroutines and buffers after nap milliseconds.
func startWith(t *testing.T, h Handler, change func(*Settings), nap int64) (*Server, string) {
	t.Helper()
	set := Settings{Listeners: []Config{{Address: "127.0.0.1:0"}}, Limits: DefaultLimits()}
	if change != nil {
		change(&set)
	}
	s, err := New(h, set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.napAfter = nap
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func() (think, grace time.Duration) { return 20 * time.Millisecond, time.Second })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := s.cold(); n != 0 {
			t.Errorf("%d connections are still resting", n)
		}
	})
	return s, s.Addrs()[0].String()
}

// say sends raw bytes and returns everything that comes back until the connection ends or rests.
func say(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return drain(c, 2*time.Second)
}

func drain(c net.Conn, d time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(d))
	b, _ := io.ReadAll(c)
	return string(b)
}

func contains(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%q is missing in:\n%s", w, got)
		}
	}
}

func TestKeepsLinesAndDate(t *testing.T) {
	h := &echo{}
	_, addr := start(t, h, nil)
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "HTTP/1.1 200 OK\r\n", "X-Twice: a\r\nX-Twice: b\r\n", "Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n",
		"Connection: close\r\n", "Content-Length: 15\r\n", "\r\n\r\nhello 127.0.0.1")
	if f := h.last(t); f.aborted || f.sent != 15 {
		t.Errorf("finished as %+v", f)
	}
	if strings.Contains(got, "Server:") {
		t.Errorf("a Server field nobody asked for:\n%s", got)
	}
}

func TestPipelined(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /chunked HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if n := strings.Count(got, "HTTP/1.1 200 OK"); n != 3 {
		t.Fatalf("%d answers:\n%s", n, got)
	}
	contains(t, got, "4\r\none \r\n", "5\r\nthree\r\n0\r\n\r\n")
	if !strings.HasSuffix(got, "\r\n\r\n") {
		t.Errorf("the answer to HEAD has content:\n%s", got)
	}
}

func TestRefusalEndsTheConnection(t *testing.T) {
	h := &echo{}
	_, addr := start(t, h, nil)
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	contains(t, got, "HTTP/1.1 400 Bad Request", "Connection: close")
	if strings.Count(got, "HTTP/1.1 ") != 1 {
		t.Errorf("what followed the refused request was answered:\n%s", got)
	}
	if f := h.last(t); f.status != 400 {
		t.Errorf("finished as %+v", f)
	}
}

func TestSecondRequestRefusedIsAnswered(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
	contains(t, got, "HTTP/1.1 200 OK", "HTTP/1.1 400 Bad Request")
}

// TestHeadWithoutALengthKeepsTheConnection: there is no content that its end would have to end.
func TestHeadWithoutALengthKeepsTheConnection(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "HEAD /untold HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200 OK") != 2 || strings.Count(got, "Connection: close") != 1 {
		t.Errorf("got:\n%s", got)
	}
}

func TestHTTP10(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "GET /chunked HTTP/1.0\r\n\r\n")
	contains(t, got, "Connection: close\r\n", "\r\n\r\none two three")
	if strings.Contains(got, "chunked") {
		t.Errorf("chunks for an HTTP/1.0 client:\n%s", got)
	}
	got = say(t, addr, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 200 OK") != 2 {
		t.Errorf("keep-alive was not kept:\n%s", got)
	}
}

func TestTrailer(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "GET /trailer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "Trailer: X-Sum\r\n", "4\r\ndata\r\n0\r\nX-Sum: 42\r\n\r\n")
}

func TestCutStreamIsNotClean(t *testing.T) {
	h := &echo{}
	_, addr := start(t, h, nil)
	got := say(t, addr, "GET /fail HTTP/1.1\r\nHost: x\r\n\r\n")
	if strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("a failed stream ended cleanly:\n%s", got)
	}
	if f := h.last(t); !f.aborted {
		t.Errorf("finished as %+v", f)
	}
}

// To close with requests unread would reset the connection, and take the answers with it that are on their way.
func TestBrokenOffAnswerLeavesThoseBeforeItWhole(t *testing.T) {
	for _, broken := range []string{"/short", "/fail"} {
		_, addr := start(t, &echo{}, nil)
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		behind := strings.Repeat("GET /behind HTTP/1.1\r\nHost: a\r\nX-Fill: "+strings.Repeat("x", 1000)+"\r\n\r\n", 100)
		_, _ = io.WriteString(c, "GET /big HTTP/1.1\r\nHost: a\r\n\r\nGET "+broken+" HTTP/1.1\r\nHost: a\r\n\r\n"+behind)
		br := bufio.NewReader(c)
		r, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r.Body); len(b) != 2<<20 || err != nil {
			t.Errorf("before %s: %d bytes, %v", broken, len(b), err)
		}
		rest, err := io.ReadAll(br)
		if err != nil || !bytes.Contains(rest, []byte("some")) || bytes.Contains(rest, []byte("hello")) {
			t.Errorf("%s: %q, %v", broken, rest, err)
		}
	}
}

func TestBigStream(t *testing.T) {
	h := &echo{}
	_, addr := start(t, h, nil)
	res, err := http.Get("http://" + addr + "/big")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, res.Body)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if n != 2<<20 || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if f := h.last(t); f.sent != 2<<20 || f.aborted {
		t.Errorf("finished as %+v", f)
	}
}

func TestBodies(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	contains(t, say(t, addr, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
		"5 hello", "hello 127.0.0.1")
	contains(t, say(t, addr, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), "5 abcde")
	got := say(t, addr, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n")
	contains(t, got, "HTTP/1.1 400", "Connection: close")
}

func TestUnreadBodyEndsTheConnection(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close") {
		t.Errorf("got:\n%s", got)
	}
}

func TestEarlyHints(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	got := say(t, addr, "GET /early HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n") {
		t.Errorf("got:\n%s", got)
	}
	if got := say(t, addr, "GET /early HTTP/1.0\r\n\r\n"); strings.Contains(got, "103") {
		t.Errorf("an interim answer for HTTP/1.0:\n%s", got)
	}
}

func TestUpgradeKeepsEarlyBytes(t *testing.T) {
	_, addr := start(t, &echo{}, nil)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
	br := bufio.NewReader(c)
	head, _ := br.ReadString('\n')
	contains(t, head, "101 Switching Protocols")
	for {
		line, err := br.ReadString('\n')
		if err != nil || line == "\r\n" {
			break
		}
	}
	buf := make([]byte, 5)
	if _, err := io.ReadFull(br, buf); err != nil || string(buf) != "early" {
		t.Fatalf("%q, %v", buf, err)
	}
	_, _ = io.WriteString(c, "later")
	if _, err := io.ReadFull(br, buf); err != nil || string(buf) != "later" {
		t.Fatalf("%q, %v", buf, err)
	}
}

func TestClientThatLeavesIsNoticed(t *testing.T) {
	h := &echo{hold: make(chan struct{})}
	_, addr := start(t, h, nil)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	<-time.After(50 * time.Millisecond)
	c.Close()
	h.last(t)
	if h.gone.Load() != 1 {
		t.Error("nobody noticed")
	}
}

func TestSlowHeader(t *testing.T) {
	_, addr := start(t, &echo{}, func(s *Settings) { s.Limits.HeaderTimeout = conf.Duration(300 * time.Millisecond) })
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost:")
	contains(t, got, "HTTP/1.1 408", "header-timeout")
}

func TestIdleConnectionsEnd(t *testing.T) {
	s, addr := start(t, &echo{}, func(s *Settings) { s.Limits.IdleTimeout = conf.Duration(300 * time.Millisecond) })
	got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	contains(t, got, "200 OK")
	if strings.Contains(got, "408") || s.Stats().Overdue.Idle != 1 {
		t.Errorf("%+v\n%s", s.Stats(), got)
	}
}

func TestDrainLosesNothing(t *testing.T) {
	h := &echo{}
	s, err := New(h, Settings{Listeners: []Config{{Address: "127.0.0.1:0"}}, Limits: DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, func() (think, grace time.Duration) { return time.Second, time.Second }) }()
	var wg sync.WaitGroup
	var failed, answered atomic.Int64
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, err := net.Dial("tcp", s.Addrs()[0].String())
			if err != nil {
				return // not accepted any more: a balancer's business
			}
			defer c.Close()
			br := bufio.NewReader(c)
			for {
				_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
				res, err := http.ReadResponse(br, nil)
				if err != nil {
					failed.Add(1)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				answered.Add(1)
				if res.Close {
					return
				}
			}
		}()
	}
	for answered.Load() < 1000 {
		<-time.After(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if failed.Load() != 0 || s.Stats().Cut != 0 {
		t.Errorf("%d requests failed, %d connections cut", failed.Load(), s.Stats().Cut)
	}
}

func TestPieces(t *testing.T) {
	var w watch
	w.enter(phaseHead, 100)
	p, lasted, word := w.read(350)
	if p != phaseHead || lasted != 250 {
		t.Fatalf("%d %d", p, lasted)
	}
	w.enter(phaseHead, 200)
	if w.poke(word) {
		t.Error("progress was made, and still it was poked")
	}
	_, _, word = w.read(350)
	if !w.poke(word) || w.enter(phaseQuiet, 1) {
		t.Error("the half did not notice")
	}
	if !bytes.HasPrefix([]byte(busy), []byte("HTTP/1.1 503")) || !strings.HasSuffix(busy, "\r\n\r\nToo many connections just now; please try again.") {
		t.Error("the busy answer is not whole")
	}
	if i := strings.Index(busy, "\r\n\r\n"); len(busy)-i-4 != 48 {
		t.Errorf("the busy answer has %d bytes of content", len(busy)-i-4)
	}
}
