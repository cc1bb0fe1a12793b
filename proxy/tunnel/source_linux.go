package tunnel

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// socket is a source that waits for readability without any buffer at all.
type socket struct {
	raw  syscall.RawConn
	pool *sync.Pool
	read func(fd uintptr) bool // made once, so that a wait allocates nothing
	buf  *[]byte
	n    int
	err  error
}

// newSocket returns nil for connections that are no plain socket. Only the types are trusted whose
// bytes are the socket's own: a wrapper may hold some back.
func newSocket(nc net.Conn, pool *sync.Pool) source {
	var raw syscall.RawConn
	var err error
	switch c := nc.(type) {
	case *net.TCPConn:
		raw, err = c.SyscallConn()
	case *net.UnixConn:
		raw, err = c.SyscallConn()
	case interface{ RawSocket() syscall.RawConn }: // it says of itself that it holds no bytes back
		raw = c.RawSocket()
	}
	if raw == nil || err != nil {
		return nil
	}
	s := &socket{raw: raw, pool: pool}
	s.read = s.try
	return s
}

func (s *socket) next() ([]byte, error) {
	s.n, s.err = 0, nil
	err := s.raw.Read(s.read)
	if err == nil {
		err = s.err
	}
	if err == nil && s.n == 0 {
		err = io.EOF
	}
	if err != nil {
		s.done()
		return nil, err
	}
	return (*s.buf)[:s.n], nil
}

// try reads once; false lets the goroutine wait, without a buffer.
func (s *socket) try(fd uintptr) bool {
	if s.buf == nil {
		s.buf = takeBuffer(s.pool)
	}
	for {
		n, err := syscall.Read(int(fd), *s.buf)
		switch err {
		case nil:
			s.n = n
			return true
		case syscall.EINTR:
		case syscall.EAGAIN:
			s.done()
			return false
		default:
			s.err = os.NewSyscallError("read", err)
			return true
		}
	}
}

func (s *socket) done() {
	if s.buf != nil {
		s.pool.Put(s.buf)
		s.buf = nil
	}
}
