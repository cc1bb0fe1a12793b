// Package headers rebuilds header sections on their way through the gateway: who the client is, what
// an origin may see of a request, what a client may see of a response.
//
// Order matters. [Policy.Identify] reads what trusted proxies say, then [Policy.Receive] takes out
// everything that must not be believed or does not travel, and all that follows (routing by header,
// cache lookup with Vary, variants) works on the cleaned section, so that it sees exactly what the
// origin will: a header that Connection removes on the way cannot select a stored object.
// [Policy.ToOrigin] then adds what tzero itself has to say.
//
// The package is pure and allocates nothing on the common path: it appends to lists and to scratch
// bytes of the caller.
package headers

import (
	"github.com/tzero-edge/tzero/internal/field"
)

// Mode says how much of the visitor an origin sees.
type Mode uint8

// The modes.
const (
	// Full passes the request on with the client's identity.
	Full Mode = iota

	// Shared is for fetches whose answer everybody will get: no Cookie, no Authorization, no client
	// address, no Referer, no From.
	Shared

	// ThirdParty is for origins that others run: an allow-list of headers, nothing about the visitor.
	ThirdParty
)

// Forward is what ToOrigin needs to know beside the request's own header section.
type Forward struct {
	Identity *Identity
	Host     []byte // host the client asked for, for X-Forwarded-Host and Forwarded
	Version  string // protocol version the request came in: "1.1"
	Mode     Mode

	RequestID []byte // value for X-Request-Id; see Policy.RequestID. Empty: none is sent

	// Random is the randomness for a new traceparent where the request has none; nil: none is made.
	// Sampled is its flag. An application that samples by its parent, as OpenTelemetry's default does,
	// records nothing where it is false and everything where it is true.
	Random  *[24]byte
	Sampled bool

	AcceptEncoding []byte // replaces Accept-Encoding when not nil; removes it when empty
	Unconditional  bool   // leave out If-* and Range: a fill wants the whole object

	Changes *Changes // the route's, applied last; may be nil

	Received bool // the section has been through Receive: its lines are fair, and no Connection speaks of them

	// Scratch holds the values made here; the lines of dst point into it. Keep it for the next request.
	Scratch []byte

	hostFit bool // Host can be passed on
}

// Seen is what Receive finds on its way through a header section. The values point into it.
type Seen struct {
	UserAgent, Referer []byte
	RequestID          []byte // a trusted peer's, if it sent one that is valid; else nil
	Loops              int    // how often the request has been through a gateway with our loop id (RFC 8586)
}

// Receive removes from a request's header section, in place, everything that does not travel or must
// not be believed: hop-by-hop fields, what Connection names, malformed lines, names with an underscore,
// override headers, tzero's internal ones. What ToOrigin treats by mode stays, and so do Host and
// the request id and traceparent of a trusted peer. Call it after Identify.
func (p *Policy) Receive(l *field.List, trusted bool, seen *Seen) {
	*seen = Seen{}
	if namesFields(*l) {
		removeNamed(l)
	}
	ids := 0
	out := (*l)[:0]
	for i := range *l {
		f := &(*l)[i]
		k := &unknown
		if actors.may(f.Name) {
			k = lookup(f.Name)
		}
		if !k.exact && !fairName(f.Name) || !fairValue(f.Value) {
			continue
		}
		switch k.note {
		case noteUserAgent:
			seen.UserAgent = first(seen.UserAgent, f.Value)
		case noteReferer:
			seen.Referer = first(seen.Referer, f.Value)
		}
		switch k.fate {
		case hop, override, internal, identity:
			continue
		case loop:
			seen.Loops += p.loops(f.Value)
		case requestID:
			if ids++; !trusted || !validRequestID(f.Value) {
				continue
			}
			seen.RequestID = f.Value
		}
		out = append(out, *f)
	}
	if ids > 1 {
		seen.RequestID = nil
	}
	clear((*l)[len(out):])
	*l = out
}

// Received remembers what Receive made of a field section, for the requests of the same connection that repeat it.
// The zero value remembers nothing.
type Received struct {
	by      *Policy
	section uint32
	fields  field.List
	seen    Seen
}

// ReceiveFrom is Receive for the next request of a connection: section is its field section's number
// ([http1.Request.Section]), m the connection's memory. trusted has to be the same for all requests of the connection.
func (p *Policy) ReceiveFrom(m *Received, section uint32, l *field.List, trusted bool, seen *Seen) {
	if section != 0 && m.section == section && m.by == p {
		*l = append((*l)[:0], m.fields...)
		*seen = m.seen
		return
	}
	p.Receive(l, trusted, seen)
	if section != 0 {
		m.by, m.section, m.fields, m.seen = p, section, append(m.fields[:0], *l...), *seen
	}
}

// Forget lets go of what is remembered; its room is kept.
func (m *Received) Forget() {
	clear(m.fields)
	*m = Received{fields: m.fields[:0]}
}

func first(have, v []byte) []byte {
	if have == nil {
		return v
	}
	return have
}

