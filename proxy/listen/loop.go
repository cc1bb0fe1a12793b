package listen

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// loop is where connections wait for requests without a goroutine of their own, and where requests are answered
// that need not wait for anything: a set of the kernel's (epoll), edge-triggered, and one goroutine that serves what
// the set reports. A request that has to wait, for the origin or for more of itself, leaves with its connection for a
// goroutine. The set's descriptor lies in the runtime's poller, so that waiting for it costs no thread.
//
// A connection is the loop's from put until claim, release or its end. While it rests its phase is phaseResting, and
// only under mu does it leave that phase: for the loop's goroutine, which serves it, or for somebody's claim.
type loop struct {
	fd     int
	file   *os.File // owns fd
	raw    syscall.RawConn
	n      atomic.Int64 // connections that rest without buffers
	closed atomic.Bool

	mu    sync.Mutex
	spots []*conn // by descriptor

	serve  func(c *conn, ending bool)
	events [256]unix.EpollEvent
	woken  []woken
}

// woken is a connection that something came on. ending: the end of what its client sends may have come, too, so that a
// short read says nothing.
type woken struct {
	c      *conn
	ending bool
}

func newLoop(serve func(c *conn, ending bool)) (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch connections: %w", os.NewSyscallError("epoll_create1", err))
	}
	l := &loop{fd: fd, file: os.NewFile(uintptr(fd), "connections"), serve: serve}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		_ = l.file.Close()
		return nil, fmt.Errorf("cannot watch connections: %w", err)
	}
	return l, nil
}

// put takes c over. It reports false where the kernel has no room: c stays the caller's then.
//
// It registers c before it puts its descriptor into the set: the event may come at once, and whoever learns of it
// waits for the lock. The kernel forgets a descriptor when it is closed, so that only connections of the loop are in
// its set.
func (l *loop) put(c *conn) bool {
	fd := c.fd
	_, _, word := c.in.read(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	for fd >= len(l.spots) {
		l.spots = append(l.spots, make([]*conn, max(1024, len(l.spots)))...)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff, Fd: int32(fd)}
	if unix.EpollCtl(l.fd, unix.EPOLL_CTL_ADD, fd, &event) != nil {
		return false
	}
	l.spots[fd] = c
	if c.rd == nil {
		l.n.Add(1)
	}
	c.in.move(word, phaseResting)
	return true
}

// claim takes c, which rests since word was read, out of the loop; false when it does not, or has been served since. Its
// owner is the caller then.
func (l *loop) claim(c *conn, word uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if phase(word>>56) != phaseResting || !c.in.move(word, phaseQuiet) {
		return false
	}
	if c.rd == nil {
		l.n.Add(-1)
	}
	l.drop(c)
	return true
}

// release takes c, which the loop's goroutine serves, out of the loop.
func (l *loop) release(c *conn) {
	_ = unix.EpollCtl(l.fd, unix.EPOLL_CTL_DEL, c.fd, nil)
	l.forget(c)
}

// forget is release for a connection that is closed next, which takes it out of the set.
func (l *loop) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(c)
}

func (l *loop) drop(c *conn) { l.spots[c.fd] = nil }

// cool has c, which has rested for a while, give its buffers back.
func (l *loop) cool(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, _, _ := c.in.read(0); p == phaseResting && c.rd != nil {
		c.stow()
		l.n.Add(1)
	}
}

// run serves connections until close. It does so inside the poller's callback, and waits after every batch: if
// something came meanwhile the poller says so at once, and if not it looks after all that others wait for.
func (l *loop) run() error {
	var failed error
	err := l.raw.Read(func(fd uintptr) bool {
		n, err := unix.EpollWait(int(fd), l.events[:], 0)
		if err != nil && err != unix.EINTR {
			failed = err
			return true
		}
		for n > 0 {
			for _, w := range l.collect(l.events[:n]) {
				l.serve(w.c, w.ending)
			}
			clear(l.woken)
			if n < len(l.events) {
				break
			}
			if n, err = unix.EpollWait(int(fd), l.events[:], 0); err != nil {
				n = 0
			}
		}
		return false
	})
	switch {
	case l.closed.Load():
		return nil
	case err == nil:
		err = failed
	}
	return fmt.Errorf("cannot watch connections: %w", err)
}

// collect takes the connections of the events in hand. An event of a connection that was ended meanwhile may meet
// another one on the same descriptor: that one looks, finds nothing and rests again.
func (l *loop) collect(events []unix.EpollEvent) []woken {
	l.woken = l.woken[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		e := &events[i]
		c := l.spots[e.Fd]
		if c == nil {
			continue
		}
		if p, _, word := c.in.read(0); p != phaseResting || !c.in.move(word, phaseQuiet) {
			continue
		}
		if c.rd == nil {
			l.n.Add(-1)
		}
		l.woken = append(l.woken, woken{c, e.Events&^unix.EPOLLIN != 0})
	}
	return l.woken
}

func (l *loop) close() {
	l.closed.Store(true)
	_ = l.file.Close()
}
