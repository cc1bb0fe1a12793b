package redis

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
)

// certificate makes a self-signed one for the loopback address, and returns the files of it and of its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redis"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", raw)
}

func TestTLSAndUser(t *testing.T) {
	cert, key := certificate(t)
	server := harness.StartRedis(t, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no",
		"--tls-port", "0")
	if err := server.Client().ACLSetUser(context.Background(), "edge", "on", ">hunter2", "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	port := harness.FreePort(t)
	if err := server.Client().ConfigSet(context.Background(), "tls-port", strconv.Itoa(port)).Err(); err != nil {
		t.Fatal(err)
	}
	ping := func(url string, change func(*Config)) error {
		c := Default()
		c.URL = conf.NewSecret(url)
		change(&c)
		if p := c.Validate(); len(p) > 0 {
			t.Fatal(p)
		}
		r, err := Open(c, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			return err
		}
		defer r.Close()
		return r.Client(Bus).Ping(context.Background()).Err()
	}
	at := "rediss://edge:hunter2@127.0.0.1:" + strconv.Itoa(port)
	if err := ping(at, func(c *Config) { c.TLS.CA = cert }); err != nil {
		t.Errorf("with the right authority: %v", err)
	}
	if err := ping(at, func(*Config) {}); err == nil {
		t.Error("a certificate of nobody was taken")
	}
	if err := ping(at, func(c *Config) { c.TLS.CA, c.TLS.ServerName = cert, "elsewhere" }); err == nil {
		t.Error("a certificate for another name was taken")
	}
	if err := ping(at, func(c *Config) { c.TLS.CA = key }); err == nil {
		t.Error("a key was taken for a certificate")
	}
}
