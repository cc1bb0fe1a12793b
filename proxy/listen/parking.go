package listen

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// parking is where idle connections wait: a set of the kernel's (epoll) beside the runtime's own, in which each
// is armed for one event. The set's descriptor lies in the runtime's poller, so that waiting for it costs no
// thread.
type parking struct {
	fd   int
	file *os.File // owns fd
	raw  syscall.RawConn
	n    atomic.Int64

	closed atomic.Bool

	mu    sync.Mutex
	spots []*conn // the parked connections by descriptor
}

func newParking() (*parking, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch idle connections: %w", os.NewSyscallError("epoll_create1", err))
	}
	p := &parking{fd: fd, file: os.NewFile(uintptr(fd), "idle connections")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, fmt.Errorf("cannot watch idle connections: %w", err)
	}
	return p, nil
}

// takes reports whether c can be parked.
func (p *parking) takes(c *conn) bool {
	_, ok := c.raw.(syscall.Conn)
	return ok
}

// len is the number of parked connections.
func (p *parking) len() int { return int(p.n.Load()) }

// park takes c over until something comes, or claim. It reports false where the kernel has no room: c stays the
// caller's then.
func (p *parking) park(c *conn) bool {
	sc, err := c.raw.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	err = sc.Control(func(fd uintptr) { ok = p.put(c, int(fd)) })
	return ok && err == nil
}

// put registers c before it arms its descriptor: the event may come at once. The kernel forgets a descriptor
// when it is closed, so that only a parked connection's can be in the set.
func (p *parking) put(c *conn, fd int) bool {
	_, _, word := c.in.read(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	for fd >= len(p.spots) {
		p.spots = append(p.spots, make([]*conn, max(1024, len(p.spots)))...)
	}
	op := unix.EPOLL_CTL_ADD
	if c.parked {
		op = unix.EPOLL_CTL_MOD
	}
	// Whoever learns of the event waits for the lock.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
	if unix.EpollCtl(p.fd, op, fd, &event) != nil {
		return false
	}
	c.parked, c.spot = true, fd
	p.spots[fd] = c
	p.n.Add(1)
	c.in.move(word, phaseParked)
	return true
}

// claim takes c out of the parking; false when it is not, or no longer, there. Its owner is the caller then.
func (p *parking) claim(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.spot < 0 || p.spots[c.spot] != c {
		return false
	}
	p.spots[c.spot] = nil
	c.spot = -1
	p.n.Add(-1)
	return true
}

// run wakes connections until close.
func (p *parking) run(wake func(*conn)) error {
	var events [256]unix.EpollEvent
	var woken []*conn
	for {
		n := 0
		var failed error
		err := p.raw.Read(func(fd uintptr) bool {
			n, failed = unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || failed != nil && failed != unix.EINTR
		})
		switch {
		case p.closed.Load():
			return nil
		case err == nil:
			err = failed
		}
		if err != nil {
			return fmt.Errorf("cannot watch idle connections: %w", err)
		}
		woken = p.leave(woken[:0], events[:n])
		for i, c := range woken {
			wake(c)
			woken[i] = nil
		}
	}
}

// leave takes the connections of the events out. An event of a connection that was ended meanwhile may meet
// another one on the same descriptor: that one looks, finds nothing and comes back.
func (p *parking) leave(dst []*conn, events []unix.EpollEvent) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		c := p.spots[e.Fd]
		if c == nil {
			continue
		}
		p.spots[e.Fd], c.spot = nil, -1
		p.n.Add(-1)
		dst = append(dst, c)
	}
	return dst
}

func (p *parking) close() {
	p.closed.Store(true)
	_ = p.file.Close()
}

// cut ends the connection without waiting for whoever uses it: Close would wait for a ride to end.
func (c *conn) cut() {
	_ = c.raw.SetDeadline(past)
	sc, ok := c.raw.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
	}
}
