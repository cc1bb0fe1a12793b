// Package configs composes the configuration of the whole gateway from the parts that the packages own:
// one YAML file, environment variables and flags, read strictly, checked as a whole, described once for the
// reference page and the JSON Schema, and read again on SIGHUP.
package configs

import (
	"fmt"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l2"
	"github.com/tzero-edge/tzero/configs/strict"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/proxy/decisionlog"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/listen"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/route"
	"github.com/tzero-edge/tzero/proxy/tunnel"
	"github.com/tzero-edge/tzero/ratelimit"
)

// Config is the whole configuration. To add a part: a field here, its default in Default, its Validate
// in parts, and, for list items and map values, its default in items.
type Config struct {
	Listeners   []listen.Config          `yaml:"listeners" restart:"address" doc:"Where clients connect."`
	StateDir    string                   `yaml:"state_dir" restart:"true" doc:"Directory for what outlives the process: the admin socket, later the journal. Empty: the one that systemd gives ($STATE_DIRECTORY), else /var/lib/tzero for root, else ~/.local/state/tzero."`
	Admin       admin.Config             `yaml:"admin" restart:"address,token,public_reads,hosts" doc:"The server for operators: metrics, status, health, reload."`
	Redis       redis.Config             `yaml:"redis" restart:"true" doc:"The Redis that several gateways share: what one of them fetches answers all, a page that nobody has is fetched by one, and a purge reaches everybody. Without it a gateway stands alone."`
	Shared      l2.Config                `yaml:"shared" restart:"true" doc:"What is kept in Redis for all gateways."`
	Origins     map[string]origin.Config `yaml:"origins" doc:"The apps behind the gateway, by a name of your choice."`
	Routes      []Route                  `yaml:"routes" doc:"Which request goes where; the most specific one takes it, whatever the order. With a single origin and no routes, everything goes there."`
	Cache       cache.Config             `yaml:"cache" restart:"memory,max_object,jitter" doc:"The store in memory. What is stored, and for how long, is each route's cache section."`
	Compression encode.Config            `yaml:"compression" doc:"Compression of answers for clients that ask for it. A route can switch it off."`
	RateLimits  ratelimit.Config         `yaml:"rate_limits" restart:"keys" doc:"How many requests a client may send. Nobody is limited until a policy is named here."`
	Clients     headers.Config           `yaml:"clients" doc:"Whose word about a client's address and scheme is believed."`
	Limits      listen.Limits            `yaml:"limits" doc:"What clients can make the gateway hold."`
	Tunnels     tunnel.Config            `yaml:"tunnels" doc:"WebSocket and other upgraded connections."`
	Logging     Logging                  `yaml:"logging" doc:"What the gateway writes about itself and about requests."`
	Shutdown    Shutdown                 `yaml:"shutdown" doc:"How the gateway ends on SIGTERM."`
}

// Route is one route with what other packages own about it.
type Route struct {
	route.Config `yaml:",inline"`
	Cache        cache.RouteConfig `yaml:"cache" doc:"What of this route is stored, and for how long."`
	RateLimits   []string          `yaml:"rate_limits" doc:"Names of policies under rate_limits.policies that hold for this route, instead of rate_limits.default. An empty list: none."`
}

// Logging is the process's own log and the decision log.
type Logging struct {
	Level     string             `yaml:"level" enum:"debug|info|warn|error" doc:"Least severity of the gateway's own messages."`
	Format    string             `yaml:"format" enum:"text|json" restart:"true" doc:"Form of the gateway's own messages; they go to stderr."`
	Decisions decisionlog.Config `yaml:"decisions" doc:"The decision log: one line per request with every decision and its reason."`
}

// Shutdown bounds the end of the process.
type Shutdown struct {
	Think conf.Duration `yaml:"think" doc:"How long an idle connection may still send a request, which is answered with Connection: close; then it is closed."`
	Grace conf.Duration `yaml:"grace" doc:"How long requests under way may take; what is left then is cut and counted."`
}

// Default is the configuration without a file: complete but for an origin.
func Default() Config {
	return Config{
		Listeners:   []listen.Config{listen.Default()},
		Admin:       admin.Default(),
		Redis:       redis.Default(),
		Shared:      l2.Default(),
		Cache:       cache.Default(),
		Compression: encode.Default(),
		RateLimits:  ratelimit.Default(),
		Clients:     headers.Default(),
		Limits:      listen.DefaultLimits(),
		Tunnels:     tunnel.Default(),
		Logging:     Logging{Level: "info", Format: "text", Decisions: decisionlog.Default()},
		Shutdown:    Shutdown{Think: conf.Duration(2 * time.Second), Grace: conf.Duration(30 * time.Second)},
	}
}

// DefaultRoute is the start value of every item of routes.
func DefaultRoute() Route { return Route{Config: route.DefaultItem(), Cache: cache.DefaultRoute()} }

// options says what items of lists and maps start from.
func options() strict.Options {
	return strict.Options{Items: strict.Items(listen.Default, origin.Default, DefaultRoute, ratelimit.DefaultPolicy)}
}

// parts asks every package about its part.
func (c *Config) parts() []conf.Problem {
	var ps []conf.Problem
	for i, l := range c.Listeners {
		ps = append(ps, conf.Under(fmt.Sprintf("listeners[%d]", i), l.Validate())...)
	}
	for _, name := range c.originNames() {
		ps = append(ps, conf.Under("origins."+name, c.Origins[name].Validate())...)
	}
	for i := range c.Routes {
		ps = append(ps, conf.Under(fmt.Sprintf("routes[%d]", i), c.Routes[i].parts())...)
	}
	ps = append(ps, conf.Under("admin", c.Admin.Validate())...)
	ps = append(ps, conf.Under("redis", c.Redis.Validate())...)
	ps = append(ps, conf.Under("shared", c.Shared.Validate())...)
	ps = append(ps, conf.Under("cache", c.Cache.Validate())...)
	ps = append(ps, conf.Under("compression", c.Compression.Validate())...)
	ps = append(ps, conf.Under("rate_limits", c.RateLimits.Validate())...)
	ps = append(ps, conf.Under("clients", c.Clients.Validate())...)
	ps = append(ps, conf.Under("tunnels", c.Tunnels.Validate())...)
	ps = append(ps, conf.Under("limits", c.Limits.Validate())...)
	ps = append(ps, conf.Under("logging.decisions", c.Logging.Decisions.Validate())...)
	return append(ps, conf.Under("shutdown", c.Shutdown.Validate())...)
}

// parts asks about what a route has besides its routing, which is checked with all routes together.
func (r *Route) parts() []conf.Problem {
	request, response := headers.ChangeConfig(r.RequestHeaders), headers.ChangeConfig(r.ResponseHeaders)
	ps := conf.Under("cache", r.Cache.Validate())
	ps = append(ps, conf.Under("request_headers", request.Validate(headers.Request))...)
	return append(ps, conf.Under("response_headers", response.Validate(headers.Response))...)
}

// Validate checks the shutdown's times.
func (s Shutdown) Validate() []conf.Problem {
	var ps []conf.Problem
	if s.Grace.D() < time.Second || s.Grace.D() > time.Hour {
		ps = append(ps, conf.Problem{Path: "grace", Reason: "must lie between 1s and 1h"})
	}
	if s.Think > s.Grace {
		ps = append(ps, conf.Problem{Path: "think", Reason: fmt.Sprintf("is longer than grace (%s), which ends everything", s.Grace)})
	}
	return ps
}
