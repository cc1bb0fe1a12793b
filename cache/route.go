package cache

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
)

// RouteConfig is what a route says about caching.
type RouteConfig struct {
	Mode           string        `yaml:"mode" enum:"origin|ttl|never" doc:"Whose word counts: the origin's Cache-Control (origin), the ttl given here (ttl), or nobody's (never)."`
	TTL            conf.Duration `yaml:"ttl" doc:"Freshness in mode ttl. Requests for such a route are fetched without cookies and authorization."`
	Override       string        `yaml:"override" enum:"freshness|private|all" doc:"What ttl outweighs: the origin's lifetimes only, also its private and no-cache (the default), or its no-store as well."`
	Query          QueryConfig   `yaml:"query" doc:"Which query parameters tell pages apart."`
	PrivateCookies []string      `yaml:"private_cookies" doc:"Names of cookies that make a request private: it passes the cache by. A name may end in *. Other cookies do not count."`
	SetCookie      string        `yaml:"set_cookie" enum:"refuse|store" doc:"A response with Set-Cookie is not stored (refuse), or stored as RFC 9111 permits (store)."`
	Targeted       []string      `yaml:"targeted" enum:"Tzero-Cache-Control|CDN-Cache-Control|Surrogate-Control" doc:"Response fields that outweigh Cache-Control and Expires, the first one present wins (RFC 9213): Tzero-Cache-Control, CDN-Cache-Control, Surrogate-Control. The first and the last end here; CDN-Cache-Control is sent on. With Surrogate-Control in the list the origin is sent Surrogate-Capability."`
	StoreStatuses  []int         `yaml:"store_statuses" doc:"Statuses that are stored although they speak about one request's form, so that a stranger could break a page for all: 400, 408, 413, 414, 417, 505."`
	Vary           string        `yaml:"vary" enum:"strict|lists|languages" doc:"How requests are compared by the fields that Vary names: as they stand (strict); without regard to how a list is split into lines and to whitespace around its commas, and to the order of languages (lists); also, who prefers a language to all others gets what is stored in that Content-Language (languages)."`
	MaxVariants    int           `yaml:"max_variants" doc:"How many responses are kept of one page that differ by what Vary names; the one stored first makes room."`
	NoVarySearch   string        `yaml:"no_vary_search" enum:"honour|ignore" doc:"Whether a stored page answers other queries that its No-Vary-Search calls equivalent. Mode origin only."`
	Post           string        `yaml:"post" enum:"refuse|store" doc:"The answer to a POST is not stored (refuse), or answers later GETs of the same target where it is a 200, declares its freshness and names that target in Content-Location (store; RFC 9110 §9.3.3)."`
	WriteBurst     int           `yaml:"write_burst" doc:"How many writes in a row of one client (an IPv4 address, an IPv6 /64) make stored pages void at once; 0 for no bound. The effect of further ones is delayed, so that a loop of writes cannot hold the cache empty."`
	WriteInterval  conf.Duration `yaml:"write_interval" doc:"In the long run a client's writes make pages void at once only this often; what it writes beyond takes effect within this time."`
	MaxObject      conf.Size     `yaml:"max_object" doc:"Largest response that is stored for this route; 0B means the cache's own limit."`
	HTMLMax        conf.Duration `yaml:"html_max" doc:"Longest time that HTML is kept in mode origin, whatever the origin says, because a deploy changes it; 0 for no limit."`
	HeuristicMax   conf.Duration `yaml:"heuristic_max" doc:"Longest freshness for responses that have a Last-Modified and declare none; 0 to give them none."`
	NegativeTTL    conf.Duration `yaml:"negative_ttl" doc:"Freshness of 404, 405, 410 and 501 that declare none; 0 to store none."`
	ServerErrorMax conf.Duration `yaml:"server_error_max" doc:"Longest time that a 5xx is kept, even if it declares more."`
	WhileStale     conf.Duration `yaml:"stale_while_revalidate" doc:"How long a stale page is served while a new one is fetched, where the origin says nothing about it."`
	IfError        conf.Duration `yaml:"stale_if_error" doc:"How long a stale page stands in for a 500, 502, 503 or 504, where the origin says nothing about it."`
	IfDown         conf.Duration `yaml:"stale_if_down" doc:"How long a stale page is served while the origin cannot be reached, unless the origin forbids it."`
	RefreshEarly   float64       `yaml:"refresh_early" doc:"How readily a page that is about to expire is fetched again before it does: in the long run this many times the duration of a fetch before its end, by chance (XFetch). 0 for never."`
	RefreshAt      float64       `yaml:"refresh_at" doc:"The share of its lifetime after which a page that is asked for is fetched again in the background, as 0.9; 0 for never. It costs origin requests and spares visitors the wait."`
	Tags           string        `yaml:"tags" enum:"strip|send" doc:"Whether Surrogate-Key and Cache-Tag, by which pages are purged, end here (strip) or are sent on to clients and outer caches (send)."`
	Reload         string        `yaml:"client_reload" enum:"honour|ignore" doc:"Whether a client's no-cache or max-age makes the gateway ask the origin."`
	ReloadEvery    conf.Duration `yaml:"client_reload_interval" doc:"A client's reload reaches the origin only when the stored page is older than this."`
	ShareErrors    bool          `yaml:"share_errors" doc:"A 5xx is answered to all who waited for it, with its status and a page of the gateway's own, instead of letting each ask the failing origin."`
}

