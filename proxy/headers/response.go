package headers

import "github.com/tzero-edge/tzero/internal/field"

// Reply is what ToClient needs to know beside the response's own header section.
type Reply struct {
	Version string   // protocol version of the origin's response: "1.1"
	Changes *Changes // the route's, applied last; may be nil
}

// ToClient appends to dst what a client may see of an origin's response, in its order: without
// hop-by-hop fields and those that Connection names, without framing (Content-Length is written by
// whoever writes the message), without tzero's internal headers and malformed lines. Via is appended,
// then the route's changes are made.
func (p *Policy) ToClient(dst *field.List, in field.List, r *Reply) {
	p.EndToEnd(dst, in)
	dst.Add(nameVia, p.viaFor(r.Version))
	if r.Changes != nil {
		r.Changes.Apply(dst)
	}
}

// Via is this gateway's member of Via for an answer that came by HTTP/version.
func (p *Policy) Via(version string) []byte { return p.viaFor(version) }

// EndToEnd appends the lines of an origin's response that travel on, and nothing else: the form in
// which a response is judged and stored.
func (p *Policy) EndToEnd(dst *field.List, in field.List) {
	var named *connection
	if connects(in) {
		named = new(connection)
		named.readResponse(in)
	}
	for i := range in {
		f := &in[i]
		if !isToken(f.Name) || !fairValue(f.Value) || responseDrops(f.Name) || named != nil && named.names(f.Name) {
			continue
		}
		*dst = append(*dst, *f)
	}
}

// Trailers appends the trailer lines that may travel on: neither framing, nor routing, nor anything
// that a recipient would have needed before the content (RFC 9110 §6.5.1).
func (p *Policy) Trailers(dst *field.List, in field.List) {
	for i := range in {
		f := &in[i]
		if !fair(f) || responseDrops(f.Name) || lookup(f.Name).fate != keep || lateName(f.Name) {
			continue
		}
		*dst = append(*dst, *f)
	}
}

// responseDrops reports whether a response header never reaches a client.
func responseDrops(name []byte) bool {
	switch lower(name[0]) {
	case 'c':
		return field.EqualFold(name, "connection") || field.EqualFold(name, "content-length")
	case 'k':
		return field.EqualFold(name, "keep-alive")
	case 'p':
		return field.EqualFold(name, "proxy-connection") || field.EqualFold(name, "proxy-authenticate") ||
			field.EqualFold(name, "proxy-authorization") || field.EqualFold(name, "proxy-authentication-info")
	case 't':
		return field.EqualFold(name, "te") || field.EqualFold(name, "trailer") ||
			field.EqualFold(name, "transfer-encoding") || hasPrefixFold(name, "tzero-")
	case 'u':
		return field.EqualFold(name, "upgrade")
	case 'x':
		return hasPrefixFold(name, "x-tzero") || hasPrefixFold(name, "x-variant") || field.EqualFold(name, "x-visitor-id")
	}
	return false
}

// readResponse collects the options of a response's Connection field. Names that clients and caches
// act on cannot be removed that way; an origin that lists them is mistaken.
func (c *connection) readResponse(in field.List) {
	c.read(in)
	kept := 0
	for _, name := range c.named[:c.n] {
		if !responseEndToEnd(name) {
			c.named[kept] = name
			kept++
		}
	}
	c.n = kept
}

// responseEndToEnd names the response headers that mean something to all recipients.
func responseEndToEnd(name []byte) bool {
	for _, n := range [...]string{
		"age", "allow", "cache-status", "cdn-cache-control", "clear-site-data", "etag", "expires",
		"last-modified", "link", "location", "proxy-status", "refresh", "referrer-policy", "retry-after",
		"server", "set-cookie", "strict-transport-security", "vary", "warning", "www-authenticate",
		"x-content-type-options", "x-frame-options", "x-robots-tag", "permissions-policy",
	} {
		if field.EqualFold(name, n) {
			return true
		}
	}
	return hasPrefixFold(name, "cross-origin-") || hasPrefixFold(name, "x-ratelimit-") || hasPrefixFold(name, "ratelimit")
}

// lateName names headers that are too late in a trailer section.
func lateName(name []byte) bool {
	for _, n := range [...]string{
		"age", "cache-control", "expires", "date", "location", "retry-after", "vary", "warning", "set-cookie",
		"content-encoding", "content-type", "content-range", "www-authenticate", "pragma", "etag", "last-modified",
	} {
		if field.EqualFold(name, n) {
			return true
		}
	}
	return false
}

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && field.EqualFold(b[:len(prefix)], prefix)
}
