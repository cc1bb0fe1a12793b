package origin

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// The ways of choosing a target.
const (
	RoundRobin       = "round_robin"
	LeastConnections = "least_connections"
)

// maxTargets bounds a pool: one machine word remembers which targets a request has tried.
const maxTargets = 64

// Config describes one origin: the app behind the gateway and how to talk to it.
type Config struct {
	Targets    []string      `yaml:"targets" doc:"Addresses of the app, as http://host:port or https://host:port; requests are spread over them. A target has no path: what a visitor asks for is forwarded as it is."`
	Balance    string        `yaml:"balance" doc:"How a target is chosen for a request." enum:"round_robin|least_connections"`
	ThirdParty bool          `yaml:"third_party" doc:"The origin belongs to somebody else: it is addressed by its own host name, and nothing about the visitor is sent to it."`
	Host       string        `yaml:"host" doc:"Host sent to the origin in place of the visitor's; empty preserves the visitor's (or, for a third party, sends the target's own)."`
	TLS        TLSConfig     `yaml:"tls" doc:"How https targets are verified and how the gateway identifies itself to them."`
	Timeouts   Timeouts      `yaml:"timeouts" doc:"How long the gateway waits for the origin. A route can set its own."`
	Pool       PoolConfig    `yaml:"pool" doc:"Connections held to each target."`
	Health     HealthConfig  `yaml:"health" doc:"Active health checks; off while path is empty."`
	Passive    PassiveConfig `yaml:"passive" doc:"Taking a target out when real requests to it fail: it cannot be reached, or closes without an answer. Timeouts and broken answers count only while no request to it succeeds."`
}

// TLSConfig applies to the https targets of an origin.
type TLSConfig struct {
	ServerName         string `yaml:"server_name" doc:"Name that the certificate must carry and that is sent as SNI; empty means the target's host."`
	CAFile             string `yaml:"ca_file" doc:"PEM file with the authorities to trust in place of the system's."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" doc:"Accept any certificate. Anyone on the way can then read and change everything; prefer ca_file."`
	CertFile           string `yaml:"cert_file" doc:"PEM file with the certificate by which the gateway identifies itself to the origin."`
	KeyFile            string `yaml:"key_file" doc:"PEM file with the private key of cert_file."`
}

// Timeouts bound a request's life at the origin. In a [Request], zero means: as the origin's Config says.
type Timeouts struct {
	Connect   conf.Duration `yaml:"connect" doc:"Until a connection to a target stands, TLS handshake and name look-up included."`
	FirstByte conf.Duration `yaml:"first_byte" doc:"From the last byte of the request to the end of the response's head."`
	Idle      conf.Duration `yaml:"idle" doc:"Longest silence while a body is under way in either direction."`
	EventIdle conf.Duration `yaml:"event_idle" doc:"Longest silence in a Server-Sent Events response (text/event-stream), in place of idle."`
	Total     conf.Duration `yaml:"total" doc:"From the beginning to the last byte of the response, all attempts together; 0 sets no bound."`
}

// PoolConfig bounds the connections to each target.
type PoolConfig struct {
	MaxConnections int           `yaml:"max_connections" doc:"Requests under way at one target at the same time; more wait in the queue. Requests whose body is still arriving from a slow client get half of this at most, and Server-Sent Events have max_streams instead."`
	MaxStreams     int           `yaml:"max_streams" doc:"Server-Sent Events responses (text/event-stream) under way at one target at the same time; more are refused."`
	Queue          int           `yaml:"queue" doc:"Requests that may wait for a connection to one target; more are refused at once. Requests whose body is still arriving have a queue of their own, of the same length."`
	QueueTime      conf.Duration `yaml:"queue_time" doc:"Longest wait in the queue."`
	MaxIdle        int           `yaml:"max_idle" doc:"Idle connections kept to one target."`
	IdleTime       conf.Duration `yaml:"idle_time" doc:"An idle connection is closed after this time. Keep it below the origin's own (Node closes after 5s), or requests meet connections that are just being closed."`
}

// HealthConfig asks each target regularly whether it can serve.
type HealthConfig struct {
	Path           string        `yaml:"path" doc:"Path to GET, such as /healthz; empty turns active checks off."`
	Host           string        `yaml:"host" doc:"Host of the check; empty means the target's own."`
	Interval       conf.Duration `yaml:"interval" doc:"Time between two checks of a target."`
	Timeout        conf.Duration `yaml:"timeout" doc:"A check without an answer for so long has failed."`
	Expect         StatusRange   `yaml:"expect" doc:"Statuses that mean healthy: one, as 200, or a range, as 200-399."`
	HealthyAfter   int           `yaml:"healthy_after" doc:"Checks in a row that must succeed before an unhealthy target is used again."`
	UnhealthyAfter int           `yaml:"unhealthy_after" doc:"Checks in a row that must fail before a target is taken out."`
}