// QueryConfig is the query's part of the key.
type QueryConfig struct {
	Mode  string   `yaml:"mode" enum:"all|none|allow|deny" doc:"Which parameters count: all, none, only the names (allow), all but the names (deny). What does not count is neither keyed nor forwarded on a cacheable fetch."`
	Names []string `yaml:"names" doc:"Parameter names for allow and deny. A name may end in *, or be name=value. The default with deny: the known tracking parameters."`
}

// DefaultRoute is what a route has without a cache section.
func DefaultRoute() RouteConfig {
	return RouteConfig{
		Mode:           "origin",
		Override:       "private",
		Query:          QueryConfig{Mode: "deny", Names: key.TrackingParameters()},
		SetCookie:      "refuse",
		Targeted:       []string{rfc9111.TzeroCacheControl.String(), rfc9111.CDNCacheControl.String()},
		Vary:           "strict",
		MaxVariants:    128,
		NoVarySearch:   "honour",
		Post:           "refuse",
		WriteBurst:     20,
		WriteInterval:  conf.Duration(time.Second),
		HTMLMax:        conf.Duration(10 * time.Minute),
		HeuristicMax:   conf.Duration(10 * time.Minute),
		ServerErrorMax: conf.Duration(time.Second),
		IfDown:         conf.Duration(24 * time.Hour),
		RefreshEarly:   1,
		Tags:           "strip",
		Reload:         "honour",
		ReloadEvery:    conf.Duration(time.Second),
		ShareErrors:    true,
	}
}

