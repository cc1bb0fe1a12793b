package crowd

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// patience bounds every client's wait, far above what any case takes.
const patience = time.Minute

// Ask is one client's request, and what is due to it.
type Ask struct {
	Method string // GET where empty
	Path   string
	Fields string // further field lines, each with its CRLF

	Status  int // due; 200 where 0
	Content []byte
	// Cut says that the origin breaks off: due is the beginning of the content, and an end that shows that it is not whole.
	Cut bool
	// Slow is a client that reads nothing of the content before this is closed; nil for others.
	Slow <-chan struct{}
}

// Answer is what became of one client.
type Answer struct {
	Wrong string // how the answer differs from what was due; empty when it is right
	Cut   bool   // the content ended before it was whole
	// CacheStatus is the gateway's word on it.
	CacheStatus string
	First, Last time.Duration // first and last byte of the answer, since the crowd was let go
}

// Followed reports whether another client's request brought the answer, Led whether this one's did.
func (a *Answer) Followed() bool { return strings.Contains(a.CacheStatus, "collapsed") }
func (a *Answer) Led() bool {
	return strings.Contains(a.CacheStatus, "fwd=") && !a.Followed()
}

// client is one connection with one request on it.
type client struct {
	ask    Ask
	conn   net.Conn
	answer Answer
}

func dial(addr string, ask Ask) (*client, error) {
	d := net.Dialer{Timeout: patience}
	if ask.Slow != nil {
		d.Control = narrow
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot connect: %w", err)
	}
	return &client{ask: ask, conn: conn}, nil
}

// narrow makes a connection that holds little under way, as one across a slow network: on the loopback, megabytes
// would fit between the gateway and a client who does not read.
func narrow(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1200),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10))
	})
	return errors.Join(err, failed)
}

func (c *client) send() error {
	method := c.ask.Method
	if method == "" {
		method = http.MethodGet
	}
	_, err := io.WriteString(c.conn, method+" "+c.ask.Path+" HTTP/1.1\r\nHost: launch.example\r\n"+c.ask.Fields+"\r\n")
	return err
}

// read takes the answer and judges it. since is when the crowd was let go.
func (c *client) read(since time.Time) {
	a := &c.answer
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	br := bufio.NewReader(c.conn)
	if _, err := br.Peek(1); err != nil {
		a.Wrong = "no answer: " + plain(err)
		a.Last = time.Since(since)
		return
	}
	a.First = time.Since(since)
	a.Wrong = c.judge(br)
	a.Last = time.Since(since)
}

func (c *client) judge(br *bufio.Reader) string {
	method := c.ask.Method
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		return "no head: " + plain(err)
	}
	defer res.Body.Close()
	c.answer.CacheStatus = res.Header.Get("Cache-Status")
	due := c.ask.Status
	if due == 0 {
		due = http.StatusOK
	}
	if res.StatusCode != due {
		return fmt.Sprintf("status %d", res.StatusCode)
	}
	if c.ask.Slow != nil {
		<-c.ask.Slow
	}
	if c.ask.Content == nil {
		_, err := io.Copy(io.Discard, res.Body)
		return plain(err)
	}
	if method == http.MethodHead {
		return headWrong(res, c.ask.Content)
	}
	body, err := decoded(res)
	if err != nil {
		return "content that cannot be decoded: " + plain(err)
	}
	return c.compare(body)
}

// compare reads the content beside what is due.
func (c *client) compare(body io.Reader) string {
	due := c.ask.Content
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > len(due) || !bytes.Equal(buf[:n], due[:n]) {
			return "other content"
		}
		due = due[n:]
		if err == nil {
			continue
		}
		c.answer.Cut = !errors.Is(err, io.EOF)
		switch {
		case c.ask.Cut && !c.answer.Cut:
			return "half an answer that looks whole"
		case c.ask.Cut:
			return ""
		case c.answer.Cut:
			return "cut: " + plain(err)
		case len(due) > 0:
			return "half an answer that looks whole"
		}
		return ""
	}
}

func headWrong(res *http.Response, due []byte) string {
	if res.ContentLength >= 0 && res.ContentLength != int64(len(due)) {
		return fmt.Sprintf("a length of %d", res.ContentLength)
	}
	return ""
}

func decoded(res *http.Response) (io.Reader, error) {
	switch res.Header.Get("Content-Encoding") {
	case "gzip":
		return gzip.NewReader(res.Body)
	case "br":
		return brotli.NewReader(res.Body), nil
	case "zstd":
		return zstd.NewReader(res.Body, zstd.WithDecoderConcurrency(1))
	}
	return res.Body, nil
}

// plain says what went wrong without addresses and ports, so that equal faults are counted together.
func plain(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &timeout) && timeout.Timeout():
		return "nothing came"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "broken off"
	case errors.Is(err, net.ErrClosed):
		return "left"
	}
	return err.Error()
}
