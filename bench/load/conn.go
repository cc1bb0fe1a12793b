//go:build linux

package load

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one keep-alive connection.
type conn struct {
	fd   int
	at   int32         // index in loop.conns
	busy bool          // a request is out
	due  time.Duration // when the request was due (open loop) or sent, on the loop's clock
	q    *Request
	out  []byte // scratch for numbered requests
	resp response
}

// dial connects over loopback, which blocks only until the kernel's handshake is done.
func dial(addr string) (int, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return -1, fmt.Errorf("cannot connect to %s: %w", addr, err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot make a socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot connect to %s: %w", addr, err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot set TCP_NODELAY: %w", err)
	}
	return fd, nil
}

// bytes returns what to send for q; n is the running number.
func (c *conn) bytes(q *Request, n int64) []byte {
	if q.Number == 0 {
		return q.Bytes
	}
	c.out = append(c.out[:0], q.Bytes...)
	for i := q.Number + NumberDigits - 1; i >= q.Number; i-- {
		c.out[i] = '0' + byte(n%10)
		n /= 10
	}
	return c.out
}
