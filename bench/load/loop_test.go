//go:build linux

package load

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// stage is a loop with one connection and the server's end of it, both in the test's hands.
type stage struct {
	*loop
	t      *testing.T
	server net.Conn
	in     *bufio.Reader
}

func newStage(t *testing.T, job Job, bufSize int) *stage {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	job.Addr, job.Order = ln.Addr().String(), []uint32{0}
	l, err := newLoop(&job, 1, 1, 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.buf = l.buf[:bufSize]
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &stage{l, t, server, bufio.NewReader(server)}
}

func (s *stage) ask() {
	s.t.Helper()
	if err := s.send(&s.conns[0], s.now()); err != nil {
		s.t.Fatal(err)
	}
}

// asked reads one request.
func (s *stage) asked() {
	s.t.Helper()
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = s.in.ReadString('\n'); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) answer(p string) {
	s.t.Helper()
	if _, err := io.WriteString(s.server, p); err != nil {
		s.t.Fatal(err)
	}
}

// until has the loop take events until it has counted n outcomes.
func (s *stage) until(n int64) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); s.res.Requests+s.failed < n; {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d answers and faults %v after a long wait, want %d outcomes", s.res.Requests, s.res.Faults, n)
		}
		if err := s.wait(time.Second); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) wantFaults(want map[string]int64) {
	s.t.Helper()
	if !maps.Equal(s.res.Faults, want) {
		s.t.Errorf("faults %v, want %v", s.res.Faults, want)
	}
}

// answerOf is an answer of so many bytes altogether.
func answerOf(size int) (answer string, content int64) {
	const head = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: %d\r\n\r\n"
	n := size - len(fmt.Sprintf(head, 0))
	n -= len(strconv.Itoa(n)) - 1
	return fmt.Sprintf(head, n) + strings.Repeat("x", n), int64(n)
}

func TestPiecesMakeAnAnswerWhateverTheyFill(t *testing.T) {
	const buf = 128
	for _, size := range []int{buf - 1, buf, buf + 1, 2*buf - 1, 2 * buf, 2*buf + 1, 5 * buf} {
		answer, content := answerOf(size)
		q := Request{Bytes: get.Bytes, Status: 200, Length: content}
		s := newStage(t, Job{Requests: []Request{q}, Limit: 100}, buf)
		s.ask()
		outcomes := int64(0)
		for _, cut := range []int{0, 1, 20, min(buf, size-1), size / 2, size - 1} {
			s.asked()
			s.answer(answer[:cut])
			if err := s.wait(0); err != nil {
				t.Fatal(err)
			}
			if s.res.Requests != outcomes {
				t.Fatalf("%d bytes, cut at %d: %d answers before the last piece, want %d", size, cut, s.res.Requests, outcomes)
			}
			s.answer(answer[cut:])
			outcomes++
			s.until(outcomes)
		}
		s.wantFaults(map[string]int64{})
		if s.res.Requests != outcomes || s.res.Bytes != outcomes*content {
			t.Errorf("%d bytes: %d answers with %d bytes of content, want %d", size, s.res.Requests, s.res.Bytes, outcomes)
		}
	}
}

// What follows an answer is found even where the answer fills the buffer, and is never taken for the next one.
func TestWhatFollowsAnAnswerIsSurplus(t *testing.T) {
	const buf = 128
	for _, size := range []int{buf - 1, buf, 2 * buf} {
		answer, content := answerOf(size)
		s := newStage(t, Job{Requests: []Request{{Bytes: get.Bytes, Status: 200, Length: content}}, Limit: 100}, buf)
		s.ask()
		s.asked()
		s.answer(answer + answer)
		s.until(1)
		s.wantFaults(map[string]int64{"surplus": 1})
	}
}

func TestWhatNobodyAskedForIsAFault(t *testing.T) {
	answer, _ := answerOf(100)
	s := newStage(t, Job{Requests: []Request{get}, Rate: 1, Measure: time.Hour}, 128)
	s.answer(answer)
	s.until(1)
	s.wantFaults(map[string]int64{"unasked": 1})
}

func TestAHeadWithoutEndIsAFault(t *testing.T) {
	s := newStage(t, Job{Requests: []Request{get}, Limit: 100}, 16<<10)
	s.ask()
	s.asked()
	s.answer("HTTP/1.1 200 OK\r\n")
	s.answer(strings.Repeat("X-Filler: 0123456789\r\n", maxHead/20))
	s.until(1)
	s.wantFaults(map[string]int64{"long-head": 1})
}

