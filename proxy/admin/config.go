package admin

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the admin server's part of the configuration. Changing it needs a restart.
type Config struct {
	Address     string      `yaml:"address" doc:"Where /metrics, /status and the dashboard are served, as host:port; empty turns this off and leaves the unix socket in the state directory."`
	Token       conf.Secret `yaml:"token" doc:"Bearer token, at least 16 characters, that permits changes over the address. Without it changes are made only through the unix socket."`
	PublicReads bool        `yaml:"public_reads" doc:"Let everybody who reaches the address read without the token. Needed for an address other than loopback when there is no token."`
	Hosts       []string    `yaml:"hosts" doc:"Further host names under which the address may be asked. Loopback names, the address itself and the connection's own IP address always may."`
	Profiles    bool        `yaml:"profiles" doc:"Serve /profiles/cpu?seconds=N and /profiles/heap, for go tool pprof, on the unix socket and only there."`
}

// Default returns the settings without a configuration file.
func Default() Config { return Config{Address: "127.0.0.1:9180"} }

const minToken = 16

// Validate reports what is wrong.
func (c Config) Validate() []conf.Problem {
	var out []conf.Problem
	bad := func(path, reason string) { out = append(out, conf.Problem{Path: path, Reason: reason}) }
	if c.Address != "" {
		if reason := c.checkAddress(); reason != "" {
			bad("address", reason)
		}
	}
	if token := c.Token.Reveal(); token != "" && len(token) < minToken {
		bad("token", "is too short; use at least 16 characters, for example from `openssl rand -hex 16`")
	} else if strings.TrimFunc(token, visible) != "" {
		bad("token", "must consist of visible ASCII characters")
	}
	for i, h := range c.Hosts {
		if h == "" || strings.ContainsAny(h, " /@:*") {
			bad("hosts["+strconv.Itoa(i)+"]", "must be a host name without port, path or wildcard")
		}
	}
	return out
}

func (c Config) checkAddress() string {
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil {
		return "must be host:port, such as 127.0.0.1:9180"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 65535 {
		return "must end in a port number"
	}
	if !loopback(host) && c.Token.Empty() && !c.PublicReads {
		return "is reachable from outside: set token, or public_reads: true if everybody may read metrics and status there"
	}
	return ""
}

func visible(r rune) bool { return r > ' ' && r < 0x7f }

// loopback reports that host can be reached from this machine only.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
