package listen

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stream is an accepted socket as a net.Conn: a descriptor that the runtime's poller watches. Connections whose requests
// never have to wait do without: to be watched twice costs a hit a twentieth.
type stream struct {
	file *os.File // owns the descriptor
	raw  syscall.RawConn
	peer netip.AddrPort

	hurried bool // what the kernel does not take at once is not written
}

// newStream hands fd, which is non-blocking, to the runtime.
func newStream(fd int, peer netip.AddrPort) *stream {
	s := &stream{file: os.NewFile(uintptr(fd), "client"), peer: peer}
	s.raw, _ = s.file.SyscallConn() // fails for closed files
	return s
}

// keepAlive has the kernel ask the silent ones of a port's clients, as package net does: somebody who waits for hours in a
// tunnel or for events may be gone without a word. Accepted sockets have the options of the listening one.
func keepAlive(fd int) {
	const seconds, probes = 15, 9
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes)
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.file.Read(p)
	return n, plain(err)
}

func (s *stream) Write(p []byte) (int, error) {
	if s.hurried {
		return s.writeNow(p)
	}
	n, err := s.file.Write(p)
	return n, plain(err)
}

func (s *stream) writeNow(p []byte) (n int, err error) {
	var errno syscall.Errno
	if err = s.raw.Write(func(fd uintptr) bool {
		n, errno = rawWrite(fd, p, nil)
		return true
	}); err == nil && errno != 0 {
		err = errno
	}
	return n, err
}

// plain takes the name of a file off an error. crypto/tls goes on after a deadline only if the error calls itself
// temporary, which an os.PathError does not.
func plain(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (s *stream) Close() error                       { return s.file.Close() }
func (s *stream) SetDeadline(t time.Time) error      { return s.file.SetDeadline(t) }
func (s *stream) SetReadDeadline(t time.Time) error  { return s.file.SetReadDeadline(t) }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.file.SetWriteDeadline(t) }
func (s *stream) RemoteAddr() net.Addr               { return net.TCPAddrFromAddrPort(s.peer) }

// LocalAddr is asked by nobody who could not do without.
func (s *stream) LocalAddr() net.Addr { return &net.TCPAddr{} }

// CloseWrite says that nothing more will be sent.
func (s *stream) CloseWrite() error { return s.shutdown(unix.SHUT_WR) }

func (s *stream) shutdown(how int) error {
	var failed error
	err := s.raw.Control(func(fd uintptr) { failed = unix.Shutdown(int(fd), how) })
	return errors.Join(err, failed)
}

// RawSocket gives the socket, all of whose bytes are the stream's own, to those who read it by themselves.
func (s *stream) RawSocket() syscall.RawConn { return s.raw }

// port is a listening socket.
type port struct {
	file   *os.File
	raw    syscall.RawConn
	addr   net.Addr
	closed atomic.Bool
}

// openPort listens on a TCP address.
func openPort(address string) (*port, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	p := &port{addr: ln.Addr()}
	if p.file, err = ln.(*net.TCPListener).File(); err != nil { // a descriptor of its own
		return nil, err
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	_ = p.raw.Control(func(fd uintptr) { keepAlive(int(fd)) })
	return p, nil
}

// accept waits for a connection. Its descriptor is non-blocking, and not known to the runtime.
func (p *port) accept() (fd int, peer netip.AddrPort, err error) {
	var failed error
	err = p.raw.Read(func(ln uintptr) bool {
		fd, peer, failed = acceptNow(int(ln))
		return failed != unix.EAGAIN
	})
	switch {
	case err == nil && failed == nil: // also while the port is being closed: its client is there
	case p.closed.Load():
		err = net.ErrClosed
	case err == nil:
		err = failed
	}
	return fd, peer, err
}

// acceptNow accepts a connection that is there, or fails with EAGAIN.
func acceptNow(ln int) (fd int, peer netip.AddrPort, err error) {
	fd, from, err := unix.Accept4(ln, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, peer, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		peer = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		peer = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return fd, peer, nil
}

// discard accepts one connection, if there is one, and closes it.
func (p *port) discard() (done bool) {
	_ = p.raw.Control(func(ln uintptr) {
		if fd, _, err := acceptNow(int(ln)); err == nil {
			done = unix.Close(fd) == nil
		}
	})
	return done
}

// stopQueueing has the kernel queue no more connections. It has completed those in the queue on our behalf: their clients are
// sending, and closing the socket would reset them. Clients that come later try again, and are refused.
func (p *port) stopQueueing() {
	_ = p.raw.Control(func(fd uintptr) { _ = unix.Listen(int(fd), 0) })
}

func (p *port) close() {
	p.closed.Store(true)
	_ = p.file.Close()
}
