package endurance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Crowd is many clients that take their time, each in its own way.
type Crowd struct {
	mu   sync.Mutex
	tell Tally
	live map[net.Conn]struct{}

	stop chan struct{}
	done sync.WaitGroup
}

// CrowdArgs say how many of each kind come.
type CrowdArgs struct {
	Addr    string
	Heads   int // send a header section byte by byte
	Bodies  int // send a request's content byte by byte
	Readers int // take an answer a kilobyte at a time
	Idlers  int // connect and say nothing
	Keepers int // ask once, then keep the connection
	Path    string
	Pace    time.Duration // between two bytes, or kilobytes
	Again   time.Duration // who was turned out comes back after this time; 0: never
}

// Tally counts what became of a crowd.
type Tally struct {
	Open, Most int
	Opened     int
	Ended      map[string]int // kind: how
}

func (t Tally) String() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(t.Ended)) {
		all = append(all, fmt.Sprintf("%s %d", k, t.Ended[k]))
	}
	return strings.Join(all, ", ")
}

// slow is one kind of slow client: what it sends first, and what it does at its pace.
type slow struct {
	kind, hello string
	step        func(nc net.Conn) error // nil: wait only
	reads       bool                    // it takes its answer in steps
}

func (a CrowdArgs) kinds() []slow {
	drip := func(nc net.Conn) error { _, err := nc.Write([]byte("a")); return err }
	const head = " HTTP/1.1\r\nHost: launch.example\r\n"
	return slices.Concat(
		slices.Repeat([]slow{{kind: "head", hello: "GET " + a.Path + head + "X-Slow: ", step: drip}}, a.Heads),
		slices.Repeat([]slow{{kind: "body", hello: "POST /upload" + head + "Content-Length: 100000\r\n\r\n", step: drip}}, a.Bodies),
		slices.Repeat([]slow{{kind: "reader", hello: "GET " + a.Path + head + "\r\n", reads: true}}, a.Readers),
		slices.Repeat([]slow{{kind: "idle"}}, a.Idlers),
		slices.Repeat([]slow{{kind: "keeper", hello: "GET /page" + head + "\r\n"}}, a.Keepers),
	)
}

// Start lets them all come, 500 connections within 100 ms at most.
func (c *Crowd) Start(a CrowdArgs, _ *Nothing) error {
	c.tell, c.live, c.stop = Tally{Ended: map[string]int{}}, map[net.Conn]struct{}{}, make(chan struct{})
	kinds := a.kinds()
	stride := 7919 // a prime: the kinds come mixed
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range kinds {
		if i%500 == 499 {
			<-tick.C
		}
		k := kinds[i*stride%len(kinds)]
		c.done.Add(1)
		go func() {
			defer c.done.Done()
			for c.visit(a, k) && a.Again > 0 && c.pause(a.Again) {
			}
		}()
	}
	return nil
}

// visit is one connection's life; false when the crowd was called off.
func (c *Crowd) visit(a CrowdArgs, k slow) bool {
	nc, err := net.DialTimeout("tcp", a.Addr, patience)
	if err != nil {
		c.ended(nil, k.kind+": cannot connect")
		return true
	}
	if k.reads {
		_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	if !c.opened(nc) {
		nc.Close()
		return false
	}
	how := c.behave(nc, a, k)
	nc.Close()
	select {
	case <-c.stop:
		c.ended(nc, "")
		return false
	default:
		c.ended(nc, k.kind+": "+how)
		return true
	}
}

func (c *Crowd) behave(nc net.Conn, a CrowdArgs, k slow) string {
	if _, err := io.WriteString(nc, k.hello); err != nil {
		return end(err)
	}
	br := bufio.NewReaderSize(nc, 512)
	if k.reads {
		return c.sip(nc, br, a.Pace)
	}
	for {
		_ = nc.SetReadDeadline(time.Now().Add(a.Pace))
		_, err := br.Peek(1)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err != nil:
			return end(err)
		default:
			_ = nc.SetReadDeadline(time.Now().Add(patience))
			res, err := http.ReadResponse(br, nil)
			if err != nil {
				return end(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			if k.kind != "keeper" || res.StatusCode != 200 {
				return fmt.Sprint(res.StatusCode)
			}
			k.step = nil
		}
		if k.step != nil {
			_ = k.step(nc) // a failure shows in the next read, together with an answer that came before it
		}
	}
}

// sip takes a kilobyte at a time.
func (c *Crowd) sip(nc net.Conn, br *bufio.Reader, pace time.Duration) string {
	_ = nc.SetReadDeadline(time.Now().Add(time.Hour))
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return end(err)
	}
	for {
		if _, err := io.CopyN(io.Discard, res.Body, 1<<10); err != nil {
			return end(err)
		}
		if !c.pause(pace) {
			return ""
		}
	}
}

func end(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	}
	return "failed"
}

func (c *Crowd) pause(d time.Duration) bool {
	select {
	case <-c.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// opened enters a connection; false when the crowd was called off meanwhile.
func (c *Crowd) opened(nc net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.stop:
		return false
	default:
	}
	c.live[nc] = struct{}{}
	c.tell.Opened++
	c.tell.Open = len(c.live)
	c.tell.Most = max(c.tell.Most, c.tell.Open)
	return true
}

func (c *Crowd) ended(nc net.Conn, how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live, nc)
	c.tell.Open = len(c.live)
	if how != "" {
		c.tell.Ended[how]++
	}
}

// Count returns the account so far.
func (c *Crowd) Count(_ Nothing, out *Tally) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	*out = c.tell
	out.Ended = maps.Clone(c.tell.Ended)
	return nil
}

// Leave closes all connections at once and returns the account.
func (c *Crowd) Leave(_ Nothing, out *Tally) error {
	close(c.stop)
	c.mu.Lock()
	for nc := range c.live {
		nc.Close()
	}
	c.mu.Unlock()
	c.done.Wait()
	return c.Count(Nothing{}, out)
}
