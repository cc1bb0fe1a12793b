package listen

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/http1"
)

// Config is one listener.
type Config struct {
	Address       string    `yaml:"address" doc:"Address and port to listen on, as \":8080\" or \"127.0.0.1:8080\"."`
	TLS           TLSConfig `yaml:"tls" doc:"Certificate for HTTPS. Without it the listener speaks plain HTTP."`
	ProxyProtocol bool      `yaml:"proxy_protocol" doc:"Peers within clients.trusted_proxies must open every connection with a PROXY protocol header, version 1 or 2. Other peers may not send one. A header must arrive in one piece, as balancers send it."`
}

// TLSConfig names a certificate. Changed files are read again at a reload.
type TLSConfig struct {
	Cert string `yaml:"cert" doc:"PEM file with the certificate and its chain."`
	Key  string `yaml:"key" doc:"PEM file with the private key."`
}

// Default is one plain listener on :8080.
func Default() Config { return Config{Address: ":8080"} }

// Validate checks one listener.
func (c Config) Validate() []conf.Problem {
	var ps []conf.Problem
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		ps = append(ps, conf.Problem{Path: "address", Reason: fmt.Sprintf("%q is not an address; write it as \":8080\" or \"127.0.0.1:8080\"", c.Address)})
	} else {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil {
			ps = append(ps, conf.Problem{Path: "address", Reason: fmt.Sprintf("%q is not a port from 0 to 65535", port)})
		} else {
			_ = n
		}
		if host != "" && net.ParseIP(host) == nil && host != "localhost" {
			ps = append(ps, conf.Problem{Path: "address", Reason: fmt.Sprintf("%q is not an IP address; a listener is bound to an address, not to a name", host)})
		}
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		ps = append(ps, conf.Problem{Path: "tls", Reason: "cert and key belong together; one of them is missing"})
	}
	for _, f := range []struct{ key, path string }{{"tls.cert", c.TLS.Cert}, {"tls.key", c.TLS.Key}} {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); err != nil {
			ps = append(ps, conf.Problem{Path: f.key, Reason: "cannot read the file: " + err.Error()})
		}
	}
	return ps
}

// Limits bounds what clients can make the gateway hold.
type Limits struct {
	Connections           int           `yaml:"connections" doc:"Open client connections at most. 0 takes it from the limit on open files, leaving room for connections to the origins. At the limit, the connection that has been idle longest makes room."`
	ConnectionsPerAddress int           `yaml:"connections_per_address" doc:"Open connections from one address (IPv6: one /64) at most. 0 means no such limit: an office or a mobile network shares one address."`
	RequestLine           conf.Size     `yaml:"request_line" doc:"Longest request line; beyond it the answer is 414."`
	Header                conf.Size     `yaml:"header" doc:"Largest request header section; beyond it the answer is 431. Keep it at or below what the origin accepts."`
	HeaderFields          int           `yaml:"header_fields" doc:"Most header lines in a request; beyond it the answer is 431."`
	HeaderTimeout         conf.Duration `yaml:"header_timeout" doc:"Time a client has from a request's first byte to the end of its header section; then the answer is 408."`
	BodyTimeout           conf.Duration `yaml:"body_timeout" doc:"Longest pause between two reads of a request's content; then the answer is 408."`
	BodyRate              conf.Size     `yaml:"body_rate" doc:"Least rate of a request's content in bytes a second, after ten seconds of waiting for it; below it the answer is 408. 0B sets no such bound."`
	SlowReaders           conf.Size     `yaml:"slow_readers" doc:"Memory that clients may keep occupied by taking stored answers slowly. Beyond it the slowest are ended. Clients of one object count once, and so do those of small objects that lie together."`
	WriteTimeout          conf.Duration `yaml:"write_timeout" doc:"Longest time without progress while an answer is sent; then the connection is closed."`
	IdleTimeout           conf.Duration `yaml:"idle_timeout" doc:"How long a connection may wait for its next request."`
}

// DefaultLimits are safe towards the internet.
func DefaultLimits() Limits {
	return Limits{
		RequestLine:   8 << 10,
		Header:        32 << 10,
		HeaderFields:  100,
		HeaderTimeout: conf.Duration(10 * time.Second),
		BodyTimeout:   conf.Duration(30 * time.Second),
		BodyRate:      512,
		SlowReaders:   256 << 20,
		WriteTimeout:  conf.Duration(30 * time.Second),
		IdleTimeout:   conf.Duration(75 * time.Second),
	}
}

// Validate checks the limits.
func (l Limits) Validate() []conf.Problem {
	var ps []conf.Problem
	bad := func(path, reason string) { ps = append(ps, conf.Problem{Path: path, Reason: reason}) }
	if l.Connections < 0 {
		bad("connections", "is negative; 0 takes it from the limit on open files")
	}
	if l.ConnectionsPerAddress < 0 {
		bad("connections_per_address", "is negative; 0 switches the limit off")
	}
	if l.RequestLine < 512 || l.RequestLine > 1<<20 {
		bad("request_line", "must lie between 512B and 1MiB")
	}
	if l.Header < 1<<10 || l.Header > 1<<20 {
		bad("header", "must lie between 1KiB and 1MiB")
	} else if l.Header < l.RequestLine {
		bad("header", "is smaller than request_line, which it contains")
	}
	if l.HeaderFields < 10 || l.HeaderFields > 10000 {
		bad("header_fields", "must lie between 10 and 10000")
	}
	if l.BodyRate < 0 || l.BodyRate > 1<<20 {
		bad("body_rate", "must lie between 0B and 1MiB a second")
	}
	if l.SlowReaders < 16<<20 {
		bad("slow_readers", "must be at least 16MiB")
	}
	for _, d := range []struct {
		path string
		d    conf.Duration
	}{{"header_timeout", l.HeaderTimeout}, {"body_timeout", l.BodyTimeout}, {"write_timeout", l.WriteTimeout}, {"idle_timeout", l.IdleTimeout}} {
		if d.d.D() < time.Second || d.d.D() > time.Hour {
			bad(d.path, "must lie between 1s and 1h")
		}
	}
	return ps
}

func (l Limits) heads() http1.Limits {
	return http1.Limits{StartLine: int(l.RequestLine), Field: int(l.Header), Head: int(l.Header), Fields: l.HeaderFields}
}