// Validate reports what is wrong.
func (c RouteConfig) Validate() []conf.Problem {
	var p []conf.Problem
	add := func(path, reason string) { p = append(p, conf.Problem{Path: path, Reason: reason}) }
	word := func(path, value, words string) {
		for w := range strings.SplitSeq(words, "|") {
			if value == w {
				return
			}
		}
		add(path, "must be one of "+strings.ReplaceAll(words, "|", ", "))
	}
	word("mode", c.Mode, "origin|ttl|never")
	word("override", c.Override, "freshness|private|all")
	word("query.mode", c.Query.Mode, "all|none|allow|deny")
	word("set_cookie", c.SetCookie, "refuse|store")
	word("client_reload", c.Reload, "honour|ignore")
	word("tags", c.Tags, "strip|send")
	if !(c.RefreshEarly >= 0 && c.RefreshEarly <= 100) {
		add("refresh_early", "must be between 0 and 100")
	}
	if c.RefreshAt != 0 && !(c.RefreshAt >= 0.1 && c.RefreshAt < 1) {
		add("refresh_at", "must be 0, or at least 0.1 and less than 1")
	}
	word("vary", c.Vary, "strict|lists|languages")
	word("no_vary_search", c.NoVarySearch, "honour|ignore")
	word("post", c.Post, "refuse|store")
	if c.MaxVariants < 1 || c.MaxVariants > 1024 {
		add("max_variants", "must be between 1 and 1024")
	}
	if c.WriteBurst < 0 || c.WriteBurst > 1e6 {
		add("write_burst", "must be between 0 and 1000000")
	}
	if c.WriteBurst > 0 && (c.WriteInterval.D() < time.Millisecond || c.WriteInterval.D() > time.Minute) {
		add("write_interval", "must be between 1ms and 1m")
	}
	if c.Mode == "ttl" && c.TTL == 0 {
		add("ttl", "must be given in mode ttl; use mode never to store nothing")
	}
	if c.Mode != "ttl" && c.TTL != 0 {
		add("ttl", "has no effect without mode: ttl")
	}
	if c.Mode != "ttl" && (c.Override == "freshness" || c.Override == "all") {
		add("override", "has no effect without mode: ttl")
	}
	if _, err := key.NewQueryRule(key.All, c.Query.Names); err != nil {
		add("query.names", err.Error())
	}
	if c.Query.Mode == "allow" && len(c.Query.Names) == 0 {
		add("query.names", "must name a parameter in mode allow; use mode none to keep none")
	}
	for i, n := range c.PrivateCookies {
		if strings.TrimSuffix(n, "*") == "" || strings.ContainsAny(strings.TrimSuffix(n, "*"), "*=; ,\t") {
			add(item("private_cookies", i), fmt.Sprintf("no cookie has the name %q", n))
		}
	}
	for i, n := range c.Targeted {
		if _, ok := rfc9111.TargetOf(n); !ok {
			add(item("targeted", i), "must be one of Tzero-Cache-Control, CDN-Cache-Control, Surrogate-Control")
		} else if slices.Index(c.Targeted, n) != i {
			add(item("targeted", i), n+" stands there twice")
		}
	}
	for i, s := range c.StoreStatuses {
		if !rfc9111.StoredByChoice(s) {
			add(item("store_statuses", i), "must be one of 400, 408, 413, 414, 417, 505")
		}
	}
	if c.MaxObject > 1<<30 {
		add("max_object", "must be at most 1GiB")
	}
	return p
}

func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Policy is a compiled RouteConfig: immutable, shared by all requests of a route.
type Policy struct {
	rules       rfc9111.Rules
	query       *key.QueryRule
	cookies     []cookieName
	maxObject   int64 // 0: the cache's
	reload      time.Duration
	shareErrors bool
	early       float64 // times the duration of a fetch; 0: never
	refreshAt   float64 // share of the lifetime; 0: never
	stripTags   bool
	surrogate   bool

	normal        rfc9111.Normal
	maxVariants   int
	search        bool // No-Vary-Search is honoured
	posts         bool // answers to POST may be stored
	writeBurst    int  // 0: no bound
	writeInterval time.Duration
}

type cookieName struct {
	name   string
	prefix bool
}

// Compile turns a valid RouteConfig into a Policy.
func (c RouteConfig) Compile() (*Policy, error) {
	mode := map[string]key.Mode{"all": key.All, "none": key.None, "allow": key.Allow, "deny": key.Deny}[c.Query.Mode]
	query, err := key.NewQueryRule(mode, c.Query.Names)
	if err != nil {
		return nil, err
	}
	p := &Policy{
		query:       query,
		maxObject:   int64(c.MaxObject),
		reload:      c.ReloadEvery.D(),
		shareErrors: c.ShareErrors,
		early:       c.RefreshEarly,
		refreshAt:   c.RefreshAt,
		stripTags:   c.Tags == "strip",

		normal:        map[string]rfc9111.Normal{"lists": rfc9111.NormalLists, "languages": rfc9111.NormalLanguages}[c.Vary],
		maxVariants:   c.MaxVariants,
		search:        c.NoVarySearch == "honour" && c.Mode == "origin" && c.Query.Mode != "none",
		posts:         c.Post == "store",
		writeBurst:    c.WriteBurst,
		writeInterval: c.WriteInterval.D(),
		rules: rfc9111.Rules{
			Mode:           map[string]rfc9111.Mode{"origin": rfc9111.Origin, "ttl": rfc9111.TTL, "never": rfc9111.Never}[c.Mode],
			TTL:            c.TTL.D(),
			Override:       map[string]rfc9111.Override{"freshness": rfc9111.OverrideFreshness, "all": rfc9111.OverrideAll}[c.Override],
			StoreSetCookie: c.SetCookie == "store",
			StoreStatus:    c.StoreStatuses,
			HeuristicMax:   c.HeuristicMax.D(),
			HTMLMax:        c.HTMLMax.D(),
			NegativeTTL:    c.NegativeTTL.D(),
			ServerErrorMax: c.ServerErrorMax.D(),
			WhileStale:     c.WhileStale.D(),
			IfError:        c.IfError.D(),
			IfDown:         c.IfDown.D(),
		},
	}
	for _, n := range c.Targeted {
		target, _ := rfc9111.TargetOf(n)
		p.rules.Targets = append(p.rules.Targets, target)
	}
	p.surrogate = slices.Contains(p.rules.Targets, rfc9111.SurrogateControl)
	if c.Reload == "ignore" {
		p.reload = -1
	}
	for _, n := range c.PrivateCookies {
		name, prefix := strings.CutSuffix(n, "*")
		p.cookies = append(p.cookies, cookieName{name, prefix})
	}
	return p, nil
}