// PassiveConfig takes a target out for a while when requests to it fail: it cannot be reached, closes
// without an answer, stays silent, or answers what is not HTTP. The last two can be one broken page's doing,
// so they count only while nothing else succeeds either. Statuses do not count.
type PassiveConfig struct {
	Failures int           `yaml:"failures" doc:"Failures in a row, without a success between them, that take a target out; 0 turns this off."`
	Window   conf.Duration `yaml:"window" doc:"The failures must fall within this time. A success within it keeps timeouts and broken answers from counting."`
	For      conf.Duration `yaml:"for" doc:"How long the target stays out. When all targets of an origin are out, all are tried."`
}

// Default returns the settings of an origin of which only the targets are given.
func Default() Config {
	return Config{
		Balance: RoundRobin,
		Timeouts: Timeouts{
			Connect:   conf.Duration(3 * time.Second),
			FirstByte: conf.Duration(30 * time.Second),
			Idle:      conf.Duration(time.Minute),
			EventIdle: conf.Duration(time.Hour),
		},
		Pool: PoolConfig{
			MaxConnections: 256,
			MaxStreams:     4096,
			Queue:          1024,
			QueueTime:      conf.Duration(5 * time.Second),
			MaxIdle:        128,
			IdleTime:       conf.Duration(4 * time.Second),
		},
		Health: HealthConfig{
			Interval:       conf.Duration(5 * time.Second),
			Timeout:        conf.Duration(2 * time.Second),
			Expect:         StatusRange{200, 399},
			HealthyAfter:   2,
			UnhealthyAfter: 3,
		},
		Passive: PassiveConfig{
			Failures: 5,
			Window:   conf.Duration(10 * time.Second),
			For:      conf.Duration(10 * time.Second),
		},
	}
}

// Validate reports everything that is wrong with c. Files named in it are read by [Pools.Build], which
// reports those that cannot be.
func (c Config) Validate() []conf.Problem {
	v := &validator{}
	v.targets(c.Targets)
	if c.Balance != RoundRobin && c.Balance != LeastConnections {
		v.add("balance", fmt.Sprintf("%q is no way to balance; write round_robin or least_connections", c.Balance))
	}
	v.host("host", c.Host)
	v.tls(c)
	v.positive("timeouts.connect", c.Timeouts.Connect)
	v.positive("timeouts.first_byte", c.Timeouts.FirstByte)
	v.positive("timeouts.idle", c.Timeouts.Idle)
	v.positive("timeouts.event_idle", c.Timeouts.EventIdle)
	v.pool(c.Pool)
	if c.Health.Path != "" {
		v.health(c.Health)
	}
	if c.Passive.Failures < 0 {
		v.add("passive.failures", "is negative; 0 turns passive checks off")
	}
	if c.Passive.Failures > 0 {
		v.positive("passive.window", c.Passive.Window)
		v.positive("passive.for", c.Passive.For)
	}
	return v.problems
}

type validator struct{ problems []conf.Problem }

func (v *validator) add(path, reason string) {
	v.problems = append(v.problems, conf.Problem{Path: path, Reason: reason})
}

func (v *validator) positive(path string, d conf.Duration) {
	if d <= 0 {
		v.add(path, "must be longer than 0")
	}
}

func (v *validator) atLeast(path string, n, min int) {
	if n < min {
		v.add(path, fmt.Sprintf("is %d; the least is %d", n, min))
	}
}

func (v *validator) targets(targets []string) {
	if len(targets) == 0 {
		v.add("targets", "names no target; write at least one, as http://127.0.0.1:3000")
	}
	if len(targets) > maxTargets {
		v.add("targets", fmt.Sprintf("names %d targets; the most is %d", len(targets), maxTargets))
	}
	seen := map[string]int{}
	for i, raw := range targets {
		path := fmt.Sprintf("targets[%d]", i)
		a, err := parseTarget(raw)
		if err != nil {
			v.add(path, err.Error())
			continue
		}
		if first, twice := seen[a.url()]; twice {
			v.add(path, fmt.Sprintf("is the same target as targets[%d]", first))
			continue
		}
		seen[a.url()] = i
	}
}

func (v *validator) host(path, host string) {
	if host == "" {
		return
	}
	if u, err := url.Parse("http://" + host); err != nil || u.Host != host || u.User != nil {
		v.add(path, fmt.Sprintf("%q is not a host; write it as app.example.com or app.example.com:8080", host))
	}
}

