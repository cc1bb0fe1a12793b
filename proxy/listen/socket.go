package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"github.com/tzero-edge/tzero/internal/http1"
)

// socket is a client's TCP connection. It is non-blocking, so that its system calls are made raw inside the
// poller's callbacks: the scheduler is told nothing, and the goroutine parks only when there is nothing to
// do. That is a third of what a hit costs.
//
// On top of that one callback can serve many requests ([conn.ride]). Within it the goroutine holds the
// descriptor's read lock, reads without waiting, and returns from the callback to wait. For a loop, a read that
// does not fill its room has emptied the kernel's queue; whatever comes later wakes the loop again, so that the
// read which would only be told so is left out (epoll(7), question 9).
type socket struct {
	net.Conn
	raw   syscall.RawConn
	early []byte // read together with a PROXY header

	lender      http1.Lender
	in          transfer
	out         vector
	rest        vector                // what send has left unsent for a loop
	lazy, write func(fd uintptr) bool // made once, so that a call allocates nothing
	serve       func() bool
	rideFn      func(fd uintptr) bool
	blocked     func(moved bool) bool // before a write waits; moved: since it waited last
	riding      bool                  // inside a read callback, on descriptor fd
	fd          uintptr
	dry         bool // nothing is left to read until the poller says otherwise
	trusting    bool // riding for a loop: a short read counts as an empty queue
	looped      bool // riding for a loop, which cannot wait
	moved       bool // something was written since it waited last
}

// transfer is one read's outcome.
type transfer struct {
	n   int
	err syscall.Errno
}

// vector is what is still to be written: a head and its content.
type vector struct {
	head, body []byte
	err        syscall.Errno
}

// errDry tells that a riding read, or a write for a loop, would have to wait.
var errDry = errors.New("not without waiting")

// adopt lets a goroutine wait for the socket; until then only a loop may use it.
func (s *socket) adopt(st *stream) {
	s.Conn, s.raw = st, st.raw
	s.lazy, s.write, s.rideFn = s.readLazily, s.flush, s.woken
}

// ReadLazy implements http1.LazySource.
func (s *socket) ReadLazy(l http1.Lender) (int, error) {
	if len(s.early) > 0 {
		n := copy(l.Lend(), s.early)
		s.early = s.early[n:]
		return n, nil
	}
	s.lender = l
	if s.riding {
		if s.dry || !s.readLazily(s.fd) {
			s.dry = true
			return 0, errDry
		}
		return s.result()
	}
	if err := s.raw.Read(s.lazy); err != nil {
		return 0, err
	}
	return s.result()
}

func (s *socket) readLazily(fd uintptr) bool {
	p := s.lender.Lend()
	s.in.n, s.in.err = rawRead(fd, p)
	if s.in.err == syscall.EAGAIN {
		s.lender.Return()
		return false
	}
	s.dry = s.trusting && s.in.n < len(p)
	return true
}

func (s *socket) result() (int, error) {
	switch {
	case s.in.err != 0:
		return 0, os.NewSyscallError("read", s.in.err)
	case s.in.n == 0:
		return 0, io.EOF
	}
	return s.in.n, nil
}

// Read implements io.Reader, for the rest of a head and for content.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case len(s.early) > 0:
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	case s.riding:
		return 0, errDry // the rest of a head is waited for outside
	}
	return s.Conn.Read(p)
}

// ride calls serve from within the poller's callback, each time that there may be something to read, until it
// reports true; then it returns nil, and otherwise the poller's error. The poller does not say whether the end of the
// client's sending came along, so that no short read is trusted here.
func (s *socket) ride(serve func() bool) error {
	s.serve = serve
	err := s.raw.Read(s.rideFn)
	s.riding = false
	return err
}

// rideOn calls serve for a loop that has been told of descriptor fd, once: what comes later, the loop is told of
// again, the end of the client's sending included. Where that may have come already, wary has no short read trusted.
func (s *socket) rideOn(fd int, wary bool, serve func() bool) bool {
	s.fd, s.riding, s.dry, s.trusting, s.looped = uintptr(fd), true, false, !wary, true
	over := serve()
	s.riding, s.trusting, s.looped = false, false, false
	return over
}

func (s *socket) woken(fd uintptr) bool {
	s.fd, s.riding, s.dry = fd, true, false
	return s.serve()
}

// send writes head and then body, in one system call if the kernel has room for both. blocked is told
// whenever it has to wait, and can end it by returning false.
func (s *socket) send(head, body []byte, blocked func(moved bool) bool) (int, error) {
	total := len(head) + len(body)
	if s.riding { // the descriptor is held already; what it cannot take now waits for the poller
		n, errno := rawWrite(s.fd, head, body)
		switch {
		case n == total:
			return total, nil
		case errno != 0 && errno != syscall.EAGAIN:
			return 0, os.NewSyscallError("write", errno)
		}
		k := min(n, len(head))
		head, body = head[k:], body[n-k:]
		if s.looped {
			s.rest = vector{head: head, body: body}
			return n, errDry
		}
	}
	s.out, s.blocked, s.moved = vector{head: head, body: body}, blocked, false
	err := s.raw.Write(s.write)
	left := len(s.out.head) + len(s.out.body)
	errno := s.out.err
	s.out, s.blocked = vector{}, nil
	if err == nil && errno != 0 {
		err = os.NewSyscallError("write", errno)
	}
	if err == nil && left > 0 {
		err = os.ErrDeadlineExceeded
	}
	return total - left, err
}

func (s *socket) flush(fd uintptr) bool {
	o := &s.out
	for len(o.head)+len(o.body) > 0 {
		n, errno := rawWrite(fd, o.head, o.body)
		switch {
		case errno == syscall.EAGAIN:
			more := s.blocked(s.moved)
			s.moved = false
			return !more
		case errno != 0:
			o.err = errno
			return true
		}
		s.moved = true
		k := min(n, len(o.head))
		o.head, o.body = o.head[k:], o.body[n-k:]
	}
	return true
}

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

func rawWrite(fd uintptr, head, body []byte) (int, syscall.Errno) {
	for {
		var n uintptr
		var errno syscall.Errno
		switch {
		case len(body) == 0:
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(head))), uintptr(len(head)), syscall.MSG_NOSIGNAL, 0, 0)
		case len(head) == 0:
			n, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(body))), uintptr(len(body)), syscall.MSG_NOSIGNAL, 0, 0)
		default:
			iov := [2]syscall.Iovec{{Base: &head[0], Len: uint64(len(head))}, {Base: &body[0], Len: uint64(len(body))}}
			n, _, errno = syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&iov[0])), 2)
		}
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}
