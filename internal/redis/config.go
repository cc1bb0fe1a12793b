package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the part of the configuration that says which Redis several gateways share. A change needs a restart.
type Config struct {
	URL              conf.Secret   `yaml:"url" doc:"Address with credentials: redis://user:password@host:6379/0, rediss:// for TLS, unix:///path; redis-sentinel://:password@host1:26379,host2:26379/master-name/0 and redis-cluster://user:password@host1:6379,host2:6379 for several, rediss-sentinel:// and rediss-cluster:// with TLS. Empty: this gateway shares nothing."`
	SentinelPassword conf.Secret   `yaml:"sentinel_password" doc:"Password of the sentinels themselves, where they want one."`
	Prefix           string        `yaml:"prefix" doc:"Stands before every key and channel, so that several installations can use one Redis."`
	Name             string        `yaml:"name" doc:"What this gateway is called among the others, on /status and in answers to purges. Empty: the machine's name."`
	TLS              TLS           `yaml:"tls" doc:"For rediss:// addresses."`
	ReadBudget       conf.Duration `yaml:"read_budget" doc:"Longest time that a request waits for Redis when it looks for a stored page; then it goes on as if there were none."`
	LeaseBudget      conf.Duration `yaml:"lease_budget" doc:"Longest time for asking who may fetch a page for all; then this gateway fetches it for itself."`
	WriteBudget      conf.Duration `yaml:"write_budget" doc:"Longest time for storing a page in Redis, which no request waits for."`
	LimitBudget      conf.Duration `yaml:"limit_budget" doc:"Longest time that a request waits for Redis where a rate limit is exact; other rate limits wait for nothing."`
	OnPartition      string        `yaml:"on_partition" enum:"serve|revalidate" doc:"What a gateway does that cannot hear of purges, which it knows within 3 s: go on with what is stored, each page for at most 30 s before the origin is asked (serve), or ask the origin about every page (revalidate)."`
}

// TLS is how connections to Redis are secured.
type TLS struct {
	CA         string `yaml:"ca" doc:"File with the certificates of the authorities that Redis's certificate may come from; empty for those of the system."`
	Cert       string `yaml:"cert" doc:"File with this gateway's certificate, where Redis wants one."`
	Key        string `yaml:"key" doc:"File with that certificate's key."`
	ServerName string `yaml:"server_name" doc:"Name that Redis's certificate must have; empty for the host in the address."`
}

// Default is the configuration without a file: no Redis.
func Default() Config {
	return Config{
		ReadBudget: conf.Duration(25 * time.Millisecond), LeaseBudget: conf.Duration(100 * time.Millisecond),
		WriteBudget: conf.Duration(500 * time.Millisecond), LimitBudget: conf.Duration(100 * time.Millisecond), OnPartition: "serve",
	}
}

// Validate reports what is wrong. The address itself is never shown: it has a password.
func (c Config) Validate() []conf.Problem {
	var ps []conf.Problem
	add := func(path, reason string) { ps = append(ps, conf.Problem{Path: path, Reason: reason}) }
	var secured bool
	if !c.URL.Empty() {
		a, err := parseAddress(c.URL.Reveal())
		if err != nil {
			add("url", err.Error())
		}
		secured = a.secured
	}
	if len(c.Name) > 64 || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		add("name", "must have at most 64 printable characters")
	}
	if !c.SentinelPassword.Empty() && !c.URL.Empty() && !strings.Contains(c.URL.Reveal(), "-sentinel://") {
		add("sentinel_password", "has no effect without an address that begins with redis-sentinel or rediss-sentinel")
	}
	if c.TLS != (TLS{}) && !secured {
		add("tls", "has no effect without an address that begins with rediss")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		add("tls", "needs cert and key, or neither")
	}
	if strings.ContainsAny(c.Prefix, "{} \t\r\n") || len(c.Prefix) > 64 {
		add("prefix", "must be at most 64 characters without spaces and braces")
	}
	for _, b := range []struct {
		path  string
		value conf.Duration
		most  time.Duration
	}{{"read_budget", c.ReadBudget, time.Second}, {"lease_budget", c.LeaseBudget, time.Second}, {"write_budget", c.WriteBudget, 10 * time.Second}, {"limit_budget", c.LimitBudget, 5 * time.Second}} {
		if b.value.D() < time.Millisecond || b.value.D() > b.most {
			add(b.path, fmt.Sprintf("must lie between 1ms and %s", conf.Duration(b.most)))
		}
	}
	if c.OnPartition != "serve" && c.OnPartition != "revalidate" {
		add("on_partition", "must be one of serve, revalidate")
	}
	return ps
}

