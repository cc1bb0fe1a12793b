package origin

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/tzero-edge/tzero/internal/http1"
)

// load reads the files of c. The id stands for all that decides how a connection is secured, contents
// of the files included: a renewed certificate makes a new target.
func (c TLSConfig) load() (conf *tls.Config, id string, err error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q %q %v\n", c.ServerName, c.CAFile, c.CertFile, c.KeyFile, c.InsecureSkipVerify)
	conf = &tls.Config{
		ServerName:         c.ServerName,
		InsecureSkipVerify: c.InsecureSkipVerify,
		NextProtos:         []string{"http/1.1"},
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, "", fmt.Errorf("cannot read tls.ca_file: %w", err)
		}
		hash.Write(pem)
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, "", fmt.Errorf("cannot use tls.ca_file: %s holds no certificate in PEM form", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, "", fmt.Errorf("cannot use tls.cert_file with tls.key_file: %w", err)
		}
		for _, der := range pair.Certificate {
			hash.Write(der)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, hex.EncodeToString(hash.Sum(nil)), nil
}

// responseLimits are generous: the origin is the operator's own. They bound what one response may hold.
func responseLimits() http1.Limits {
	return http1.Limits{StartLine: 8 << 10, Field: 64 << 10, Head: 64 << 10, Fields: 512}
}

// connect opens a connection within the time given, or until done.
func (t *target) connect(ctx context.Context, done <-chan struct{}, limit time.Duration) (*conn, *Error) {
	nc, w, err := t.secured(ctx, done, limit)
	if err != nil {
		return nil, err
	}
	c := &conn{t: t, wire: w, nc: nc}
	c.paidFn = c.paid
	c.rd = http1.NewReader(c, responseLimits())
	return c, nil
}

func (t *target) secured(ctx context.Context, done <-chan struct{}, limit time.Duration) (net.Conn, *wire, *Error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	watching := make(chan struct{})
	go func() { // lives no longer than this function
		defer close(watching)
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watching }()

	raw, err := t.ps.dial(ctx, "tcp", t.addr.dial())
	if err != nil {
		return nil, nil, t.dialError(ctx, err)
	}
	w := newWire(raw)
	if t.tls == nil {
		return w, w, nil
	}
	secure := tls.Client(w, t.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, nil, t.handshakeError(ctx, err)
	}
	return secure, w, nil
}

func (t *target) dialError(ctx context.Context, err error) *Error {
	var dns *net.DNSError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return t.fail(Canceled, "", nil)
	case errors.As(err, &dns) && !dns.IsTimeout:
		return t.fail(ConnectFailed, "the name "+t.addr.host+" cannot be resolved; check its spelling and the machine's DNS", err)
	case isTimeout(err):
		return t.fail(ConnectTimeout, "no connection within timeouts.connect; is the machine up, and does a firewall drop packets?", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return t.fail(ConnectFailed, "nothing listens there; is the app running, on this address and port?", err)
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return t.fail(ConnectFailed, "the gateway has run out of file descriptors; raise LimitNOFILE", err)
	}
	return t.fail(ConnectFailed, "no connection could be opened", err)
}

func (t *target) handshakeError(ctx context.Context, err error) *Error {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var expired x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return t.fail(Canceled, "", nil)
	case isTimeout(err) || ctx.Err() != nil:
		return t.fail(ConnectTimeout, "the TLS handshake did not end within timeouts.connect", err)
	case errors.As(err, &name):
		return t.fail(TLSFailed, "the certificate is for another name than "+t.tls.ServerName+"; set tls.server_name to the name it carries", err)
	case errors.As(err, &authority):
		return t.fail(TLSFailed, "the certificate's authority is unknown here; name it in tls.ca_file", err)
	case errors.As(err, &expired):
		return t.fail(TLSFailed, "the certificate is not valid now", err)
	case errors.As(err, &plain) && strings.HasPrefix(string(plain.RecordHeader[:]), "HTTP"):
		return t.fail(TLSFailed, "the target speaks plain HTTP on this port; write it with http://", err)
	}
	return t.fail(TLSFailed, "the TLS handshake failed", err)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		(errors.As(err, &ne) && ne.Timeout())
}