func TestConnectionsThatEndAreFaultsAndReplaced(t *testing.T) {
	answer, content := answerOf(100)
	for name, end := range map[string]func(*net.TCPConn){
		"before the answer": func(c *net.TCPConn) { c.Close() },
		"within the answer": func(c *net.TCPConn) { _, _ = io.WriteString(c, answer[:90]); c.Close() },
		"by a reset":        func(c *net.TCPConn) { _ = c.SetLinger(0); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			addr := listener(t, func(c *net.TCPConn) {
				in := bufio.NewReader(c)
				for range 3 {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					_, _ = io.WriteString(c, answer)
				}
				if _, err := http.ReadRequest(in); err == nil {
					end(c)
				}
			})
			res, err := Run(&Job{Addr: addr, Connections: 1, Requests: []Request{{Bytes: get.Bytes, Status: 200, Length: content}}, Order: []uint32{0}, Limit: 40})
			if err != nil {
				t.Fatal(err)
			}
			if res.Requests != 30 || !maps.Equal(res.Faults, map[string]int64{"closed": 10}) {
				t.Errorf("%d answers and faults %v, want 30 and 10 times closed", res.Requests, res.Faults)
			}
		})
	}
}

// The end of the stream that lies behind a short read has no event of its own.
func TestAnEndBehindAnAnswerIsSeen(t *testing.T) {
	s := newStage(t, Job{Requests: []Request{get}, Limit: 100}, 1024)
	s.ask()
	s.asked()
	s.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	s.server.(*net.TCPConn).CloseWrite()
	for s.failed == 0 {
		s.until(s.res.Requests + s.failed + 1) // the answer may be taken before the end comes
	}
	s.wantFaults(map[string]int64{"closed": 1})
}

// listener serves every connection with serve, one at a time for each.
func listener(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return ln.Addr().String()
}

func TestAnInterruptedPollHasNoEvents(t *testing.T) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	defer interruptAll(t)()
	events := make([]unix.EpollEvent, 1)
	early := 0
	for range 20 {
		begin := time.Now()
		if n, errno := poll(epoll, events, longestWait); n != 0 || errno != 0 {
			t.Fatalf("%d events, error %v", n, errno)
		}
		if time.Since(begin) < longestWait {
			early++
		}
	}
	if early == 0 {
		t.Error("no signal has ended a wait: the test tests nothing")
	}
}

// Signals and the collector stop neither loop, and neither loop stops the collector.
func TestInterruptedLoopsGoOn(t *testing.T) {
	addr := site(t, func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Millisecond)
		_, _ = io.WriteString(w, "ok")
	})
	defer interruptAll(t)()
	for _, rate := range []float64{0, 500} {
		res, err := Run(&Job{Addr: addr, Connections: 4, Threads: 2, Requests: []Request{get}, Order: []uint32{0}, Measure: 300 * time.Millisecond, Rate: rate})
		if err != nil {
			t.Fatal(err)
		}
		if res.Requests < 50 || len(res.Faults) > 0 {
			t.Errorf("rate %v: %d answers, faults %v", rate, res.Requests, res.Faults)
		}
	}
}

// interruptAll sends the runtime's own signal to every thread, and has the collector run, until the returned function is called.
func interruptAll(t *testing.T) (stop func()) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
			threads, _ := os.ReadDir("/proc/self/task")
			for _, th := range threads {
				if id, err := strconv.Atoi(th.Name()); err == nil {
					_ = unix.Tgkill(unix.Getpid(), id, unix.SIGURG)
				}
			}
			runtime.GC()
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

func TestARequestAllocatesNothing(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"
	s := newStage(t, Job{Requests: []Request{get}, Limit: 1 << 30}, 1024)
	go func() {
		request, out := make([]byte, len(get.Bytes)), []byte(answer)
		for {
			if _, err := io.ReadFull(s.in, request); err != nil {
				return
			}
			if _, err := s.server.Write(out); err != nil {
				return
			}
		}
	}()
	s.ask()
	if n := testing.AllocsPerRun(200, func() { s.until(s.res.Requests + 1) }); n > 0 {
		t.Errorf("a request costs the client %v allocations", n)
	}
	s.wantFaults(map[string]int64{})
}