func (v *validator) tls(c Config) {
	if (c.TLS.CertFile == "") != (c.TLS.KeyFile == "") {
		v.add("tls", "cert_file and key_file belong together; give both or neither")
	}
	if c.TLS.InsecureSkipVerify && (c.TLS.CAFile != "") {
		v.add("tls.insecure_skip_verify", "contradicts ca_file: either certificates are verified or not")
	}
	if c.TLS == (TLSConfig{}) {
		return
	}
	for _, raw := range c.Targets {
		if a, err := parseTarget(raw); err == nil && a.https {
			return
		}
	}
	v.add("tls", "is set, but no target begins with https://")
}

func (v *validator) pool(p PoolConfig) {
	v.atLeast("pool.max_connections", p.MaxConnections, 1)
	v.atLeast("pool.max_streams", p.MaxStreams, 1)
	v.atLeast("pool.queue", p.Queue, 0)
	v.atLeast("pool.max_idle", p.MaxIdle, 0)
	v.positive("pool.queue_time", p.QueueTime)
	v.positive("pool.idle_time", p.IdleTime)
}

func (v *validator) health(h HealthConfig) {
	if h.Path[0] != '/' || strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		v.add("health.path", fmt.Sprintf("%q is not a path; write it as /healthz", h.Path))
	}
	v.host("health.host", h.Host)
	v.positive("health.interval", h.Interval)
	v.positive("health.timeout", h.Timeout)
	v.atLeast("health.healthy_after", h.HealthyAfter, 1)
	v.atLeast("health.unhealthy_after", h.UnhealthyAfter, 1)
	if h.Expect.Min < 200 || h.Expect.Max > 599 || h.Expect.Min > h.Expect.Max {
		v.add("health.expect", fmt.Sprintf("%s is not a range of final statuses; write it as 200-399", h.Expect))
	}
}

// StatusRange is an inclusive range of statuses, written "200" or "200-399".
type StatusRange struct{ Min, Max int }

func (r StatusRange) String() string {
	if r.Min == r.Max {
		return strconv.Itoa(r.Min)
	}
	return strconv.Itoa(r.Min) + "-" + strconv.Itoa(r.Max)
}

// MarshalText writes the range as the configuration has it.
func (r StatusRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads "200" or "200-399".
func (r *StatusRange) UnmarshalText(b []byte) error {
	low, high, ranged := strings.Cut(string(b), "-")
	if !ranged {
		high = low
	}
	min, err1 := strconv.ParseUint(low, 10, 10)
	max, err2 := strconv.ParseUint(high, 10, 10)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("%q is not a range of statuses; write it as 200 or 200-399", b)
	}
	r.Min, r.Max = int(min), int(max)
	return nil
}

// address is a target taken apart.
type address struct {
	https bool
	host  string // without brackets
	port  string
}

func (a address) dial() string { return net.JoinHostPort(a.host, a.port) }

func (a address) url() string {
	if a.https {
		return "https://" + a.dial()
	}
	return "http://" + a.dial()
}

// authority is what Host carries when the target is addressed by its own name: no default port
// (RFC 9110 §4.2.3).
func (a address) authority() string {
	if (a.https && a.port == "443") || (!a.https && a.port == "80") {
		if strings.Contains(a.host, ":") {
			return "[" + a.host + "]"
		}
		return a.host
	}
	return a.dial()
}

func parseTarget(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		// The parser's own message would repeat a password in the address.
		return address{}, fmt.Errorf("is not an address of a target; write it as http://127.0.0.1:3000 or https://app.example.com")
	}
	switch {
	case u.User != nil:
		return address{}, fmt.Errorf("carries a name or password; send credentials with a header change on the route")
	case u.Path != "" && u.Path != "/":
		return address{}, fmt.Errorf("has the path %q; paths are forwarded as the visitor sent them, write only %s://%s", u.Path, u.Scheme, u.Host)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return address{}, fmt.Errorf("has a query or fragment; write only %s://%s", u.Scheme, u.Host)
	}
	a := address{https: u.Scheme == "https", host: strings.ToLower(u.Hostname()), port: u.Port()}
	if a.port == "" {
		a.port = map[bool]string{true: "443", false: "80"}[a.https]
	}
	if n, err := strconv.ParseUint(a.port, 10, 16); err != nil || n == 0 {
		return address{}, fmt.Errorf("has the port %q; a port is a number from 1 to 65535", a.port)
	}
	return a, nil
}
