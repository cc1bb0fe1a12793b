package listen

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tzero-edge/tzero/proxy"
)

// pages answers /n with n bytes from memory; /wait, which a loop cannot serve, when released.
type pages struct {
	memory   []byte
	released chan struct{}

	mu     sync.Mutex
	waited int   // answers to /wait
	sent   int64 // content
	broken int   // answers that did not go out whole
}

func (p *pages) Serve(x *proxy.Exchange) bool {
	r := &x.Res
	if path(x) == "/wait" {
		if x.Prompt {
			return false
		}
		<-p.released
		if x.Body != nil {
			_, _ = io.Copy(io.Discard, x.Body)
		}
		r.Status, r.Bytes = 200, []byte("waited")
		return true
	}
	n := 0
	_, _ = fmt.Sscanf(path(x), "/%d", &n)
	r.Status, r.Bytes = 200, p.memory[:n]
	return true
}

func (p *pages) Finish(x *proxy.Exchange, sent int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += sent
	if err != nil {
		p.broken++
	}
	if path(x) == "/wait" {
		p.waited++
	}
}

func (p *pages) GiveUp() {}

func newPages(size int) *pages {
	p := &pages{memory: make([]byte, size), released: make(chan struct{})}
	for i := range p.memory {
		p.memory[i] = byte(i * 7 >> 3)
	}
	return p
}

// take reads one answer and compares its content.
func (c *client) take(p *pages, n int) error {
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(res.Body)
	if err == nil && !bytes.Equal(b, p.memory[:n]) {
		err = fmt.Errorf("%d bytes of content that are not those of /%d", len(b), n)
	}
	return err
}

// TestWhoWaitsHoldsUpNobody: requests whose journey waits leave the loops, and all others are served meanwhile.
func TestWhoWaitsHoldsUpNobody(t *testing.T) {
	p := newPages(100)
	_, addr := start(t, p, nil)
	var waiting []*client
	for range 8 * runtime.GOMAXPROCS(0) {
		c := dial(t, addr)
		_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /7 HTTP/1.1\r\nHost: a\r\n\r\n")
		waiting = append(waiting, c)
	}
	for range 4 * runtime.GOMAXPROCS(0) {
		c := dial(t, addr)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		for n := range 20 {
			if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n); err != nil {
				t.Fatal(err)
			}
			if err := c.take(p, n); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(p.released)
	for _, c := range waiting {
		res, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); string(b) != "waited" || err != nil {
			t.Fatal(string(b), err)
		}
		if err := c.take(p, 7); err != nil { // what had come behind it
			t.Fatal(err)
		}
	}
}

// TestLoopsNeedNoGoroutines: connections that ask for what is there have none of their own.
func TestLoopsNeedNoGoroutines(t *testing.T) {
	p := newPages(100)
	_, addr := start(t, p, nil)
	before := runtime.NumGoroutine()
	for n := range 50 {
		c := dial(t, addr)
		if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n); err != nil {
			t.Fatal(err)
		}
		if err := c.take(p, n); err != nil {
			t.Fatal(err)
		}
	}
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("%d goroutines more for 50 connections", n)
	}
}

