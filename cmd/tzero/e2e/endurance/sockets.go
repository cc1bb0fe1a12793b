package endurance

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Sockets are many WebSocket clients. They speak RFC 6455 by hand: a connection costs one descriptor and little memory, and the
// bytes on the wire are known.
type Sockets struct {
	live []*client
}

// OpenArgs say how many to open, and where.
type OpenArgs struct {
	Addr, Path string
	Count      int
}

// Outcomes count what became of an operation on all sockets.
type Outcomes struct {
	OK, Failed int
	Took       time.Duration
	P50, P99   time.Duration
	First      string // error
}

func (o Outcomes) String() string {
	s := fmt.Sprintf("%d in %.1f s (p50 %s, p99 %s), failed %d", o.OK, o.Took.Seconds(), milli(o.P50), milli(o.P99), o.Failed)
	if o.Failed > 0 {
		s += " (" + o.First + ")"
	}
	return s
}

// Open opens them, at most 64 at the same time.
func (s *Sockets) Open(a OpenArgs, out *Outcomes) error {
	made := make([]*client, a.Count)
	*out = each(a.Count, 64, func(i int) (err error) {
		made[i], err = openSocket(a.Addr, a.Path)
		return err
	})
	for _, c := range made {
		if c != nil {
			s.live = append(s.live, c)
		}
	}
	return nil
}

// Echo sends a message on every socket and waits for it to come back.
func (s *Sockets) Echo(_ Nothing, out *Outcomes) error {
	*out = each(len(s.live), 64, func(i int) error { return s.live[i].echo(fmt.Sprintf("message to %d", i)) })
	return nil
}

// Close says goodbye on every socket and waits for the other side's goodbye (RFC 6455 §7).
func (s *Sockets) Close(_ Nothing, out *Outcomes) error {
	*out = each(len(s.live), 64, func(i int) error {
		defer s.live[i].Close()
		return s.live[i].goodbye()
	})
	s.live = nil
	return nil
}

// each calls f for 0 … n-1 with a bounded number at the same time.
func each(n, parallel int, f func(int) error) (out Outcomes) {
	var mu sync.Mutex
	var all sync.WaitGroup
	took := make([]time.Duration, n)
	began, place := time.Now(), make(chan struct{}, parallel)
	for i := range n {
		place <- struct{}{}
		all.Go(func() {
			begin := time.Now()
			err := f(i)
			took[i] = time.Since(begin)
			<-place
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out.OK++
				return
			}
			out.Failed++
			if out.First == "" {
				out.First = err.Error()
			}
		})
	}
	all.Wait()
	out.Took = time.Since(began)
	out.P50, out.P99, _ = quantiles(took)
	return out
}

func openSocket(addr, path string) (*client, error) {
	c, err := dial(addr, patience)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	// The key and its answer are the RFC's own example, §1.3.
	_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: launch.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot ask for the upgrade: %w", err)
	}
	c.br = bufio.NewReaderSize(c, 512)
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("cannot read the answer to the upgrade: %w", err)
	}
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.Close()
		return nil, fmt.Errorf("answered %d to the upgrade", res.StatusCode)
	}
	return c, nil
}

// The opcodes of frames (RFC 6455 §5.2).
const (
	opText  = 1
	opClose = 8
)

func (c *client) echo(text string) error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.writeFrame(opText, []byte(text)); err != nil {
		return err
	}
	op, got, err := c.readFrame()
	if err != nil {
		return err
	}
	if op != opText || string(got) != text {
		return fmt.Errorf("%q came back as %q (opcode %d)", text, got, op)
	}
	return nil
}

func (c *client) goodbye() error {
	_ = c.SetDeadline(time.Now().Add(patience))
	if err := c.writeFrame(opClose, binary.BigEndian.AppendUint16(nil, 1000)); err != nil {
		return err
	}
	op, _, err := c.readFrame()
	if err == nil && op != opClose {
		err = fmt.Errorf("opcode %d in place of goodbye", op)
	}
	return err
}

// writeFrame sends a whole message of at most 125 bytes, masked as clients must.
func (c *client) writeFrame(op byte, payload []byte) error {
	frame := []byte{0x80 | op, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	for i, b := range payload {
		frame = append(frame, b^byte(1+i%4))
	}
	if _, err := c.Write(frame); err != nil {
		return fmt.Errorf("cannot send a frame: %w", err)
	}
	return nil
}

func (c *client) readFrame() (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.br, head[:]); err != nil {
		return 0, nil, fmt.Errorf("cannot read a frame: %w", err)
	}
	if head[0]&0x80 == 0 || head[1] > 125 {
		return 0, nil, errors.New("cannot read a frame: not whole and small, or masked")
	}
	payload = make([]byte, head[1])
	if _, err := io.ReadFull(c.br, payload); err != nil {
		return 0, nil, fmt.Errorf("cannot read a frame: %w", err)
	}
	return head[0] & 0x0f, payload, nil
}
