package ratelimit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/netset"
)

// Config is the section `rate_limits`.
type Config struct {
	Policies map[string]PolicyConfig `yaml:"policies" doc:"Rate limits, by a name of your choice; the name goes out in the RateLimit fields. Routes name those that hold for them."`
	Default  []string                `yaml:"default" doc:"Policies of the routes that name none with rate_limits."`
	Allow    []string                `yaml:"allow" doc:"Addresses, prefixes or the words loopback, private and link-local that no rate limit and no deny list stops: your office, your monitoring."`
	Deny     []string                `yaml:"deny" doc:"Addresses and prefixes that get 403, whatever they ask for."`
	Keys     int                     `yaml:"keys" doc:"How many clients are remembered, over all policies; 32 bytes each. Beyond it, those whose allowance is whole first are forgotten."`
}

// PolicyConfig is one rate limit.
type PolicyConfig struct {
	By        []string `yaml:"by" doc:"Who shares an allowance. address: the client's (IPv6 by /64, and its /48 may take 32 times as much); route; everyone; header:NAME and cookie:NAME: the value, or the address where there is none. Several words make a combination."`
	Rate      Rate     `yaml:"rate" doc:"Requests per time, as 100/1m or 5/s."`
	Burst     int      `yaml:"burst" doc:"How many requests may come at once; 0: as many as rate says."`
	Count     string   `yaml:"count" doc:"origin: only requests that go to the origin, so that what is stored is free; all: every request." enum:"origin|all"`
	Exact     bool     `yaml:"exact" doc:"Ask Redis about every request, so that gateways that share it count together to the request; for logins and the like. It needs count: origin. Otherwise they tell each other about once a second."`
	OnFailure string   `yaml:"on_failure" doc:"What an exact policy does while Redis does not answer. local: each gateway counts for itself, its part of the rate; refuse: 503." enum:"local|refuse"`
	DryRun    bool     `yaml:"dry_run" doc:"Count and report who would be refused, refuse nobody."`
	Page      string   `yaml:"page" doc:"HTML that browsers get with the 429, in place of tzero's own page."`
}

// The values of PolicyConfig.Count.
const (
	CountOrigin = "origin"
	CountAll    = "all"
)

// The values of PolicyConfig.OnFailure.
const (
	OnFailureLocal  = "local"
	OnFailureRefuse = "refuse"
)

// Bounds of the configuration.
const (
	maxPolicies  = 32 // of a configuration
	MaxPerRoute  = 4
	maxParts     = 4
	minKeys      = 1000
	maxKeys      = 50_000_000
	maxPage      = 256 << 10
	maxBurst     = 1_000_000
	maxBurstTime = 31 * 24 * time.Hour
)

// Default returns the section without policies.
func Default() Config { return Config{Keys: 200_000} }

// DefaultPolicy is the start value of every policy.
func DefaultPolicy() PolicyConfig {
	return PolicyConfig{By: []string{"address"}, Count: CountOrigin, OnFailure: OnFailureLocal}
}

// Enabled reports whether the section limits anybody.
func (c Config) Enabled() bool { return len(c.Policies)+len(c.Deny) > 0 }

// Rate is a number of requests per time.
type Rate struct {
	N   int
	Per time.Duration
}

func (r Rate) String() string {
	if r.N == 0 {
		return ""
	}
	return strconv.Itoa(r.N) + "/" + conf.Duration(r.Per).String()
}

// MarshalText writes a rate as UnmarshalText reads it.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads 100/1m, 100/m or 5/s.
func (r *Rate) UnmarshalText(b []byte) error {
	fault := func() error {
		return fmt.Errorf("%q is not a rate; write requests per time, as 100/1m or 5/s", string(b))
	}
	number, per, ok := strings.Cut(string(b), "/")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if !ok || err != nil || n < 1 {
		return fault()
	}
	per = strings.TrimSpace(per)
	if per != "" && (per[0] < '0' || per[0] > '9') {
		per = "1" + per
	}
	var d conf.Duration
	if err := d.UnmarshalText([]byte(per)); err != nil || d <= 0 {
		return fault()
	}
	*r = Rate{n, d.D()}
	return nil
}

