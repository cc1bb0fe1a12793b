package malformed

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	maxKept   = 4 << 20                // bytes kept of one connection: far above any case
	linger    = 150 * time.Millisecond // how long more bytes are awaited after an answer
	idleLimit = 4 * time.Second        // how long an unfinished request is awaited
)

// Origin is a TCP listener that keeps every byte it is sent and answers every request with the same clean response. It
// closes after each answer, so that one connection holds what belongs to one case.
type Origin struct {
	ln     net.Listener
	active sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]struct{}
	seen []*Seen
}

// Seen is one connection that a gateway opened.
type Seen struct {
	At  time.Time
	Raw []byte
}

// NewOrigin listens on a free loopback port until Close.
func NewOrigin() (*Origin, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the recording origin: %w", err)
	}
	o := &Origin{ln: ln, open: map[net.Conn]struct{}{}}
	o.active.Add(1)
	go o.accept()
	return o, nil
}

// Addr is host:port.
func (o *Origin) Addr() string { return o.ln.Addr().String() }

// Close stops listening, cuts what is open and waits for its goroutines.
func (o *Origin) Close() {
	o.ln.Close()
	o.mu.Lock()
	for c := range o.open {
		c.Close()
	}
	o.mu.Unlock()
	o.active.Wait()
}

func (o *Origin) accept() {
	defer o.active.Done()
	for {
		c, err := o.ln.Accept()
		if err != nil {
			return
		}
		s := &Seen{At: time.Now()}
		o.mu.Lock()
		o.open[c] = struct{}{}
		o.seen = append(o.seen, s)
		o.mu.Unlock()
		o.active.Add(1)
		go o.serve(c, s)
	}
}

// serve answers once a request is complete, or once it can no longer become one, and then goes on listening for
// surplus bytes.
func (o *Origin) serve(c net.Conn, s *Seen) {
	defer o.active.Done()
	defer func() {
		c.Close()
		o.mu.Lock()
		delete(o.open, c)
		o.mu.Unlock()
	}()
	c.SetDeadline(time.Now().Add(idleLimit))
	buf := make([]byte, 64<<10)
	answered, continued := false, false
	for {
		n, err := c.Read(buf)
		o.mu.Lock()
		if len(s.Raw)+n <= maxKept {
			s.Raw = append(s.Raw, buf[:n]...)
		}
		raw := s.Raw
		o.mu.Unlock()
		if err != nil {
			return
		}
		if answered {
			continue
		}
		reading := Read(raw)
		if reply := answer(reading); reply != "" {
			answered = true
			c.Write([]byte(reply))
			c.(*net.TCPConn).CloseWrite()
			c.SetDeadline(time.Now().Add(linger))
		} else if !continued && expects(reading) {
			continued = true
			c.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
	}
}

// answer is "" while a request is on its way. A broken request gets the clean answer too: a gateway's client must be
// able to see that it was let through.
func answer(r Reading) string {
	if !r.Broken && (len(r.Requests) == 0 || !r.Requests[0].Complete) {
		return ""
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
	if len(r.Requests) > 0 && r.Requests[0].Method == "HEAD" {
		return head
	}
	return head + "ok"
}

func expects(r Reading) bool {
	if len(r.Requests) == 0 {
		return false
	}
	for _, f := range r.Requests[0].Fields {
		if strings.EqualFold(f.Name, "Expect") && strings.EqualFold(f.Value, "100-continue") {
			return true
		}
	}
	return false
}

// Settle waits until no connection is open any more.
func (o *Origin) Settle(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		o.mu.Lock()
		n := len(o.open)
		o.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot wait for %d connections to the origin to end: %w", n, ctx.Err())
		case <-tick.C:
		}
	}
}

var idPattern = regexp.MustCompile(`c[0-9]{4}z`)

// take returns the connections by the id found in their bytes and forgets them. Those without one are under "".
// Connections on which nothing came are left out: a gateway may connect ahead of need.
func (o *Origin) take() map[string][]*Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	byID := map[string][]*Seen{}
	for _, s := range o.seen {
		if len(s.Raw) > 0 {
			id := string(idPattern.Find(s.Raw))
			byID[id] = append(byID[id], s)
		}
	}
	o.seen = nil
	return byID
}
