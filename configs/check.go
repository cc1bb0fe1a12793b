package configs

import (
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/configs/strict"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy/route"
)

func (c *Config) originNames() []string { return slices.Sorted(maps.Keys(c.Origins)) }

// imply fills in what follows from the rest: with one origin and no route, everything goes there.
func (c *Config) imply() {
	if len(c.Routes) == 0 && len(c.Origins) == 1 {
		r := DefaultRoute()
		r.Origin = c.originNames()[0]
		c.Routes = []Route{r}
	}
}

// forgetNames empties the default list of query parameters, which is the one of the mode deny, where the
// file chooses another mode without names of its own.
func (c *Config) forgetNames(sources *strict.Sources) {
	for i := range c.Routes {
		q := &c.Routes[i].Cache.Query
		if _, given := sources.Of(fmt.Sprintf("routes[%d].cache.query.names", i)); !given && q.Mode != "deny" {
			q.Names = nil
		}
	}
}

// RouteConfigs returns the routing part of the routes, in their order.
func (c *Config) RouteConfigs() []route.Config {
	routes := make([]route.Config, len(c.Routes))
	for i := range c.Routes {
		routes[i] = c.Routes[i].Config
	}
	return routes
}

// routing checks the routes, each for itself and against the others, and what refers to them by name.
func (c *Config) routing() []conf.Problem {
	table, ps := route.New(c.RouteConfigs())
	ps = conf.Under("routes", ps)
	if table == nil {
		return ps
	}
	var names []string
	for _, r := range table.Routes() {
		names = append(names, r.Name)
	}
	for i, name := range c.Logging.Decisions.SkipRoutes {
		if !slices.Contains(names, name) {
			ps = append(ps, conf.Problem{Path: fmt.Sprintf("logging.decisions.skip_routes[%d]", i),
				Reason: fmt.Sprintf("no route is called %q%s", name, strict.Hint(name, names))})
		}
	}
	return ps
}

// across checks what no package can see alone.
func (c *Config) across() []conf.Problem {
	ps := c.nothingToServe()
	for _, name := range c.originNames() {
		if !isName(name) {
			ps = append(ps, conf.Problem{Path: "origins." + name, Reason: "a name has up to 64 letters, digits, '_', '-' and '.'"})
		}
	}
	for i := range c.Routes {
		ps = append(ps, conf.Under(fmt.Sprintf("routes[%d].rate_limits", i), c.RateLimits.Named(c.Routes[i].RateLimits))...)
		name := c.Routes[i].Origin
		if _, known := c.Origins[name]; name == "" || known {
			continue
		}
		ps = append(ps, conf.Problem{Path: fmt.Sprintf("routes[%d].origin", i),
			Reason: fmt.Sprintf("no origin is called %q%s", name, strict.Hint(name, c.originNames()))})
	}
	return append(ps, c.addresses()...)
}

// isName keeps names fit for labels, messages and paths.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && c != '-' && c != '.' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

func (c *Config) nothingToServe() []conf.Problem {
	switch {
	case len(c.Routes) > 0:
		return nil
	case len(c.Origins) == 0:
		return []conf.Problem{{Path: "origins", Reason: "there is no origin and no route, so nothing could be served; " +
			"run with --origin http://127.0.0.1:3000, or name the app under origins"}}
	}
	return []conf.Problem{{Path: "routes", Reason: fmt.Sprintf(
		"there are %d origins but no route says which requests go to which of them", len(c.Origins))}}
}

// addresses checks that no two things listen on one address, and that the PROXY protocol has a sender.
func (c *Config) addresses() []conf.Problem {
	var ps []conf.Problem
	if len(c.Listeners) == 0 {
		ps = append(ps, conf.Problem{Path: "listeners", Reason: "the list is empty, so no client could connect"})
	}
	seen := map[string]string{}
	if c.Admin.Address != "" {
		seen[c.Admin.Address] = "admin.address"
	}
	for i, l := range c.Listeners {
		path := fmt.Sprintf("listeners[%d].address", i)
		if first, twice := seen[l.Address]; twice && !anyPort(l.Address) {
			ps = append(ps, conf.Problem{Path: path, Reason: fmt.Sprintf("is also the address of %s", first)})
		}
		seen[l.Address] = path
		if l.ProxyProtocol && len(c.Clients.TrustedProxies) == 0 {
			ps = append(ps, conf.Problem{Path: fmt.Sprintf("listeners[%d].proxy_protocol", i),
				Reason: "needs clients.trusted_proxies: only peers in those ranges may send a PROXY header, and there are none"})
		}
	}
	return ps
}

// anyPort reports whether the system chooses the port: such addresses may repeat.
func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && port == "0"
}

// doubts are warnings: what is likely a mistake but does no harm.
func (c *Config) doubts() []conf.Problem {
	used := map[string]bool{}
	for i := range c.Routes {
		used[c.Routes[i].Origin] = true
	}
	var ps []conf.Problem
	for _, name := range c.originNames() {
		if !used[name] {
			ps = append(ps, conf.Problem{Path: "origins." + name, Reason: "no route uses this origin"})
		}
	}
	if c.Cache.Pinned != (cache.Memory{}) {
		ps = append(ps, conf.Problem{Path: "cache.pinned", Reason: "this version plans no objects; what is kept for them is lost to the others"})
	}
	for i := range c.Routes {
		if c.Routes[i].Cache.MaxObject > c.Cache.MaxObject {
			ps = append(ps, conf.Problem{Path: fmt.Sprintf("routes[%d].cache.max_object", i),
				Reason: fmt.Sprintf("is greater than cache.max_object (%s), which holds all the same", c.Cache.MaxObject)})
		}
	}
	return ps
}
