package tunnel

import (
	"io"
	"net"
	"sync"
)

const (
	flowBuffer  = 32 << 10
	smallBuffer = 512
)

// source reads one direction. Between next and done it may hold a large buffer, while it waits for the
// first byte it holds none.
type source interface {
	// next waits for bytes. They are valid until done.
	next() ([]byte, error)
	done()
}

func newSource(nc net.Conn, pool *sync.Pool) source {
	if s := newSocket(nc, pool); s != nil {
		return s
	}
	return &stream{src: nc, pool: pool}
}

func takeBuffer(pool *sync.Pool) *[]byte {
	if b, ok := pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, flowBuffer)
	return &b
}

// stream is a source of which nothing is known but how to read it, such as TLS. It waits with a small
// buffer; only a read that fills it shows that more is coming, and the next reads use a large one until
// the flow ebbs.
type stream struct {
	src   io.Reader
	pool  *sync.Pool
	small [smallBuffer]byte
	large *[]byte
	surge bool
}

func (s *stream) next() ([]byte, error) {
	p := s.small[:]
	if s.surge {
		s.large = takeBuffer(s.pool)
		p = *s.large
	}
	n, err := s.src.Read(p)
	s.surge = n >= smallBuffer
	if n > 0 {
		return p[:n], nil // an error with bytes comes again at the next read
	}
	if err == nil {
		return nil, nil
	}
	s.done()
	return nil, err
}

func (s *stream) done() {
	if s.large != nil {
		s.pool.Put(s.large)
		s.large = nil
	}
}