// StripsCredentials reports whether cacheable fetches of the route must carry neither Cookie nor
// Authorization: under an operator's TTL the answer is everybody's.
func (p *Policy) StripsCredentials() bool { return p.rules.Mode == rfc9111.TTL }

// Stores reports whether the route stores anything.
func (p *Policy) Stores() bool { return p.rules.Mode != rfc9111.Never }

// StoresPosts reports whether answers to POST may be stored.
func (p *Policy) StoresPosts() bool { return p.posts }

// Own reports whether a response field speaks to this cache alone and is not sent on.
func (p *Policy) Own(name []byte) bool {
	if p.stripTags && isTag(name) {
		return true
	}
	for _, t := range p.rules.Targets {
		if t.OneHop() && field.EqualFold(name, t.String()) {
			return true
		}
	}
	return false
}

// Withhold takes out of a response what the origin said to this cache, and to others of its kind, alone.
func (p *Policy) Withhold(fields *field.List) {
	f := *fields
	for i := range f {
		if p.withheld(f[i].Name) {
			*fields = slices.DeleteFunc(f, func(l field.Field) bool { return p.withheld(l.Name) })
			return
		}
	}
}

func (p *Policy) withheld(name []byte) bool {
	switch len(name) {
	case len("Surrogate-Key"), len("Cache-Tag"):
		return p.stripTags && isTag(name)
	case len("Surrogate-Control"):
		return p.surrogate && field.EqualFold(name, rfc9111.SurrogateControl.String())
	}
	return false
}

// Surrogate reports whether the origin is to be told that it can use Surrogate-Control.
func (p *Policy) Surrogate() bool { return p.surrogate }

// AppendTarget appends the target as it is keyed and as a cacheable fetch must be sent to the origin.
// Requests that pass the cache by keep their raw target.
func (p *Policy) AppendTarget(dst []byte, q *Request) []byte {
	return key.AppendTarget(dst, q.Path, q.Query, q.HasQuery, p.query)
}

// private reports whether a request carries one of the route's private cookies (RFC 6265 §4.2).
func (p *Policy) private(fields field.List) bool {
	if len(p.cookies) == 0 {
		return false
	}
	for i := range fields {
		if !field.EqualFold(fields[i].Name, "Cookie") {
			continue
		}
		for rest := fields[i].Value; len(rest) > 0; {
			var pair []byte
			pair, rest, _ = bytes.Cut(rest, []byte(";"))
			name, _, _ := bytes.Cut(field.TrimOWS(pair), []byte("="))
			if p.names(field.TrimOWS(name)) {
				return true
			}
		}
	}
	return false
}

func (p *Policy) names(cookie []byte) bool {
	for i := range p.cookies {
		c := &p.cookies[i]
		if string(cookie) == c.name || c.prefix && len(cookie) >= len(c.name) && string(cookie[:len(c.name)]) == c.name {
			return true
		}
	}
	return false
}
