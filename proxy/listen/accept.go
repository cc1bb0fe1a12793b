package listen

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// acceptState holds one spare descriptor: when the process has none left, giving it up lets a waiting
// connection be accepted and closed, so that the queue of the kernel moves and clients get a clear
// answer instead of a time-out.
type acceptState struct {
	mu    sync.Mutex
	spare *os.File
}

func (a *acceptState) hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spare == nil {
		a.spare, _ = os.Open(os.DevNull) // without a spare, shedding just waits
	}
}

func (a *acceptState) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spare != nil {
		a.spare.Close()
		a.spare = nil
	}
}

// accept runs one listener until it is closed.
func (s *Server) accept(l *listener) error {
	s.accepting.hold()
	const shortest, longest = 5 * time.Millisecond, 100 * time.Millisecond
	pause := shortest
	for {
		fd, peer, err := l.accept()
		switch {
		case err == nil:
			pause = shortest
			s.admit(fd, peer, l)
		case errors.Is(err, net.ErrClosed):
			return nil
		case exhausted(err):
			s.counters.exhausted.Add(1)
			if s.evict(64) == 0 && pause == longest {
				s.shed(l)
			}
			time.Sleep(pause)
			pause = min(2*pause, longest)
		case transient(err):
			// The client went away between its handshake and our accept.
		default:
			return fmt.Errorf("cannot accept connections on %s: %w", l.addr, err)
		}
	}
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func transient(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, syscall.ECONNABORTED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EINTR) || errors.Is(err, syscall.EPROTO) || errors.As(err, &t) && t.Timeout()
}

// shed is the last answer to exhausted descriptors, when nobody could be evicted for a while: the spare one serves to accept
// and close one waiting connection.
func (s *Server) shed(l *listener) {
	s.accepting.close()
	if l.discard() {
		s.counters.refused.Add(1)
	}
	s.accepting.hold()
}

const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n" +
	"Cache-Control: no-store\r\nRetry-After: 2\r\nContent-Length: 48\r\nConnection: close\r\n\r\n" +
	"Too many connections just now; please try again."

// admit starts one connection, or refuses it where a bound is reached.
func (s *Server) admit(fd int, peer netip.AddrPort, l *listener) {
	set := s.settings.Load()
	c := newConn(s, fd, peer, l.tls != nil)
	perAddress := set.Limits.ConnectionsPerAddress
	greets := l.tls != nil
	if s.behindBalancer(c, l, set) {
		perAddress = 0 // counted in greet, once the balancer has said who the client is
		greets = true
	}
	if s.reg.len() >= set.maxConns && s.evict(2) == 0 {
		s.refuse(c, l)
		return
	}
	if greets {
		c.adopt()
		c.in.enter(phaseHead, s.clock.now()) // a handshake has the time of a header section
	} else {
		c.in.enter(phaseQuiet, s.clock.now())
	}
	if !s.reg.add(c, perAddress) {
		s.refuse(c, l)
		return
	}
	s.counters.accepted.Add(1)
	s.conns.Add(1)
	switch {
	case greets:
		go s.serve(c, l)
	case !c.loop.put(c):
		s.attendTo(c)
	}
}

// refuse turns a connection away without spending a goroutine on it.
func (s *Server) refuse(c *conn, l *listener) {
	s.counters.refused.Add(1)
	if l.tls == nil {
		_, _ = unix.SendmsgN(c.fd, []byte(busy), nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT) // as much as goes out at once
	}
	_ = c.closeSocket()
}

// addressOf is what counts as one address: an IPv6 client has a whole /64 to itself.
func addressOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (s *Server) remove(c *conn) { s.reg.remove(c) }

// greet reads the PROXY protocol header and shakes hands for TLS. The sweeper bounds its time.
func (s *Server) greet(c *conn, l *listener) error {
	set := s.settings.Load()
	if s.behindBalancer(c, l, set) {
		if err := c.readProxyHeader(); err != nil {
			return err
		}
		if !s.reg.count(c, set.Limits.ConnectionsPerAddress) {
			s.counters.refused.Add(1)
			return errAddressLimit
		}
	}
	if l.tls == nil {
		return nil
	}
	t := tls.Server(c.Conn, l.tls)
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("cannot shake hands for TLS: %w", err)
	}
	c.Conn, c.sock = t, nil
	return nil
}

var errAddressLimit = errors.New("cannot serve the connection: limits.connections_per_address is reached")

// behindBalancer reports whether the connection begins with a PROXY protocol header.
func (s *Server) behindBalancer(c *conn, l *listener, set *settings) bool {
	return l.at < len(set.Listeners) && set.Listeners[l.at].ProxyProtocol && set.Trusted.Contains(c.peer.Addr())
}

// readProxyHeader takes the client's address from a trusted balancer's PROXY header, versions 1 and 2.
func (c *conn) readProxyHeader() error {
	br := bufio.NewReaderSize(c.raw, 256)
	h, err := proxyproto.Read(br)
	if err != nil {
		return fmt.Errorf("cannot read the PROXY protocol header: %w", err)
	}
	// A client that the balancer cannot name is nobody, and nobody is trusted. Only version 2 can say LOCAL, the
	// balancer itself; the library reports version 1's UNKNOWN by the same word.
	if h.Version == 1 || h.Command == proxyproto.PROXY {
		c.peer = netip.AddrPort{}
		if a, ok := h.SourceAddr.(*net.TCPAddr); ok {
			c.peer = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
		}
	}
	if n := br.Buffered(); n > 0 {
		early := make([]byte, n)
		_, _ = io.ReadFull(br, early)
		if c.sock != nil {
			c.sock.early = early
		} else {
			c.Conn = &prefixed{Conn: c.raw, early: early}
		}
	}
	return nil
}

// prefixed is a connection with bytes that were read ahead.
type prefixed struct {
	net.Conn
	early []byte
}

// CloseWrite says that nothing more will be sent.
func (p *prefixed) CloseWrite() error {
	if half, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return p.Conn.Close()
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
