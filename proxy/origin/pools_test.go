package origin

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReloadKeepsConnectionsAndCounters(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	old := g.Pool("app")
	c := g.cfg
	c.Timeouts.FirstByte = ms(12_345)
	if _, err := g.Apply(map[string]Config{"app": c, "other": c}); err != nil {
		t.Fatal(err)
	}
	if g.Pool("app") == old || g.Pool("other") == nil || g.Pool("app").Config().Timeouts.FirstByte != ms(12_345) {
		t.Error("the new settings are not in force")
	}
	g.answers(get("/"), 200)
	if st := g.target(); s.conns.Load() != 1 || st.Requests != 2 {
		t.Errorf("%d connections, stats %+v", s.conns.Load(), st)
	}
}

func TestBuildChangesNothing(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	before := g.Pool("app")
	set, err := g.Build(map[string]Config{"new": config(s.url())})
	if err != nil || set.Pool("new") == nil || set.Pool("app") != nil {
		t.Fatalf("set %v, %v", set, err)
	}
	if g.Pool("app") != before || g.Pool("new") != nil {
		t.Error("Build had an effect")
	}
	bad := config("https://127.0.0.1:1")
	bad.TLS.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	if _, err := g.Apply(map[string]Config{"app": bad}); err == nil || !strings.Contains(err.Error(), "cannot set up origin app: cannot read tls.ca_file") {
		t.Errorf("error %v", err)
	}
	if g.Pool("app") != before {
		t.Error("a failed Apply had an effect")
	}
}

func TestRemovedTargetDrains(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			if strings.Contains(h, "/slow") {
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
				<-release
				p.say("slow")
				continue
			}
			p.say(ok("fast"))
		}
	})
	g := start(t, config(s.url()))
	old := g.Pool("app")
	slow, err := g.do(get("/slow"))
	if err != nil {
		t.Fatal(err)
	}
	g.answers(get("/fast"), 200)
	g.Apply(map[string]Config{})
	if st := g.target(); st.State != "draining" || st.Open != 1 || st.Idle != 0 {
		t.Errorf("stats %+v", st)
	}
	close(release)
	if b, err := io.ReadAll(&slow.Body); string(b) != "slow" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	slow.Close()
	eventually(t, "the target's end", func() bool { return len(g.Stats()) == 0 })

	// A request that still holds the old configuration is served, and leaves nothing behind.
	g.answersOn(old, "/fast", "fast")
	eventually(t, "the target's end again", func() bool { return len(g.Stats()) == 0 })
}

func (g *rig) answersOn(p *Pool, target, want string) {
	g.t.Helper()
	r, err := p.Do(g.t.Context(), get(target))
	if err != nil {
		g.t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(&r.Body); string(b) != want || err != nil {
		g.t.Errorf("read %q, %v", b, err)
	}
}

func TestTargetThatComesBack(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	g.Apply(map[string]Config{})
	g.Apply(map[string]Config{"app": g.cfg})
	g.answers(get("/"), 200)
	g.answers(get("/"), 200)
	eventually(t, "one target left", func() bool { return len(g.Stats()) == 1 })
	if st := g.target(); st.State != "healthy" || st.Idle != 1 {
		t.Errorf("stats %+v", st)
	}
}

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

func TestTargetsAreNamedProperly(t *testing.T) {
	is := func(raw, dial, url, authority string) {
		t.Helper()
		a, err := parseTarget(raw)
		if err != nil || a.dial() != dial || a.url() != url || a.authority() != authority {
			t.Errorf("%s: %s %s %s, %v", raw, a.dial(), a.url(), a.authority(), err)
		}
	}
	is("http://app", "app:80", "http://app:80", "app")
	is("http://App:3000/", "app:3000", "http://app:3000", "app:3000")
	is("https://app", "app:443", "https://app:443", "app")
	is("https://[::1]", "[::1]:443", "https://[::1]:443", "[::1]")
	is("http://[::1]:81", "[::1]:81", "http://[::1]:81", "[::1]:81")
}

func TestConfigProblems(t *testing.T) {
	has := func(path, reason string, change func(c *Config)) {
		t.Helper()
		c := config("http://a:1")
		change(&c)
		ps := c.Validate()
		if len(ps) != 1 || ps[0].Path != path || !strings.Contains(ps[0].Reason, reason) {
			t.Errorf("problems %v, want %s: …%s…", ps, path, reason)
		}
	}
	c := config("http://a:1")
	if ps := c.Validate(); len(ps) > 0 {
		t.Errorf("the default has problems: %v", ps)
	}
	targets := func(list ...string) func(c *Config) { return func(c *Config) { c.Targets = list } }
	has("targets", "no target", targets())
	has("targets[0]", "not an address", targets("a:3000"))
	has("targets[0]", "not an address", targets("ftp://a"))
	has("targets[0]", "name or password", targets("http://me:secret@a"))
	has("targets[0]", "has the path", targets("http://a/api"))
	has("targets[0]", "query", targets("http://a?x"))
	has("targets[0]", "port", targets("http://a:99999"))
	has("targets[1]", "same target as targets[0]", targets("http://a", "http://A:80/"))
	has("balance", "round_robin or least_connections", func(c *Config) { c.Balance = "random" })
	has("host", "not a host", func(c *Config) { c.Host = "http://x" })
	has("tls", "belong together", func(c *Config) { c.Targets = []string{"https://a"}; c.TLS.CertFile = "x" })
	has("tls", "no target begins with https", func(c *Config) { c.TLS.ServerName = "x" })
	has("tls.insecure_skip_verify", "contradicts", func(c *Config) {
		c.Targets, c.TLS.CAFile, c.TLS.InsecureSkipVerify = []string{"https://a"}, "x", true
	})
	has("timeouts.connect", "longer than 0", func(c *Config) { c.Timeouts.Connect = 0 })
	has("pool.max_connections", "least is 1", func(c *Config) { c.Pool.MaxConnections = 0 })
	has("health.path", "not a path", func(c *Config) { c.Health.Path = "healthz" })
	has("health.path", "not a path", func(c *Config) { c.Health.Path = "/a b" })
	has("health.expect", "not a range", func(c *Config) { c.Health.Path = "/"; c.Health.Expect = StatusRange{300, 200} })
	has("passive.failures", "negative", func(c *Config) { c.Passive.Failures = -1 })
	for _, p := range (Config{Targets: []string{"http://me:secret@a"}}).Validate() {
		if strings.Contains(p.Reason, "secret") {
			t.Errorf("a secret in %v", p)
		}
	}
}

func TestStatusRange(t *testing.T) {
	is := func(text string, want StatusRange, valid bool) {
		t.Helper()
		var r StatusRange
		if err := r.UnmarshalText([]byte(text)); (err == nil) != valid || r != want {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
	is("200", StatusRange{200, 200}, true)
	is("200-399", StatusRange{200, 399}, true)
	is("2xx", StatusRange{}, false)
	is("", StatusRange{}, false)
	if b, _ := (StatusRange{200, 204}).MarshalText(); string(b) != "200-204" {
		t.Errorf("written %s", b)
	}
}
