package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a certificate authority of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, _ = x509.ParseCertificate(der)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) issue(t *testing.T, name string) (tls.Certificate, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", private)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return pair, certFile, keyFile
}

// serveTLS is serve behind TLS.
func serveTLS(t *testing.T, conf *tls.Config, script func(p *peer)) *server {
	t.Helper()
	return serve(t, func(p *peer) {
		secure := tls.Server(p.Conn, conf)
		if secure.Handshake() != nil {
			return
		}
		if v := secure.ConnectionState().NegotiatedProtocol; v != "http/1.1" {
			t.Errorf("negotiated %q", v)
		}
		p.Conn = secure
		p.r.Reset(secure)
		script(p)
	})
}

func (s *server) tlsURL() string { return "https://" + s.Addr().String() }

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	pair, _, _ := ca.issue(t, "app.internal")
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}, echo)
	c := config(s.tlsURL())
	c.TLS.CAFile, c.TLS.ServerName = ca.file, "app.internal"
	c.Timeouts.Connect = ms(60_000) // reading the system's authorities takes its time in a race build
	g := start(t, c)
	for range 3 {
		g.answers(get("/x"), 200)
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections, want 1", s.conns.Load())
	}

	fails := func(change func(c *Config), want string) {
		t.Helper()
		bad := c
		change(&bad)
		e := start(t, bad).fails(get("/"), TLSFailed)
		if !strings.Contains(e.Error(), want) || e.Sent {
			t.Errorf("error %v lacks %q", e, want)
		}
	}
	fails(func(c *Config) { c.TLS.ServerName = "other.internal" }, "another name than other.internal")
	fails(func(c *Config) { c.TLS.ServerName = "" }, "another name than 127.0.0.1")
	fails(func(c *Config) { c.TLS.CAFile = "" }, "authority is unknown")

	c.TLS = TLSConfig{InsecureSkipVerify: true}
	start(t, c).answers(get("/"), 200)
}

func TestTLSToPlainPort(t *testing.T) {
	s := serve(t, func(p *peer) { p.say("HTTP/1.1 400 Bad Request\r\n\r\n") })
	e := start(t, config(s.tlsURL())).fails(get("/"), TLSFailed)
	if !strings.Contains(e.Error(), "write it with http://") {
		t.Errorf("error %v", e)
	}
}

func TestClientCertificate(t *testing.T) {
	ca := newAuthority(t)
	pair, _, _ := ca.issue(t, "app.internal")
	_, certFile, keyFile := ca.issue(t, "gateway.internal")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	s := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots,
	}, func(p *peer) {
		p.head()
		p.say(ok(p.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName))
	})
	c := config(s.tlsURL())
	c.TLS = TLSConfig{CAFile: ca.file, ServerName: "app.internal", CertFile: certFile, KeyFile: keyFile}
	if got := start(t, c).answers(get("/"), 200); got != "gateway.internal" {
		t.Errorf("the origin saw %q", got)
	}
}

func TestStaleTLSConnection(t *testing.T) {
	ca := newAuthority(t)
	pair, _, _ := ca.issue(t, "app.internal")
	done := make(chan bool, 2)
	s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}, func(p *peer) {
		p.head()
		p.say(ok("x"))
		p.Close()
		done <- true
	})
	c := config(s.tlsURL())
	c.TLS = TLSConfig{CAFile: ca.file, ServerName: "app.internal"}
	g := start(t, c)
	g.answers(post("x"), 200)
	<-done
	g.answers(post("x"), 200)
}

// A surplus that TLS has decrypted already shows neither on the socket nor in the reader's buffer.
func TestSurplusInsideTLS(t *testing.T) {
	ca := newAuthority(t)
	pair, _, _ := ca.issue(t, "app.internal")
	whole := ok(strings.Repeat("x", 4<<10-len(ok(""))-3))
	s := serveTLS(t, &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, DynamicRecordSizingDisabled: true,
	}, func(p *peer) {
		p.head()
		p.say(whole + ok("forged")) // one record, of which the first read takes exactly the first response
		p.ended()
	})
	if len(whole) != 4<<10 {
		t.Fatalf("the first response has %d bytes", len(whole))
	}
	c := config(s.tlsURL())
	c.TLS = TLSConfig{CAFile: ca.file, ServerName: "app.internal"}
	g := start(t, c)
	for range 2 {
		if got := g.answers(get("/"), 200); !strings.HasPrefix(got, "xxx") {
			t.Fatalf("answered %q", got)
		}
	}
	if s.conns.Load() != 2 {
		t.Errorf("%d connections, want 2", s.conns.Load())
	}
}
