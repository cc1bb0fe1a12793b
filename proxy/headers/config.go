package headers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/netset"
)

// Config is the section `clients`: whose word about the client is believed, and how loops are noticed.
type Config struct {
	TrustedProxies []string `yaml:"trusted_proxies" doc:"Addresses or prefixes of proxies in front of tzero whose Forwarded and X-Forwarded-* headers are believed. The words loopback, private (RFC 1918, fc00::/7) and link-local stand for those ranges. Empty: nobody is believed."`
	ClientFrom     string   `yaml:"client_from" doc:"Where trusted proxies say who the client is. auto: X-Forwarded-For, and Forwarded where that is missing." enum:"auto|x-forwarded-for|forwarded"`
	ForwardedHost  bool     `yaml:"forwarded_host" doc:"Whether trusted proxies may also name the host the client asked for (X-Forwarded-Host, Forwarded). Many pass a client's own value on; set it only where yours does not."`
	LoopID         string   `yaml:"loop_id" doc:"The name by which this gateway knows itself again in CDN-Loop (RFC 8586) and which it writes into Via."`
	MaxLoops       int      `yaml:"max_loops" doc:"How many times a request may have passed through a gateway with this loop_id before it is refused as a loop. Two gateways in series need 2."`
}

// Default returns the configuration that believes nobody.
func Default() Config {
	return Config{ClientFrom: FromAuto, LoopID: "tzero", MaxLoops: 3}
}

// The values of Config.ClientFrom.
const (
	FromAuto          = "auto"
	FromXForwardedFor = "x-forwarded-for"
	FromForwarded     = "forwarded"
)

// Validate checks the section.
func (c Config) Validate() []conf.Problem {
	var problems []conf.Problem
	add := func(path, format string, args ...any) {
		problems = append(problems, conf.Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	for i, s := range c.TrustedProxies {
		if _, err := newTrust([]string{s}); err != nil {
			add(fmt.Sprintf("trusted_proxies[%d]", i), "%v", err)
		}
	}
	if !slices.Contains([]string{FromAuto, FromXForwardedFor, FromForwarded}, c.ClientFrom) {
		add("client_from", "%q is not one of auto, x-forwarded-for and forwarded", c.ClientFrom)
	}
	if !isToken([]byte(c.LoopID)) || len(c.LoopID) > 64 {
		add("loop_id", "%q is not a name of up to 64 token characters", c.LoopID)
	}
	if c.MaxLoops < 1 || c.MaxLoops > 100 {
		add("max_loops", "%d is not between 1 and 100", c.MaxLoops)
	}
	return problems
}

// Policy is the compiled Config: immutable, shared by all requests.
type Policy struct {
	trust    netset.Set
	from     string
	useHost  bool
	loopID   string
	maxLoops int

	loopLine []byte                   // our CDN-Loop member
	via      [len(viaVersions)][]byte // our Via member by received protocol version
}

// New compiles a configuration.
func New(c Config) (*Policy, []conf.Problem) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, problems
	}
	p := &Policy{from: c.ClientFrom, useHost: c.ForwardedHost, loopID: c.LoopID, maxLoops: c.MaxLoops}
	p.trust, _ = newTrust(c.TrustedProxies)
	p.loopLine = []byte(c.LoopID)
	for i, version := range viaVersions {
		p.via[i] = []byte(version + " " + c.LoopID)
	}
	return p, nil
}

// Trust returns the trusted proxies, for whoever else has to ask (the PROXY protocol).
func (p *Policy) Trust() netset.Set { return p.trust }

// viaFor returns our Via member for a message received in the given protocol version ("1.1").
func (p *Policy) viaFor(version string) []byte {
	for i := range viaVersions {
		if viaVersions[i] == version {
			return p.via[i]
		}
	}
	return p.via[0]
}

// viaVersions are the protocol versions that Via names; an unknown one is called by the first.
var viaVersions = [...]string{"1.1", "1.0", "2", "3"}

// ChangeConfig lists changes to a header section: first lines are removed, then set, then added.
type ChangeConfig struct {
	Set    map[string]string `yaml:"set" doc:"Headers to set, in place of all lines of that name."`
	Add    map[string]string `yaml:"add" doc:"Headers to append as one more line."`
	Remove []string          `yaml:"remove" doc:"Headers to remove."`
}

// Side says which way a header section travels.
type Side uint8

// The sides.
const (
	Request  Side = iota // towards the origin
	Response             // towards the client
)

// Validate checks a list of changes for one side.
func (c ChangeConfig) Validate(side Side) []conf.Problem {
	var problems []conf.Problem
	check := func(path, name, value string) {
		if reason := changeFault(side, name, value); reason != "" {
			problems = append(problems, conf.Problem{Path: path, Reason: reason})
		}
	}
	for _, list := range []struct {
		key    string
		values map[string]string
	}{{"set", c.Set}, {"add", c.Add}} {
		for _, name := range sortedNames(list.values) {
			check(list.key+"."+name, name, list.values[name])
			for _, other := range sortedNames(list.values) {
				if other < name && strings.EqualFold(other, name) {
					problems = append(problems, conf.Problem{Path: list.key + "." + name, Reason: fmt.Sprintf("%s names the same header", other)})
				}
			}
		}
	}
	for i, name := range c.Remove {
		check(fmt.Sprintf("remove[%d]", i), name, "")
	}
	return problems
}
