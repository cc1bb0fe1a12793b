package main

import (
	"fmt"
	"time"

	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/listen"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/route"
	"github.com/tzero-edge/tzero/ratelimit"
)

// buildGeneration compiles a valid configuration. It changes nothing and starts nothing.
func buildGeneration(c *configs.Config, set *origin.Set, limiter *ratelimit.Limiter, number uint64) (*proxy.Generation, error) {
	table, problems := route.New(c.RouteConfigs())
	if err := refuse("routes", problems); err != nil {
		return nil, err
	}
	clients, problems := headers.New(c.Clients)
	if err := refuse("clients", problems); err != nil {
		return nil, err
	}
	encoder, problems := encode.New(c.Compression)
	if err := refuse("compression", problems); err != nil {
		return nil, err
	}
	limits, problems := limiter.Compile(c.RateLimits)
	if err := refuse("rate_limits", problems); err != nil {
		return nil, err
	}
	g := &proxy.Generation{
		Number: number, Hash: configs.Hash(c), Since: time.Now(),
		Table: table, Clients: clients, Encoder: encoder, Limits: limits,
	}
	for i, r := range table.Routes() {
		plan, err := buildPlan(c, &c.Routes[i], r, set)
		if err != nil {
			return nil, fmt.Errorf("cannot build route %s: %w", r.Name, err)
		}
		if plan.Limits, err = limits.Chain(c.Routes[i].RateLimits); err != nil {
			return nil, fmt.Errorf("cannot build route %s: %w", r.Name, err)
		}
		g.Plans = append(g.Plans, plan)
	}
	return g, nil
}

func buildPlan(c *configs.Config, rc *configs.Route, r *route.Route, set *origin.Set) (proxy.Plan, error) {
	p := proxy.Plan{Route: r, BodyLimit: int64(rc.BodyLimit), BodyTime: rc.Timeouts.Body.D(), Compress: encode.ParseMode(rc.Compress)}
	var err error
	if p.Cache, err = rc.Cache.Compile(); err != nil {
		return p, err
	}
	var problems []conf.Problem
	if p.Request, problems = headers.ChangeConfig(rc.RequestHeaders).Compile(headers.Request); len(problems) > 0 {
		return p, refuse("request_headers", problems)
	}
	if p.Response, problems = headers.ChangeConfig(rc.ResponseHeaders).Compile(headers.Response); len(problems) > 0 {
		return p, refuse("response_headers", problems)
	}
	switch r.Kind {
	case route.KindRespond:
		p.Fixed = proxy.Fixed(rc.Respond.Body, rc.Respond.ContentType, rc.Respond.Headers)
	case route.KindOrigin:
		p.OriginName = rc.Origin
		p.Pool = set.Pool(rc.Origin)
		if p.Pool == nil {
			return p, fmt.Errorf("no origin is called %q", rc.Origin)
		}
		p.ThirdParty = c.Origins[rc.Origin].ThirdParty
		p.Timeouts = origin.Timeouts{Connect: rc.Timeouts.Connect, FirstByte: rc.Timeouts.FirstByte, Total: rc.Timeouts.Total}
	}
	return p, nil
}

func refuse(path string, problems []conf.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	p := conf.Under(path, problems)[0]
	return fmt.Errorf("cannot use the configuration: %s", p)
}

func listenSettings(c *configs.Config, g *proxy.Generation) listen.Settings {
	s := listen.Settings{Listeners: c.Listeners, Limits: c.Limits}
	if g != nil {
		s.Trusted = g.Clients.Trust()
	}
	return s
}
