package listen

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns a client's connection and the descriptor that was accepted for it.
func pair(t *testing.T) (*net.TCPConn, int, netip.AddrPort) {
	t.Helper()
	p, err := openPort("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	nc, err := net.Dial("tcp", p.addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	fd, peer, err := p.accept()
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn), fd, peer
}

func TestAcceptedSocket(t *testing.T) {
	nc, fd, peer := pair(t)
	defer unix.Close(fd)
	if peer.String() != nc.LocalAddr().String() {
		t.Errorf("accepted from %s, not %s", peer, nc.LocalAddr())
	}
	for name, option := range map[string][2]int{
		"TCP_NODELAY": {unix.IPPROTO_TCP, unix.TCP_NODELAY}, "SO_KEEPALIVE": {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	} {
		if v, err := unix.GetsockoptInt(fd, option[0], option[1]); v == 0 || err != nil {
			t.Errorf("%s is %d, %v", name, v, err)
		}
	}
	if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); v != 15 || err != nil {
		t.Errorf("a silent client is asked after %d s, %v", v, err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %x, %v", flags, err)
	}
	if flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child process would have the connection: flags %x, %v", flags, err)
	}
}

// TestStreamIsAConn: deadlines wake, and leave the connection good; the end and half of it are seen.
func TestStreamIsAConn(t *testing.T) {
	nc, fd, peer := pair(t)
	var s net.Conn = newStream(fd, peer)
	defer s.Close()
	_ = s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := s.Read(make([]byte, 8))
	var timeout net.Error
	//lint:ignore SA1019 crypto/tls asks for it
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || !timeout.Temporary() {
		t.Errorf("a deadline shows as %v", err)
	}
	_ = s.SetReadDeadline(noDeadline)
	_, _ = io.WriteString(nc, "hello")
	_ = nc.CloseWrite()
	if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if _, err := io.WriteString(s, "answer"); err != nil {
		t.Error(err)
	}
	if err := s.(*stream).CloseWrite(); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadAll(nc); string(b) != "answer" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	if s.RemoteAddr().String() != nc.LocalAddr().String() {
		t.Errorf("the other end is %s, not %s", s.RemoteAddr(), nc.LocalAddr())
	}
}

// TestClosedPort: who waits for a connection is told.
func TestClosedPort(t *testing.T) {
	p, err := openPort("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error)
	go func() {
		_, _, err := p.accept()
		told <- err
	}()
	time.Sleep(10 * time.Millisecond)
	p.close()
	if err := <-told; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if nc, err := net.Dial("tcp", p.addr.String()); err == nil {
		nc.Close()
		t.Error("it still listens")
	}
}

// TestClientsAddress: on a socket for both families, an IPv4 client has an IPv4 address.
func TestClientsAddress(t *testing.T) {
	_, addr := start(t, &echo{}, func(set *Settings) { set.Listeners[0].Address = ":0" })
	_, port, _ := net.SplitHostPort(addr)
	for _, ip := range []string{"127.0.0.1", "::1"} {
		nc, err := net.Dial("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			t.Skip("this machine has no ", ip)
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if got := drain(nc, 2*time.Second); !strings.HasSuffix(got, "hello "+ip) {
			t.Errorf("from %s:\n%s", ip, got)
		}
	}
}