// ToOrigin appends to dst what is sent to the origin: the lines of in that may travel, in their order,
// then tzero's own. Framing (Host, Content-Length, Transfer-Encoding, Connection) is left to whoever
// writes the message. TE ends here: it speaks of this connection, and trailers are relayed in any case.
// What Forward.Received says of in is not checked again.
func (p *Policy) ToOrigin(dst *field.List, in field.List, f *Forward) {
	var named *connection
	if !f.Received && connects(in) {
		named = new(connection)
		named.read(in)
	}
	r := rebuild{p: p, f: f, dst: dst, in: in}
	for i := range in {
		if !f.Received && !fair(&in[i]) {
			continue
		}
		k := &unknown
		if f.Mode == ThirdParty || named != nil || rewritten.may(in[i].Name) {
			k = lookup(in[i].Name)
		}
		if f.Mode == ThirdParty && !k.thirdParty && k.fate != loop {
			continue
		}
		if named != nil && k.fate == keep && !k.endToEnd && named.names(in[i].Name) {
			continue
		}
		r.line(&in[i], k.fate)
	}
	r.own()
	if f.Changes != nil {
		f.Changes.Apply(dst)
	}
}

// rebuild is one run of ToOrigin.
type rebuild struct {
	p       *Policy
	f       *Forward
	dst     *field.List
	in      field.List
	cookies bool // the Cookie lines are out
}

// traced reports whether the request carries a trace context that can be continued.
func (r *rebuild) traced() bool {
	return r.in.Count("traceparent") == 1 && ValidTraceparent(r.in.Get("traceparent"))
}

// line forwards one line of the request as its fate says.
func (r *rebuild) line(l *field.Field, fate fate) {
	switch fate {
	case keep, via, loop:
		if r.f.Mode == Shared && (field.EqualFold(l.Name, "referer") || field.EqualFold(l.Name, "from")) {
			return
		}
	case cookie:
		r.cookie(l)
		return
	case credential:
		if r.f.Mode != Full {
			return
		}
	case condition:
		if r.f.Unconditional {
			return
		}
	case encoding:
		if r.f.AcceptEncoding != nil {
			return
		}
	case traceparent, tracestate:
		if !r.traced() {
			return
		}
	default: // hop, framing, override, internal, identity, requestID
		return
	}
	r.dst.Add(l.Name, l.Value)
}

// cookie forwards the cookies as one line: HTTP/2 may split them (RFC 9113 §8.2.3), HTTP/1.1 may not.
func (r *rebuild) cookie(l *field.Field) {
	if r.f.Mode != Full || r.cookies {
		return
	}
	r.cookies = true
	if r.in.Count("cookie") == 1 {
		r.dst.Add(l.Name, l.Value)
		return
	}
	start := len(r.f.Scratch)
	for v := range r.in.All("cookie") {
		if len(v) == 0 || !fairValue(v) {
			continue
		}
		if len(r.f.Scratch) > start {
			r.f.Scratch = append(r.f.Scratch, "; "...)
		}
		r.f.Scratch = append(r.f.Scratch, v...)
	}
	r.dst.Add(l.Name, r.since(start))
}

// since returns what was appended to the scratch bytes from start on.
func (r *rebuild) since(start int) []byte {
	return r.f.Scratch[start:len(r.f.Scratch):len(r.f.Scratch)]
}

// own appends tzero's own lines.
func (r *rebuild) own() {
	f := r.f
	if len(f.AcceptEncoding) > 0 {
		r.dst.Add(nameAcceptEncoding, f.AcceptEncoding)
	}
	if f.Mode != ThirdParty {
		r.ownIdentity()
		if len(f.RequestID) > 0 && fairValue(f.RequestID) {
			r.dst.Add(nameRequestID, f.RequestID)
		}
		if f.Random != nil && !r.traced() {
			start := len(f.Scratch)
			f.Scratch = AppendTraceparent(f.Scratch, f.Random, f.Sampled)
			r.dst.Add(nameTraceparent, r.since(start))
		}
	}
	r.dst.Add(nameVia, r.p.viaFor(f.Version))
	r.dst.Add(nameCDNLoop, r.p.loopLine)
}

func (r *rebuild) ownIdentity() {
	f := r.f
	f.hostFit = validHost(f.Host)
	start := len(f.Scratch)
	f.Scratch = f.appendForwarded(f.Scratch)
	r.dst.Add(nameForwarded, r.since(start))
	if f.Mode == Full {
		start = len(f.Scratch)
		f.Scratch = f.appendXForwardedFor(f.Scratch)
		r.dst.Add(nameXForwardedFor, r.since(start))
	}
	if f.Identity.Scheme == "https" {
		r.dst.Add(nameXForwardedProto, valueHTTPS)
	} else {
		r.dst.Add(nameXForwardedProto, valueHTTP)
	}
	if f.hostFit {
		r.dst.Add(nameXForwardedHost, f.Host)
	}
}

// The names of our own lines, as bytes that nobody writes to.
var (
	nameAcceptEncoding  = []byte("Accept-Encoding")
	nameCDNLoop         = []byte("CDN-Loop")
	nameForwarded       = []byte("Forwarded")
	nameRequestID       = []byte("X-Request-Id")
	nameTraceparent     = []byte("traceparent")
	nameVia             = []byte("Via")
	nameXForwardedFor   = []byte("X-Forwarded-For")
	nameXForwardedHost  = []byte("X-Forwarded-Host")
	nameXForwardedProto = []byte("X-Forwarded-Proto")
	valueHTTP           = []byte("http")
	valueHTTPS          = []byte("https")
)