// Validate checks the section.
func (c Config) Validate() []conf.Problem {
	var ps []conf.Problem
	add := func(path, format string, args ...any) {
		ps = append(ps, conf.Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	if len(c.Policies) > maxPolicies {
		add("policies", "there are %d; at most %d", len(c.Policies), maxPolicies)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Policies)) {
		if !isName(name) {
			add("policies."+name, "a name has up to 64 letters, digits, '_', '-' and '.'")
		}
		ps = append(ps, conf.Under("policies."+name, c.Policies[name].validate())...)
	}
	ps = append(ps, conf.Under("default", c.Named(c.Default))...)
	for _, list := range []struct {
		key   string
		items []string
	}{{"allow", c.Allow}, {"deny", c.Deny}} {
		for i, s := range list.items {
			if _, err := netset.Parse(s); err != nil {
				add(fmt.Sprintf("%s[%d]", list.key, i), "%v", err)
			}
		}
	}
	if c.Keys < minKeys || c.Keys > maxKeys {
		add("keys", "must lie between %d and %d", minKeys, maxKeys)
	}
	return ps
}

// Named checks a list of policies' names.
func (c Config) Named(names []string) []conf.Problem {
	var ps []conf.Problem
	if len(names) > MaxPerRoute {
		ps = append(ps, conf.Problem{Reason: fmt.Sprintf("names %d policies; at most %d hold for one route", len(names), MaxPerRoute)})
	}
	for i, name := range names {
		path := fmt.Sprintf("[%d]", i)
		if _, ok := c.Policies[name]; !ok {
			known := "there is none"
			if all := slices.Sorted(maps.Keys(c.Policies)); len(all) > 0 {
				known = "there are " + strings.Join(all, ", ")
			}
			ps = append(ps, conf.Problem{Path: path, Reason: fmt.Sprintf("no policy under rate_limits.policies is called %q; %s", name, known)})
		}
		if slices.Contains(names[:i], name) {
			ps = append(ps, conf.Problem{Path: path, Reason: fmt.Sprintf("%q stands there twice", name)})
		}
	}
	return ps
}

func (p PolicyConfig) validate() []conf.Problem {
	var ps []conf.Problem
	add := func(path, format string, args ...any) {
		ps = append(ps, conf.Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
	}
	if _, fault := compileParts(p.By); fault != "" {
		add("by", "%s", fault)
	}
	switch q := p.quota(); {
	case p.Rate.N == 0:
		add("rate", "is missing; write requests per time, as 100/1m or 5/s")
	case q.Interval < int64(time.Microsecond):
		add("rate", "%s is more than a million a second; leave the policy out", p.Rate)
	case p.Burst < 0 || p.burst() > maxBurst:
		add("burst", "must lie between 0 and %d", maxBurst)
	case time.Duration(q.Interval) > maxBurstTime || time.Duration(q.Burst) > maxBurstTime:
		add("rate", "a burst of %d at %s takes longer to come back than %s", p.burst(), p.Rate, conf.Duration(maxBurstTime))
	}
	if p.Count != CountOrigin && p.Count != CountAll {
		add("count", "%q is neither %s nor %s", p.Count, CountOrigin, CountAll)
	}
	if p.OnFailure != OnFailureLocal && p.OnFailure != OnFailureRefuse {
		add("on_failure", "%q is neither %s nor %s", p.OnFailure, OnFailureLocal, OnFailureRefuse)
	}
	switch {
	case p.Exact && p.Count != CountOrigin:
		add("exact", "needs count: %s, since what is answered from memory does not wait for Redis", CountOrigin)
	case !p.Exact && p.OnFailure == OnFailureRefuse:
		add("on_failure", "has no effect without exact: true")
	}
	if len(p.Page) > maxPage {
		add("page", "has %d bytes; at most %d", len(p.Page), maxPage)
	}
	return ps
}

func (p PolicyConfig) burst() int {
	if p.Burst == 0 {
		return p.Rate.N
	}
	return p.Burst
}

func (p PolicyConfig) quota() Quota {
	if p.Rate.N == 0 {
		return Quota{}
	}
	interval := int64(p.Rate.Per) / int64(p.Rate.N)
	if interval > int64(maxBurstTime) {
		return Quota{interval, interval}
	}
	return Quota{interval, interval * int64(min(p.burst(), maxBurst))}
}

// part is one word of PolicyConfig.By.
type part struct {
	kind partKind
	name string // of the header or cookie
}

type partKind uint8

const (
	byAddress partKind = iota
	byRoute
	byEveryone
	byHeader
	byCookie
)

func compileParts(words []string) (parts []part, fault string) {
	if len(words) == 0 || len(words) > maxParts {
		return nil, fmt.Sprintf("needs between 1 and %d words: address, route, everyone, header:NAME or cookie:NAME", maxParts)
	}
	for i, word := range words {
		kind, name, named := strings.Cut(word, ":")
		p := part{name: name}
		switch kind {
		case "address":
			p.kind = byAddress
		case "route":
			p.kind = byRoute
		case "everyone":
			p.kind = byEveryone
		case "header":
			p.kind = byHeader
		case "cookie":
			p.kind = byCookie
		default:
			return nil, fmt.Sprintf("%q is none of address, route, everyone, header:NAME and cookie:NAME", word)
		}
		if needs := p.kind == byHeader || p.kind == byCookie; named != needs || needs && !isToken(name) {
			return nil, fmt.Sprintf("%q: write address, route or everyone as they are, header and cookie with a name, as header:X-Api-Key", word)
		}
		if slices.Contains(words[:i], word) {
			return nil, fmt.Sprintf("%q stands there twice", word)
		}
		if p.kind == byEveryone && len(words) > 1 {
			return nil, "everyone stands alone; for a limit on each route, write route"
		}
		parts = append(parts, p)
	}
	return parts, ""
}

// isName keeps names fit for labels, messages and a quoted string in a field.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && c != '-' && c != '.' && !alphanumeric(c) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// isToken is RFC 9110 §5.6.2, which names of fields and cookies have to be.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
