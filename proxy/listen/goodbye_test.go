package listen

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEndBehindTheLastRequest: a client that ends its side behind its last request, while the one before is being
// answered outside of a ride, is not kept waiting for the end of the connection.
func TestEndBehindTheLastRequest(t *testing.T) {
	p := newPages(100)
	_, addr := start(t, p, nil)
	c := dial(t, addr)
	go func() { p.released <- struct{}{} }()
	if err := c.get("/wait", "waited"); err != nil {
		t.Fatal(err)
	}
	if err := c.get("/3", string(p.memory[:3])); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
	time.Sleep(20 * time.Millisecond)
	_, _ = io.WriteString(c, "GET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	time.Sleep(20 * time.Millisecond)
	began := time.Now()
	p.released <- struct{}{}
	b, err := io.ReadAll(c.br)
	if strings.Count(string(b), "HTTP/1.1 200 OK") != 2 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if d := time.Since(began); d > 200*time.Millisecond {
		t.Errorf("the end came after %v", d)
	}
}

// certificate writes a certificate and its key into files.
func certificate(t *testing.T) (crt, key string) {
	t.Helper()
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kb, _ := x509.MarshalECPrivateKey(k)
	dir := t.TempDir()
	crt, key = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	_ = os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	_ = os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: kb}), 0o600)
	return crt, key
}

// TestTLSGoodbyeHoldsUpNobody: a TLS client that does not read can leave no room for close_notify. Who ends connections for
// others, the sweeper for one, does not wait for that.
func TestTLSGoodbyeHoldsUpNobody(t *testing.T) {
	p := newPages(100)
	crt, key := certificate(t)
	s, addr := startWith(t, p, func(set *Settings) { set.Listeners[0].TLS = TLSConfig{Cert: crt, Key: key} }, 1)
	nc := dial(t, addr)
	secure := tls.Client(nc.Conn, &tls.Config{InsecureSkipVerify: true})
	c := &client{secure, bufio.NewReader(secure)}
	if err := c.get("/5", string(p.memory[:5])); err != nil {
		t.Fatal(err)
	}
	rests(t, s, 1)
	resting := allResting(s)
	for size := 64 << 10; size > 0; size /= 2 { // to the last byte
		for errno := syscall.Errno(0); errno == 0; {
			_, errno = rawWrite(uintptr(resting[0].c.fd), make([]byte, size), nil)
		}
	}
	began := time.Now()
	if n := s.endResting(resting); n != 1 {
		t.Errorf("%d connections were ended", n)
	}
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %v", d)
	}
}

// wire keeps what came from the server.
type wire struct {
	net.Conn
	came []byte
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.came = append(w.came, p[:n]...)
	return n, err
}

// told reads to the end, and reports whether the last record is an alert. TLS 1.3 would hide its kind.
func (w *wire) told(t *testing.T, c io.Reader) bool {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Error(err)
	}
	const size, alert = 31, 21 // AES-GCM: header, nonce, two bytes, tag
	return len(w.came) > size && w.came[len(w.came)-size] == alert
}

func secured(t *testing.T, addr string) (*client, *wire) {
	w := &wire{Conn: dial(t, addr).Conn}
	c := tls.Client(w, &tls.Config{
		InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	})
	return &client{c, bufio.NewReader(c)}, w
}

// TestTLSGoodbye: a client whose connection ends while it rests, and one who has had its last answer in a drain, are
// told.
func TestTLSGoodbye(t *testing.T) {
	p := newPages(100)
	crt, key := certificate(t)
	s, addr := startWith(t, p, func(set *Settings) { set.Listeners[0].TLS = TLSConfig{Cert: crt, Key: key} }, 1)
	for _, drains := range []bool{false, true} {
		s.draining.Store(drains)
		c, w := secured(t, addr)
		if err := c.get("/5", string(p.memory[:5])); err != nil {
			t.Fatal(err)
		}
		if !drains {
			rests(t, s, 1)
			s.endResting(allResting(s))
		}
		if !w.told(t, c.br) {
			t.Errorf("no close_notify; drains: %v", drains)
		}
	}
}

// TestGoodbyeDestroysNoAnswer: what a client has sent behind the request that proves to be its last is dropped. To close
// with that unread would reset the connection, and take the answer with it that is on its way (RFC 9112 §9.6).
func TestGoodbyeDestroysNoAnswer(t *testing.T) {
	p := newPages(1 << 20)
	s, addr := start(t, p, nil)
	s.draining.Store(true)
	for _, size := range []int{200 << 10, 1 << 20} {
		c := dial(t, addr)
		if err := c.Conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
			t.Fatal(err)
		}
		ask := fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", size)
		_, _ = io.WriteString(c, ask+strings.Repeat("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", 1000))
		time.Sleep(50 * time.Millisecond)
		if err := c.take(p, size); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		c.Close()
	}
}

func allResting(s *Server) (list []rested) {
	s.reg.each(func(c *conn) {
		_, _, word := c.in.read(0)
		list = append(list, rested{c, word})
	})
	return list
}

// TestServedSinceIsNotEnded: who was seen to rest for too long, and has been served since, stays.
func TestServedSinceIsNotEnded(t *testing.T) {
	p := newPages(100)
	s, addr := start(t, p, nil)
	c := dial(t, addr)
	if err := c.get("/5", string(p.memory[:5])); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * tick)
	old := allResting(s)
	time.Sleep(2 * tick) // by the coarse clock
	if err := c.get("/6", string(p.memory[:6])); err != nil {
		t.Fatal(err)
	}
	time.Sleep(tick)
	if n := s.endResting(old); n != 0 {
		t.Fatal("it was ended for what it did before")
	}
	if err := c.get("/7", string(p.memory[:7])); err != nil {
		t.Fatal(err)
	}
	time.Sleep(tick)
	if n := s.endResting(allResting(s)); n != 1 {
		t.Error("it was not ended")
	}
}
