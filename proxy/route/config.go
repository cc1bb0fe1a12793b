package route

import "github.com/tzero-edge/tzero/internal/conf"

// Config is one item of the list `routes`: which requests it takes and what becomes of them. What
// other packages own about a route (its cache policy) is composed beside it by the configuration.
type Config struct {
	Name     string         `yaml:"name" doc:"Name in logs, metrics and messages: letters, digits, '.', '_' and '-'. Made from host and path when left out."`
	Match    MatchConfig    `yaml:"match" doc:"Which requests the route takes. Every condition that is given must hold; a route without conditions takes all."`
	Origin   string         `yaml:"origin" doc:"Name of the origin that answers. A route has exactly one of origin, redirect and respond."`
	Redirect RedirectConfig `yaml:"redirect" doc:"Answer with a redirect."`
	Respond  RespondConfig  `yaml:"respond" doc:"Answer with a fixed response."`

	Timeouts  TimeoutConfig `yaml:"timeouts" doc:"Time limits towards the origin; 0 keeps what the origin's own configuration says."`
	BodyLimit conf.Size     `yaml:"body_limit" doc:"Largest request body taken; a larger one is answered with 413. 0 means no limit."`
	Compress  string        `yaml:"compress" doc:"Response compression. auto: where the type deserves it; on: event streams too, flushed event by event; off: never." enum:"auto|on|off"`

	RequestHeaders  HeaderChanges `yaml:"request_headers" doc:"Changes to what the origin receives, after tzero's own headers."`
	ResponseHeaders HeaderChanges `yaml:"response_headers" doc:"Changes to what the client receives from this route."`
}

// MatchConfig says which requests a route takes.
type MatchConfig struct {
	Scheme  string        `yaml:"scheme" doc:"http or https, as the client used it. A route bound to a scheme goes before all that are not." enum:"http|https"`
	Host    string        `yaml:"host" doc:"Host name without port: example.com, or *.example.com for every name beneath it at any depth."`
	Hosts   []string      `yaml:"hosts" doc:"Several host names, instead of host."`
	Path    string        `yaml:"path" doc:"/a takes exactly that path; /a/* everything beneath it; * inside takes part of one segment (/users/*/edit), /**/ any number of segments. Escapes of plain characters are compared decoded."`
	Paths   []string      `yaml:"paths" doc:"Several paths, instead of path."`
	Methods []string      `yaml:"methods" doc:"Methods taken, in capitals. GET includes HEAD."`
	Headers []HeaderMatch `yaml:"headers" doc:"Conditions on request headers; all must hold. With neither equals nor prefix the header must be present."`
}

// HeaderMatch is one condition on a request header; it holds when one line of that name satisfies it.
type HeaderMatch struct {
	Name   string `yaml:"name" doc:"Header name; case does not matter."`
	Equals string `yaml:"equals" doc:"The value must be exactly this."`
	Prefix string `yaml:"prefix" doc:"The value must begin with this."`
}

// RedirectConfig answers with a redirect.
type RedirectConfig struct {
	To     string `yaml:"to" doc:"Target. {scheme}, {host} (without port), {path} and {query} (with its question mark, empty without one) stand for the request's own: https://www.example.com{path}{query}."`
	Status int    `yaml:"status" doc:"301, 302, 303, 307 or 308. 308 is permanent and keeps the method."`
}

// RespondConfig answers with a fixed response.
type RespondConfig struct {
	Status      int               `yaml:"status" doc:"Status code, 200 to 599; the route has a fixed response when it is set."`
	Body        string            `yaml:"body" doc:"Response body."`
	ContentType string            `yaml:"content_type" doc:"Content-Type of the body; text/plain; charset=utf-8 when left out."`
	Headers     map[string]string `yaml:"headers" doc:"Further response headers."`
}

// TimeoutConfig bounds the stages of a request; 0 keeps what the origin's configuration says.
type TimeoutConfig struct {
	Connect   conf.Duration `yaml:"connect" doc:"Time to connect, TLS included."`
	FirstByte conf.Duration `yaml:"first_byte" doc:"Time from the whole request sent to the response's head."`
	Total     conf.Duration `yaml:"total" doc:"Time for the whole exchange. Leave it 0 on routes with event streams."`
	Body      conf.Duration `yaml:"body" doc:"Time for the client to deliver the request's body."`
}

// HeaderChanges has the shape of headers.ChangeConfig, into which it converts; that package checks and
// compiles it. It stands here so that a route is one struct and this package imports no sibling.
type HeaderChanges struct {
	Set    map[string]string `yaml:"set" doc:"Headers to set, in place of all lines of that name."`
	Add    map[string]string `yaml:"add" doc:"Headers to append as one more line."`
	Remove []string          `yaml:"remove" doc:"Headers to remove."`
}

// DefaultItem is the start value of every item of `routes`.
func DefaultItem() Config {
	return Config{Compress: "auto", BodyLimit: 1 << 30}
}

// Kind says what a route does with a request.
type Kind uint8

// The kinds.
const (
	KindOrigin Kind = iota
	KindRedirect
	KindRespond
)

// Kind returns what the route does; a valid Config does exactly one thing.
func (c *Config) Kind() Kind {
	switch {
	case c.Redirect.To != "":
		return KindRedirect
	case c.Respond.Status != 0:
		return KindRespond
	}
	return KindOrigin
}

// hosts returns the host patterns; a single empty one means any host.
func (m *MatchConfig) hosts() []string { return oneOrMany(m.Host, m.Hosts) }

// paths returns the path patterns; a single empty one means any path.
func (m *MatchConfig) paths() []string { return oneOrMany(m.Path, m.Paths) }

func oneOrMany(one string, many []string) []string {
	if len(many) > 0 {
		return many
	}
	return []string{one}
}
