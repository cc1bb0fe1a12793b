package origin

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// wire is a connection on which reads and writes skip the scheduler's hand-offs: the socket is
// non-blocking, so the system call is made raw inside the poller's callback, and the goroutine parks
// only when there is nothing to do. One reader and one writer at a time, as with any stream.
type wire struct {
	net.Conn
	raw syscall.RawConn // nil when the connection is no socket; then the Conn's own methods serve

	in, out       transfer
	peeked        bool
	dry           bool // Read takes what is there and does not wait
	readFn        func(fd uintptr) bool
	writeFn       func(fd uintptr) bool
	peekFn        func(fd uintptr)
	written, read int64 // bytes so far; each belongs to its direction's goroutine
}

// transfer is one system call's argument and result; the callbacks are made once per connection, so
// that a call allocates nothing.
type transfer struct {
	p   []byte
	n   int
	err syscall.Errno
}

func newWire(nc net.Conn) *wire {
	w := &wire{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			w.raw = raw
			w.readFn, w.writeFn, w.peekFn = w.doRead, w.doWrite, w.doPeek
		}
	}
	return w
}

// Read reads what is there, or waits.
func (w *wire) Read(p []byte) (int, error) {
	if w.raw == nil || len(p) == 0 {
		if w.dry {
			return 0, errNothing{}
		}
		n, err := w.Conn.Read(p)
		w.read += int64(n)
		return n, err
	}
	w.in.p = p
	err := w.raw.Read(w.readFn)
	w.in.p = nil
	switch {
	case err != nil:
		return 0, err
	case w.in.err == syscall.EAGAIN:
		return 0, errNothing{}
	case w.in.err != 0:
		return 0, os.NewSyscallError("read", w.in.err)
	case w.in.n == 0:
		return 0, io.EOF
	}
	w.read += int64(w.in.n)
	return w.in.n, nil
}

func (w *wire) doRead(fd uintptr) bool {
	w.in.n, w.in.err = rawIO(syscall.SYS_READ, fd, w.in.p)
	return w.in.err != syscall.EAGAIN || w.dry
}

// Write writes all of p, or fails.
func (w *wire) Write(p []byte) (int, error) {
	if w.raw == nil {
		n, err := w.Conn.Write(p)
		w.written += int64(n)
		return n, err
	}
	w.out = transfer{p: p}
	err := w.raw.Write(w.writeFn)
	n := w.out.n
	w.out.p = nil
	w.written += int64(n)
	if err == nil && w.out.err != 0 {
		err = os.NewSyscallError("write", w.out.err)
	}
	return n, err
}

func (w *wire) doWrite(fd uintptr) bool {
	for w.out.n < len(w.out.p) {
		n, errno := rawIO(syscall.SYS_WRITE, fd, w.out.p[w.out.n:])
		if errno == syscall.EAGAIN {
			return false
		}
		if w.out.err = errno; errno != 0 {
			return true
		}
		w.out.n += n
	}
	return true
}

// alive reports whether an idle connection can carry a request: nothing has arrived on it, neither its
// end nor bytes that nobody asked for. Such bytes must never be taken for the answer to the next request.
func (w *wire) alive() bool {
	if w.raw == nil {
		return true
	}
	w.peeked = false
	err := w.raw.Control(w.peekFn)
	return err == nil && w.peeked
}

func (w *wire) doPeek(fd uintptr) {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1,
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	w.peeked = errno == syscall.EAGAIN
}

func rawIO(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
	return 0, 0
}
