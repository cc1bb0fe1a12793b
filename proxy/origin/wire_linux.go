package origin

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"github.com/tzero-edge/tzero/internal/http1"
)

// wire is a connection on which reads and writes skip the scheduler's hand-offs: the socket is
// non-blocking, so the system call is made raw inside the poller's callback, and the goroutine parks
// only when there is nothing to do. One reader and one writer at a time, as with any stream.
type wire struct {
	net.Conn
	raw syscall.RawConn // nil when the connection is no socket; then the Conn's own methods serve

	in, out       transfer
	owed          owed
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
	p    []byte
	room http1.Lender // of a lazy read: where p comes from
	n    int
	err  syscall.Errno
}

// owed is a request that the next read sends before it reads. To look whether the connection is good, to write
// and to read is one visit to the poller then, where each by itself would cost as much as a short system call.
type owed struct {
	debt  debt
	check bool   // nothing may have arrived before
	paid  func() // called when the bytes are not needed any more
}

type debt uint8

const (
	debtNone debt = iota
	debtDue       // nothing was sent
	debtRest      // the socket's buffer was full
	debtPaid      // all was written, or can never be
	debtDead      // the connection was found dead before anything was written
)

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

// owe has the next read send p, after a look whether the connection is alive if check is set. It reports false
// where that is not possible. paid is called when p is not needed any more: at the latest by settle, which has
// to be called after that read.
func (w *wire) owe(p []byte, check bool, paid func()) bool {
	if !w.owes() {
		return false
	}
	w.owed = owed{debt: debtDue, check: check, paid: paid}
	w.out = transfer{p: p}
	return true
}

// owes reports whether owe is possible.
func (w *wire) owes() bool { return w.raw != nil }

// settle ends what owe began: it reports whether all was written. dead: the connection was found dead, and
// nothing was.
func (w *wire) settle() (whole, dead bool) {
	d := w.owed.debt
	w.paid(debtNone)
	return d == debtPaid && w.out.err == 0, d == debtDead
}

// paid lets what was to be sent go.
func (w *wire) paid(d debt) {
	w.owed.debt = d
	if w.out.p != nil {
		w.out.p = nil
		w.owed.paid()
	}
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
	return w.visit()
}

// ReadLazy reads into room that is lent only when there is something to read.
func (w *wire) ReadLazy(l http1.Lender) (int, error) {
	if w.raw == nil {
		n, err := w.Read(l.Lend())
		if n == 0 {
			l.Return()
		}
		return n, err
	}
	w.in.room = l
	return w.visit()
}

// visit goes to the poller, once, or again if what is owed does not fit into the socket's buffer.
func (w *wire) visit() (int, error) {
	err := w.raw.Read(w.readFn)
	if err == nil && w.owed.debt == debtRest {
		if err = w.raw.Write(w.writeFn); err == nil {
			w.paid(debtPaid)
			err = w.raw.Read(w.readFn)
		}
	}
	w.in.p, w.in.room = nil, nil
	switch {
	case err != nil:
		return 0, err
	case w.owed.debt == debtDead:
		return 0, errDead
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
	if w.owed.debt == debtDue {
		switch w.pay(fd) {
		case payStuck:
			return true
		case payAwaits:
			return w.dry
		}
	}
	if w.in.room != nil {
		w.in.p = w.in.room.Lend()
	}
	w.in.n, w.in.err = rawIO(syscall.SYS_RECVFROM, fd, w.in.p)
	if w.in.room != nil && w.in.n == 0 {
		w.in.room.Return()
	}
	return w.in.err != syscall.EAGAIN || w.dry
}

// payment says how to go on after pay.
type payment uint8

const (
	payStuck  payment = iota // reading makes no sense yet: the connection is dead, or there is more to write
	payReads                 // something may be there
	payAwaits                // nothing was there a moment ago: what comes wakes the poller
)

// pay sends what is owed. A connection that was looked at and found empty is not read after that: RawConn.Read has
// forgotten what it knew of the descriptor before it called, so that whatever arrives after the look is news to the poller,
// and the read that would only be told to wait is left out. Where nobody has looked, news may be older than
// that; and a failed write means that there is something to read, or an error to learn.
func (w *wire) pay(fd uintptr) payment {
	if w.owed.check && !idle(fd) {
		w.paid(debtDead)
		return payStuck
	}
	if !w.doWrite(fd) {
		w.owed.debt = debtRest
		return payStuck
	}
	w.paid(debtPaid)
	if w.owed.check && w.out.err == 0 {
		return payAwaits
	}
	return payReads
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
	if err == nil && w.out.err != 0 {
		err = os.NewSyscallError("write", w.out.err)
	}
	return n, err
}

func (w *wire) doWrite(fd uintptr) bool {
	for w.out.n < len(w.out.p) {
		n, errno := rawIO(syscall.SYS_SENDTO, fd, w.out.p[w.out.n:])
		if errno == syscall.EAGAIN {
			return false
		}
		if w.out.err = errno; errno != 0 {
			return true
		}
		w.out.n += n
		w.written += int64(n)
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

func (w *wire) doPeek(fd uintptr) { w.peeked = idle(fd) }

// idle reports whether nothing has arrived on a socket, its end included.
func idle(fd uintptr) bool {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1,
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return errno == syscall.EAGAIN
}

// rawIO sends or receives. Of a socket that takes less than read and write, which find out first what they were given.
func rawIO(trap, fd uintptr, p []byte) (int, syscall.Errno) {
	for len(p) > 0 {
		n, _, errno := syscall.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), syscall.MSG_NOSIGNAL, 0, 0)
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
