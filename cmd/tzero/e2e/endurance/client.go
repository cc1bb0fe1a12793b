package endurance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// client is one connection that sends requests one after the other.
type client struct {
	net.Conn
	br   *bufio.Reader
	used bool // served a request already
	wait time.Duration
}

// patience bounds the waits of clients.
const patience = 20 * time.Second

// dial connects a client that waits for so long, each time.
func dial(addr string, wait time.Duration) (*client, error) {
	nc, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return &client{Conn: nc, br: bufio.NewReader(nc), wait: wait}, nil
}

// answer is what came back for a request.
type answer struct {
	status int
	close  bool // the last one on this connection
	early  bool // failed before a byte of an answer was there
}

// get asks for path and reads the whole answer.
func (c *client) get(path string) (answer, error) {
	_ = c.SetDeadline(time.Now().Add(c.wait))
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: launch.example\r\n\r\n"); err != nil {
		return answer{early: true}, fmt.Errorf("cannot send: %w", err)
	}
	if _, err := c.br.Peek(1); err != nil {
		return answer{early: true}, fmt.Errorf("no answer: %w", err)
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return answer{}, fmt.Errorf("cannot read the answer: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return answer{status: res.StatusCode}, fmt.Errorf("cannot read the content: %w", err)
	}
	c.used = true
	return answer{status: res.StatusCode, close: res.Close}, nil
}