// TestAnswersThatDoNotFit: what the kernel cannot take at once goes out all the same, from a goroutine, whole and
// counted; large ones are never sent by a loop.
func TestAnswersThatDoNotFit(t *testing.T) {
	p := newPages(1 << 20)
	_, addr := start(t, p, nil)
	var group sync.WaitGroup
	sizes := []int{inline, inline + 1, 100 << 10, largeTurn, largeTurn + 1, 1 << 20}
	const each = 20
	for range 4 {
		c := dial(t, addr)
		if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		var ask strings.Builder
		for i := range each {
			fmt.Fprintf(&ask, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", sizes[i%len(sizes)])
		}
		group.Go(func() { _, _ = io.WriteString(c, ask.String()) })
		group.Go(func() {
			time.Sleep(50 * time.Millisecond) // the answers pile up
			for i := range each {
				if err := c.take(p, sizes[i%len(sizes)]); err != nil {
					t.Errorf("answer %d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()
	want := int64(0)
	for i := range each {
		want += 4 * int64(sizes[i%len(sizes)])
	}
	for range 100 {
		p.mu.Lock()
		sent := p.sent
		p.mu.Unlock()
		if sent == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d bytes counted as sent, not %d", p.sent, want)
}

// TestManyInOneTurn: a client that sends more requests than a turn has room for gets all answers, in order.
func TestManyInOneTurn(t *testing.T) {
	p := newPages(1000)
	_, addr := start(t, p, nil)
	c := dial(t, addr)
	var ask strings.Builder
	for n := range 10 * maxTurn {
		fmt.Fprintf(&ask, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n)
	}
	for range 3 {
		go func() { _, _ = io.WriteString(c, ask.String()) }()
		for n := range 10 * maxTurn {
			if err := c.take(p, n); err != nil {
				t.Fatal(n, err)
			}
		}
	}
}

// TestReturnsToTheLoop: a connection that has needed a goroutine rests in its loop again.
func TestReturnsToTheLoop(t *testing.T) {
	p := newPages(100)
	close(p.released)
	s, addr := startWith(t, p, nil, 1)
	c := dial(t, addr)
	for range 3 {
		if err := c.get("/wait", "waited"); err != nil {
			t.Fatal(err)
		}
		rests(t, s, 1)
		if err := c.get("/5", string(p.memory[:5])); err != nil {
			t.Fatal(err)
		}
		rests(t, s, 1)
	}
}

// TestReturnsToTheLoopAtOnce: some answers that need not wait, and the goroutine is given up.
func TestReturnsToTheLoopAtOnce(t *testing.T) {
	p := newPages(100)
	close(p.released)
	_, addr := start(t, p, nil)
	before := runtime.NumGoroutine()
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = dial(t, addr)
	}
	for round := range 3 {
		for _, c := range clients {
			if err := c.get("/wait", "waited"); err != nil {
				t.Fatal(err)
			}
		}
		if n := runtime.NumGoroutine() - before; n < len(clients) {
			t.Fatalf("%d goroutines for %d connections that have had to wait", n, len(clients))
		}
		for n := range returnAfter + round {
			for _, c := range clients {
				if err := c.get(fmt.Sprint("/", n), string(p.memory[:n])); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 100 {
			if runtime.NumGoroutine()-before < 10 {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if n := runtime.NumGoroutine() - before; n >= 10 {
			t.Fatalf("%d goroutines for connections that need none", n)
		}
	}
}

// TestToAndFroLosesNoRequest: connections that leave their loop and return to it again and again, while the sweeper sends
// them to rest.
func TestToAndFroLosesNoRequest(t *testing.T) {
	p := newPages(1000)
	close(p.released)
	_, addr := startWith(t, p, nil, 1)
	var group sync.WaitGroup
	for i := range 32 {
		c := dial(t, addr)
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 2))
			for range 200 {
				n, burst := rnd.IntN(1000), 1+rnd.IntN(4)
				ask := strings.Repeat(fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n), burst)
				if rnd.IntN(3) == 0 {
					if err := c.get("/wait", "waited"); err != nil {
						t.Error(err)
						return
					}
				}
				cut := rnd.IntN(len(ask))
				_, _ = io.WriteString(c, ask[:cut])
				if rnd.IntN(8) == 0 {
					time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
				}
				_, _ = io.WriteString(c, ask[cut:])
				for range burst {
					if err := c.take(p, n); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
}

// TestClientsThatLeaveALoop end their connections at once, however they leave: with a request in front or behind, in
// the middle of a head, by a reset.
func TestClientsThatLeaveALoop(t *testing.T) {
	p := newPages(100)
	s, addr := start(t, p, nil)
	leave := []func(c *net.TCPConn){
		func(c *net.TCPConn) { c.Close() },
		func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
		func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
			_ = c.CloseWrite()
		},
		func(c *net.TCPConn) { _, _ = io.WriteString(c, "GET /1 HT"); _ = c.CloseWrite() },
		func(c *net.TCPConn) { _, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"); c.Close() },
	}
	for i := range 10 * len(leave) {
		c := dial(t, addr)
		if i%2 == 0 {
			if err := c.get("/3", string(p.memory[:3])); err != nil {
				t.Fatal(err)
			}
		}
		leave[i%len(leave)](c.Conn.(*net.TCPConn))
	}
	allEnd(t, s)
}

// TestDrainOfALoop: connections that rest, that are served and that wait all end with the server, none of them
// without the answer it was owed.
func TestDrainOfALoop(t *testing.T) {
	p := newPages(100)
	s, err := New(p, Settings{Listeners: []Config{{Address: "127.0.0.1:0"}}, Limits: DefaultLimits()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- s.Run(ctx, func() (think, grace time.Duration) { return 50 * time.Millisecond, 10 * time.Second })
	}()
	addr := s.Addrs()[0].String()
	dial(t, addr) // never says a word
	rests, waits := dial(t, addr), dial(t, addr)
	if err := rests.get("/5", string(p.memory[:5])); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(waits, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	time.Sleep(20 * time.Millisecond)
	stop()
	time.Sleep(10 * time.Millisecond)
	// A request that comes in time is answered, and told that it is the last.
	_, _ = io.WriteString(rests, "GET /6 HTTP/1.1\r\nHost: a\r\n\r\n")
	if res, err := http.ReadResponse(rests.br, nil); err != nil || !res.Close {
		t.Error(res, err)
	}
	time.Sleep(100 * time.Millisecond)
	close(p.released)
	if res, err := http.ReadResponse(bufio.NewReader(waits), nil); err != nil || !res.Close {
		t.Error(res, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := s.cold(); n != 0 {
		t.Errorf("%d connections rest", n)
	}
}

// TestEndBehindARequest: a client that ends its side together with its last request learns at once that the server does so
// as well, wherever its connection is just then.
func TestEndBehindARequest(t *testing.T) {
	p := newPages(100)
	close(p.released)
	_, addr := start(t, p, nil)
	for waits := range returnAfter + 2 {
		c := dial(t, addr)
		for n := range waits {
			path, want := "/wait", "waited"
			if n > 0 {
				path, want = "/7", string(p.memory[:7])
			}
			if err := c.get(path, want); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		withCork(t, c.Conn.(*net.TCPConn), func() { // one segment, with the end in it
			_, _ = io.WriteString(c, "GET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
			_ = c.Conn.(*net.TCPConn).CloseWrite()
		})
		if err := c.take(p, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := c.br.ReadByte(); err != io.EOF {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 500*time.Millisecond {
			t.Errorf("after %d answers the end came after %v", waits, d)
		}
	}
}

// TestNoRoomInTheKernel: connections that no loop can take are served by goroutines.
func TestNoRoomInTheKernel(t *testing.T) {
	p := newPages(1000)
	close(p.released)
	set := Settings{Listeners: []Config{{Address: "127.0.0.1:0"}}, Limits: DefaultLimits()}
	s, err := New(p, set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.napAfter = 1
	for _, l := range s.loops {
		l.fd = -1 // the set refuses
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- s.Run(ctx, func() (think, grace time.Duration) { return 20 * time.Millisecond, time.Second })
	}()
	for range 3 {
		c := dial(t, s.Addrs()[0].String())
		for n := range 2 * returnAfter {
			if err := c.get(fmt.Sprint("/", n), string(p.memory[:n])); err != nil {
				t.Fatal(err)
			}
			if n%3 == 0 {
				time.Sleep(300 * time.Millisecond) // it is sent to rest, in vain
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// withCork has the kernel keep what write sends together.
func withCork(t *testing.T, c *net.TCPConn, write func()) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	cork := func(on int) {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, on) })
	}
	cork(1)
	write()
	cork(0)
}

// TestHalfClosedClientGetsItsAnswer: who says no more may wait for what was asked; who is gone is given up all the same,
// at once after a reset.
func TestHalfClosedClientGetsItsAnswer(t *testing.T) {
	e := &echo{hold: make(chan struct{})}
	s, addr := start(t, e, nil)
	c := dial(t, addr)
	_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	time.Sleep(4 * tick * sweepEvery) // several sweeps
	if n := e.gone.Load(); n != 0 {
		t.Fatal("it counts as gone")
	}
	e.hold <- struct{}{}
	if b := drain(c, 5*time.Second); !strings.HasSuffix(b, "waited") {
		t.Errorf("the answer is %q", b)
	}
	for name, leave := range map[string]func(*net.TCPConn){
		"closes": func(c *net.TCPConn) { c.Close() },
		"resets": func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
	} {
		before, began := e.gone.Load(), time.Now()
		c := dial(t, addr)
		_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(tick)
		leave(c.Conn.(*net.TCPConn))
		for e.gone.Load() == before && time.Since(began) < 10*time.Second {
			time.Sleep(5 * time.Millisecond)
		}
		took := time.Since(began)
		if name == "resets" && took > time.Second || took > 4*time.Second {
			t.Errorf("a client that %s is missed after %v", name, took)
		}
	}
	if n := s.Stats().Left; n != 2 {
		t.Errorf("%d clients counted as gone", n)
	}
}
