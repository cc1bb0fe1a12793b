package configs

import (
	"fmt"
	"strings"

	"github.com/tzero-edge/tzero/configs/strict"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy/origin"
)

// Overrides are the settings that can also be given on the command line or, as TZERO_LISTEN and so on,
// in the environment. An empty one is not given.
type Overrides struct {
	Listen   string // address of the listener
	Origin   string // URL of the app
	Redis    string // URL of Redis
	Admin    string // address of the admin server
	StateDir string
}

// defaultOrigin names the origin of --origin where the file has none.
const defaultOrigin = "app"

// override is one setting given outside the file.
type override struct {
	value  string
	source strict.Source
}

// pick prefers the flag to the environment.
func (in Input) pick(flag, name string) override {
	if flag != "" {
		return override{flag, strict.Source{Label: "flag --" + name}}
	}
	variable := "TZERO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if v, ok := in.Lookup(variable); ok && v != "" {
		return override{v, strict.Source{Label: "environment " + variable}}
	}
	return override{}
}

// override applies what is given outside the file and records where it came from.
func (in Input) override(c *Config, sources *strict.Sources) []conf.Problem {
	var ps []conf.Problem
	if o := in.pick(in.Flags.Listen, "listen"); o.value != "" {
		ps = append(ps, o.listen(c, sources)...)
	}
	if o := in.pick(in.Flags.Origin, "origin"); o.value != "" {
		ps = append(ps, o.origin(c, sources)...)
	}
	if o := in.pick(in.Flags.Redis, "redis"); o.value != "" {
		c.Redis.URL = conf.NewSecret(o.value)
		sources.Set("redis.url", o.source)
	}
	if o := in.pick(in.Flags.Admin, "admin"); o.value != "" {
		c.Admin.Address = o.value
		sources.Set("admin.address", o.source)
	}
	if o := in.pick(in.Flags.StateDir, "state-dir"); o.value != "" {
		c.StateDir = o.value
		sources.Set("state_dir", o.source)
	}
	return ps
}

// listen moves the one listener; its other settings stay.
func (o override) listen(c *Config, sources *strict.Sources) []conf.Problem {
	if len(c.Listeners) != 1 {
		return []conf.Problem{{Path: "listeners", Reason: fmt.Sprintf(
			"%s gives one address, but the file has %d listeners; change the file", o.source, len(c.Listeners))}}
	}
	c.Listeners[0].Address = o.value
	sources.Set("listeners[0].address", o.source)
	return nil
}

// origin replaces the targets of the one origin; its other settings stay. Where the file names several,
// nobody can tell which one is meant.
func (o override) origin(c *Config, sources *strict.Sources) []conf.Problem {
	name := defaultOrigin
	switch names := c.originNames(); len(names) {
	case 0:
		c.Origins = map[string]origin.Config{name: origin.Default()}
	case 1:
		name = names[0]
	default:
		return []conf.Problem{{Path: "origins", Reason: fmt.Sprintf(
			"%s gives one address, but the file has %d origins (%s); change the file", o.source, len(names), strings.Join(names, ", "))}}
	}
	app := c.Origins[name]
	app.Targets = []string{withScheme(o.value)}
	c.Origins[name] = app
	sources.Set("origins."+name+".targets", o.source)
	return nil
}

// withScheme completes what people type: localhost:3000 or :3000 for http://localhost:3000.
func withScheme(url string) string {
	switch {
	case strings.Contains(url, "://"):
		return url
	case strings.HasPrefix(url, ":"):
		return "http://localhost" + url
	}
	return "http://" + url
}
