package listen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// startNapping runs a server whose idle connections let go of everything as soon as the sweeper comes by.
func startNapping(t *testing.T, change func(*Settings)) (*Server, string) {
	t.Helper()
	return startWith(t, &echo{}, change, 1)
}

type client struct {
	net.Conn
	br *bufio.Reader
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{nc, bufio.NewReader(nc)}
}

// get asks for path and checks the answer.
func (c *client) get(path, want string) error {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(res.Body)
	if err == nil && string(b) != want {
		err = fmt.Errorf("%s: %s %q, want %q", path, res.Status, b, want)
	}
	return err
}

func rests(t *testing.T, s *Server, n int) {
	t.Helper()
	for range 400 {
		if s.cold() == n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d connections are resting, not %d", s.cold(), n)
}

func TestRestingConnectionGoesOn(t *testing.T) {
	s, addr := startNapping(t, nil)
	c := dial(t, addr)
	for range 3 {
		for path, want := range map[string]string{"/": "hello 127.0.0.1", "/chunked": "one two three"} {
			if err := c.get(path, want); err != nil {
				t.Fatal(err)
			}
			rests(t, s, 1)
		}
	}
	// A head that comes in pieces wakes it, too.
	for _, part := range []string{"GET / HT", "TP/1.1\r\nHo", "st: a\r\n\r"} {
		_, _ = io.WriteString(c, part)
		time.Sleep(10 * time.Millisecond)
	}
	_, _ = io.WriteString(c, "\n")
	if res, err := http.ReadResponse(c.br, nil); err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
}

// TestRestingFromTheStart: a connection that has not said a word rests like one that has.
func TestRestingFromTheStart(t *testing.T) {
	s, addr := startNapping(t, nil)
	c := dial(t, addr)
	rests(t, s, 1)
	if err := c.get("/", "hello 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
}

func TestRestingClientThatLeavesIsForgotten(t *testing.T) {
	s, addr := startNapping(t, nil)
	c := dial(t, addr)
	rests(t, s, 1)
	c.Close()
	allEnd(t, s)
}

// allEnd waits until no connection is open.
func allEnd(t *testing.T, s *Server) {
	t.Helper()
	for range 400 {
		if s.Stats().Open == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%d connections are still open", s.Stats().Open)
}

// TestHalfClosedClientIsLetGo: the end of a client's sending can come with its last request.
func TestHalfClosedClientIsLetGo(t *testing.T) {
	_, addr := startNapping(t, nil)
	c := dial(t, addr)
	if err := c.get("/", "hello 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, c.br); err != nil {
		t.Fatal(err)
	}
}

func TestRestingConnectionsEndInTime(t *testing.T) {
	s, addr := startNapping(t, func(set *Settings) { set.Limits.IdleTimeout = conf.Duration(700 * time.Millisecond) })
	c := dial(t, addr)
	if err := c.get("/", "hello 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	rests(t, s, 1)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.br.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if got := s.Stats().Overdue.Idle; got != 1 {
		t.Errorf("%d connections counted as idle for too long", got)
	}
}

// TestRestingConnectionsMakeRoom: at the limit, who has rested longest makes room for who comes.
func TestRestingConnectionsMakeRoom(t *testing.T) {
	s, addr := startNapping(t, func(set *Settings) { set.Limits.Connections = 4 })
	for range 4 {
		dial(t, addr)
	}
	rests(t, s, 4)
	time.Sleep(justCame*time.Millisecond + 4*tick) // by the coarse clock
	if err := dial(t, addr).get("/", "hello 127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	if s.Stats().Evicted == 0 {
		t.Error("nobody was evicted")
	}
}

// TestNapsLoseNoRequest: requests that come just when the sweeper sends their connection to the parking.
func TestNapsLoseNoRequest(t *testing.T) {
	s, addr := startNapping(t, nil)
	var group sync.WaitGroup
	for n := range 64 {
		c := dial(t, addr)
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			for range 15 {
				path, want := "/", "hello 127.0.0.1"
				if rnd.IntN(4) == 0 {
					path, want = "/chunked", "one two three"
				}
				if err := c.get(path, want); err != nil {
					t.Error(err)
					return
				}
				// Every fifth tick is a sweep.
				time.Sleep(tick*sweepEvery + time.Duration(rnd.IntN(2000)-1000)*10*time.Microsecond)
			}
		})
	}
	group.Wait()
	if s.Stats().Handshakes != 0 {
		t.Error("connections failed")
	}
}

// TestWakingIsNoRequest: what wakes a connection need not become a request, and its idle time goes on.
func TestWakingIsNoRequest(t *testing.T) {
	c := new(conn)
	c.in.enter(phaseResting, 1000)
	c.wakeIdle()
	if p, lasted, _ := c.in.read(61_000); p != phaseIdle || lasted != 60_000 {
		t.Errorf("in phase %d for %d ms", p, lasted)
	}
}