// Enabled reports whether there is a Redis.
func (c Config) Enabled() bool { return !c.URL.Empty() }

// kind is how several servers work together.
type kind uint8

const (
	single kind = iota
	sentinel
	cluster
)

// address is an address taken apart.
type address struct {
	kind               kind
	secured            bool
	hosts              []string // host:port, or one path of a socket
	username, password string
	master             string // of sentinels
	db                 int
}

var errAddress = errors.New("is not an address of Redis; write it as redis://host:6379/0, rediss://host:6379, unix:///path, " +
	"redis-sentinel://host1,host2/master-name or redis-cluster://host1,host2")

// parseAddress takes an address apart. Its errors show nothing of it.
func parseAddress(s string) (address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || len(s) > 4096 {
		return address{}, errAddress
	}
	var a address
	switch scheme {
	case "redis", "rediss", "unix":
	case "redis-sentinel", "rediss-sentinel":
		a.kind = sentinel
	case "redis-cluster", "rediss-cluster":
		a.kind = cluster
	default:
		return address{}, errAddress
	}
	a.secured = strings.HasPrefix(scheme, "rediss")
	if scheme == "unix" {
		if !strings.HasPrefix(rest, "/") {
			return address{}, errors.New("must name an absolute path after unix://")
		}
		a.hosts = []string{rest}
		return a, nil
	}
	authority, path, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(path, "?#") || strings.ContainsAny(authority, "?#") {
		return address{}, errors.New("must have neither a query nor a fragment; percent-encode ? and # in a password")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		var err error
		if a.username, a.password, err = credentials(authority[:i]); err != nil {
			return address{}, err
		}
		authority = authority[i+1:]
	}
	return a, a.place(authority, path)
}

func credentials(s string) (username, password string, err error) {
	u, p, _ := strings.Cut(s, ":")
	username, err1 := url.PathUnescape(u)
	password, err2 := url.PathUnescape(p)
	if err1 != nil || err2 != nil {
		return "", "", errors.New("has a user or password that is not percent-encoded properly")
	}
	return username, password, nil
}

// place reads the hosts, the master's name and the database.
func (a *address) place(authority, path string) error {
	port := "6379"
	if a.kind == sentinel {
		port = "26379"
	}
	for h := range strings.SplitSeq(authority, ",") {
		host, given, err := net.SplitHostPort(h)
		if err != nil {
			host, given = strings.Trim(h, "[]"), port
		}
		if n, err := strconv.ParseUint(given, 10, 16); host == "" || err != nil || n == 0 {
			return errors.New("must name hosts as host or host:port, with commas between several")
		}
		a.hosts = append(a.hosts, net.JoinHostPort(host, given))
	}
	if a.kind == single && len(a.hosts) > 1 {
		return errors.New("names several hosts: write redis-sentinel:// or redis-cluster://")
	}
	if a.kind == sentinel {
		if a.master, path, _ = strings.Cut(path, "/"); a.master == "" {
			return errors.New("must name the master behind the sentinels, as redis-sentinel://host1,host2/mymaster")
		}
	}
	if path == "" {
		return nil
	}
	db, err := strconv.ParseUint(path, 10, 16)
	if err != nil || a.kind == cluster && db != 0 {
		return errors.New("must end in the number of a database, as /0; a Cluster has no other")
	}
	a.db = int(db)
	return nil
}

// load reads the files of a TLS section.
func (t TLS) load() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("cannot read redis.tls.ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cannot use redis.tls.ca: %s has no certificate in PEM form", t.CA)
		}
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("cannot use redis.tls.cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}
