package headers

import (
	"encoding/binary"

	"github.com/tzero-edge/tzero/internal/field"
)

// fate is what becomes of a request header on its way to the origin.
type fate uint8

const (
	keep       fate = iota
	hop             // belongs to one connection (RFC 9110 §7.6.1)
	framing         // written anew by whoever writes the message: Host, Content-Length, Expect
	override        // lets a client rewrite what the origin believes about the request
	internal        // tzero's own; a client's copy is a forgery
	identity        // tzero writes its own
	cookie          //
	credential      // Authorization
	condition       // If-*, Range
	encoding        // Accept-Encoding
	via
	loop
	requestID
	traceparent
	tracestate
)

// known is one header name with its fate.
type known struct {
	name string
	fate fate

	// endToEnd names cannot be removed by listing them in Connection. RFC 9110 §7.6.1 forbids a sender
	// to list a field meant for all recipients; who does it anyway wants the origin to see a request
	// that differs from the one judged here (hop-by-hop abuse), so the listing is ignored.
	endToEnd bool

	// thirdParty names are sent to origins of others; nothing else of the request is.
	thirdParty bool

	note note // what Receive takes a note of

	exact bool  // one name, and a token; not a family
	next  uint8 // the next name with the same hash; 0: none
}

// note is what the journey wants to know of a header beyond its fate.
type note uint8

const (
	noteNothing note = iota
	noteUserAgent
	noteReferer
)

// names is the one list of header names that tzero knows anything about, with the reason in its group.
var names = indexNames([]known{
	// Connection control.
	{name: "connection", fate: hop}, {name: "keep-alive", fate: hop}, {name: "te", fate: hop},
	{name: "trailer", fate: hop}, {name: "transfer-encoding", fate: hop}, {name: "upgrade", fate: hop},
	{name: "http2-settings", fate: hop}, {name: "proxy", fate: hop}, // httpoxy: CGI makes it HTTP_PROXY

	// Framing and routing, written anew.
	{name: "host", fate: framing}, {name: "content-length", fate: framing}, {name: "expect", fate: framing},

	// Identity of the client, ours.
	{name: "forwarded", fate: identity}, {name: "via", fate: via}, {name: "cdn-loop", fate: loop},
	{name: "x-request-id", fate: requestID}, {name: "traceparent", fate: traceparent}, {name: "tracestate", fate: tracestate},

	// Addresses of the client as various proxies and CDNs spell them: whoever reads one, reads a forgery.
	{name: "x-real-ip", fate: override}, {name: "true-client-ip", fate: override}, {name: "client-ip", fate: override},
	{name: "x-client-ip", fate: override}, {name: "x-cluster-client-ip", fate: override}, {name: "x-remote-ip", fate: override},
	{name: "x-remote-addr", fate: override}, {name: "x-originating-ip", fate: override}, {name: "cf-connecting-ip", fate: override},
	{name: "cf-connecting-ipv6", fate: override}, {name: "cf-pseudo-ipv4", fate: override}, {name: "fastly-client-ip", fate: override},
	{name: "fly-client-ip", fate: override}, {name: "x-azure-clientip", fate: override}, {name: "x-azure-socketip", fate: override},
	{name: "x-appengine-remote-addr", fate: override}, {name: "x-envoy-external-address", fate: override},
	{name: "x-envoy-original-path", fate: override}, {name: "wl-proxy-client-ip", fate: override}, {name: "forwarded-for", fate: override},
	{name: "forwarded-for-ip", fate: override}, {name: "forwarded-proto", fate: override}, {name: "x-forward-for", fate: override},
	{name: "x-forward", fate: override}, {name: "x-forwarded", fate: override}, {name: "x-proxyuser-ip", fate: override},

	// Scheme, host, path and method of the request: routing and cache poisoning.
	{name: "front-end-https", fate: override}, {name: "x-url-scheme", fate: override}, {name: "x-scheme", fate: override},
	{name: "x-https", fate: override}, {name: "x-host", fate: override}, {name: "x-original-host", fate: override},
	{name: "x-original-url", fate: override}, {name: "x-original-uri", fate: override}, {name: "x-rewrite-url", fate: override},
	{name: "x-rewrite-uri", fate: override}, {name: "x-original-method", fate: override}, {name: "x-http-method-override", fate: override},
	{name: "x-http-method", fate: override}, {name: "x-method-override", fate: override}, {name: "x-http-path-override", fate: override},
	{name: "x-script-name", fate: override}, {name: "x-proxy-url", fate: override}, {name: "x-server-name", fate: override},
	{name: "x-original-remote-addr", fate: override}, {name: "x-http-host-override", fate: override}, {name: "x-http-destinationurl", fate: override},

	// What frameworks and servers use between their own parts.
	{name: "x-middleware-subrequest", fate: override}, {name: "x-middleware-subrequest-id", fate: override},
	{name: "x-matched-path", fate: override}, {name: "x-now-route-matches", fate: override},
	{name: "x-sendfile-type", fate: override}, {name: "surrogate-capability", fate: override},
	{name: "x-visitor-id", fate: internal},

	// The request proper.
	{name: "cookie", fate: cookie, endToEnd: true}, {name: "authorization", fate: credential, endToEnd: true},
	{name: "accept", endToEnd: true, thirdParty: true}, {name: "accept-language", endToEnd: true, thirdParty: true},
	{name: "accept-charset", endToEnd: true, thirdParty: true},
	{name: "accept-encoding", fate: encoding, endToEnd: true, thirdParty: true},
	{name: "user-agent", endToEnd: true, thirdParty: true, note: noteUserAgent},
	{name: "content-type", endToEnd: true, thirdParty: true}, {name: "content-encoding", endToEnd: true, thirdParty: true},
	{name: "content-language", endToEnd: true, thirdParty: true}, {name: "content-disposition", endToEnd: true, thirdParty: true},
	{name: "cache-control", endToEnd: true, thirdParty: true}, {name: "pragma", endToEnd: true, thirdParty: true},
	{name: "range", fate: condition, endToEnd: true, thirdParty: true}, {name: "if-range", fate: condition, endToEnd: true, thirdParty: true},
	{name: "if-match", fate: condition, endToEnd: true, thirdParty: true}, {name: "if-none-match", fate: condition, endToEnd: true, thirdParty: true},
	{name: "if-modified-since", fate: condition, endToEnd: true, thirdParty: true},
	{name: "if-unmodified-since", fate: condition, endToEnd: true, thirdParty: true},
	{name: "origin", endToEnd: true}, {name: "referer", endToEnd: true, note: noteReferer}, {name: "date", endToEnd: true},
	{name: "idempotency-key", endToEnd: true}, {name: "max-forwards", endToEnd: true}, {name: "from", endToEnd: true},
	{name: "early-data", endToEnd: true}, // RFC 8470 §5.1: must not be removed
	{name: "priority", endToEnd: true}, {name: "dnt", endToEnd: true}, {name: "prefer", endToEnd: true},
	{name: "x-csrf-token", endToEnd: true}, {name: "x-xsrf-token", endToEnd: true}, {name: "x-requested-with", endToEnd: true},
	{name: "x-api-key", endToEnd: true}, {name: "last-event-id", endToEnd: true},
	{name: "signature", endToEnd: true}, {name: "signature-input", endToEnd: true},
})

// families are names known by how they begin, by their first letter.
var families = byLetter([]known{
	{name: "x-forwarded-", fate: override},
	{name: "x-variant", fate: internal},
	{name: "x-tzero", fate: internal},
	{name: "tzero-", fate: internal},
	{name: "proxy-", fate: hop}, // Proxy-Authorization, Proxy-Connection, Proxy-Client-IP …
	{name: "x-accel-", fate: override},
	{name: "x-invoke-", fate: override},
	{name: "sec-", endToEnd: true},
	{name: "accept-", endToEnd: true},
	{name: "content-", endToEnd: true},
	{name: "access-control-", endToEnd: true},
})

// nameIndex finds a name by a hash of its length and three of its letters, in either case.
type nameIndex struct {
	first [512]uint8 // the first name of each hash; 0: none
	names []known    // from 1 on
}

func nameHash(name []byte) uint {
	n := len(name)
	return (uint(n)*5 + uint(name[0]|0x20)*131 + uint(name[n-1]|0x20)*7 + uint(name[n/2]|0x20)*29) % 512
}

func indexNames(list []known) *nameIndex {
	x := &nameIndex{names: append(make([]known, 1, len(list)+1), list...)}
	for i := range x.names[1:] {
		k := &x.names[i+1]
		first := &x.first[nameHash([]byte(k.name))]
		k.exact, k.next, *first = true, *first, uint8(i+1)
	}
	return x
}

func byLetter(list []known) (index [32][]known) {
	for _, k := range list {
		at := k.name[0] & 31
		index[at] = append(index[at], k)
	}
	return index
}

// acting tells, by a name's first letter and its length, whether anything may have to be done about it. For
// most of what browsers send nothing has, and the name is not looked up.
type acting [32]uint32

func actingNames(acts func(*known) bool) (a acting) {
	for i := range names.names[1:] {
		if k := &names.names[i+1]; acts(k) {
			a[k.name[0]&31] |= 1 << len(k.name)
		}
	}
	for _, family := range families {
		for i := range family {
			if k := &family[i]; acts(k) {
				a[k.name[0]&31] |= ^uint32(0) << len(k.name)
			}
		}
	}
	return a
}

func (a *acting) may(name []byte) bool {
	return len(name) == 0 || len(name) >= 32 || a[name[0]&31]>>len(name)&1 != 0
}

// actors are the names that Receive does something about, rewritten those that ToOrigin may not simply pass on.
var (
	actors    = actingNames((*known).acts)
	rewritten = actingNames((*known).changes)
)

// changes reports whether ToOrigin does more than to let the line pass.
func (k *known) changes() bool { return k.fate != keep }

// acts reports whether Receive does more than to let the line pass.
func (k *known) acts() bool {
	switch k.fate {
	case hop, override, internal, identity, loop, requestID:
		return true
	}
	return k.note != noteNothing
}

// unknown names are kept, and Connection may remove them.
var unknown known

// lookup finds what is known about a name.
func lookup(name []byte) *known {
	if len(name) == 0 {
		return &unknown
	}
	for i := names.first[nameHash(name)]; i != 0; i = names.names[i].next {
		if k := &names.names[i]; field.EqualFold(name, k.name) {
			return k
		}
	}
	family := families[name[0]&31]
	for i := range family {
		if k := &family[i]; len(name) >= len(k.name) && field.EqualFold(name[:len(k.name)], k.name) {
			return k
		}
	}
	return &unknown
}

// fair reports whether a line can be forwarded at all: the name is a token without an underscore (CGI
// and WSGI turn "-" into "_", so that X_Variant would become X-Variant's twin), the value holds no
// byte that could end the line.
func fair(f *field.Field) bool { return fairName(f.Name) && fairValue(f.Value) }

func fairName(name []byte) bool {
	for _, c := range name {
		if c == '_' || !tokenByte[c] {
			return false
		}
	}
	return len(name) > 0
}

// fairValue admits what a field value may hold (RFC 9110 §5.5). Values are long and nearly always
// fair: eight bytes are tested at a time for one below space or DEL, and looked at singly only then.
func fairValue(v []byte) bool {
	for len(v) >= 8 {
		x := binary.LittleEndian.Uint64(v)
		low := (x - 0x20*eachByte) &^ x
		del := (x ^ 0x7f*eachByte) - eachByte
		del &^= x ^ 0x7f*eachByte
		if (low|del)&(0x80*eachByte) != 0 {
			break
		}
		v = v[8:]
	}
	for _, c := range v {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

const eachByte = 0x0101010101010101

// isToken reports whether b is a token (RFC 9110 §5.6.2).
func isToken(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

var tokenByte = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// maxNamed bounds how many names of a Connection field are honoured, and maxOptions how many options
// are looked at; an honest one lists one or two.
const (
	maxNamed   = 16
	maxOptions = 64
)

// connection holds the names that a message's Connection field makes hop-by-hop.
type connection struct {
	named [maxNamed][]byte
	n     int
}

// connects reports whether there is a Connection field at all.
func connects(in field.List) bool {
	for i := range in {
		if len(in[i].Name) == len("connection") && field.EqualFold(in[i].Name, "connection") {
			return true
		}
	}
	return false
}

// read collects the options that name a field to remove.
func (c *connection) read(in field.List) {
	options := 0
	for i := range in {
		if len(in[i].Name) != len("connection") || !field.EqualFold(in[i].Name, "connection") {
			continue
		}
		for rest := in[i].Value; len(rest) > 0 && options < maxOptions; options++ {
			at := indexByte(rest, ',')
			option := rest
			if at >= 0 {
				option, rest = rest[:at], rest[at+1:]
			} else {
				rest = nil
			}
			c.add(field.TrimOWS(option))
		}
	}
}

// namesFields reports whether a Connection field may name others: browsers send keep-alive alone.
func namesFields(l field.List) bool {
	for i := range l {
		if len(l[i].Name) == len("connection") && field.EqualFold(l[i].Name, "connection") && !field.EqualFold(l[i].Value, "keep-alive") {
			return true
		}
	}
	return false
}

// removeNamed takes the fields out of l that its Connection fields name. It has a function of its own because
// what it needs on the stack would be cleared for every request.
//
//go:noinline
func removeNamed(l *field.List) {
	var named connection
	named.read(*l)
	out := (*l)[:0]
	for i := range *l {
		if f := (*l)[i]; named.n == 0 || lookup(f.Name).fate != keep || !named.names(f.Name) {
			out = append(out, f)
		}
	}
	clear((*l)[len(out):])
	*l = out
}

func (c *connection) add(option []byte) {
	if len(option) == 0 || c.n == maxNamed || field.EqualFold(option, "close") || field.EqualFold(option, "keep-alive") {
		return
	}
	if k := lookup(option); k.endToEnd || k.fate != keep {
		return // protected, or dealt with by its own fate
	}
	c.named[c.n] = option
	c.n++
}

func (c *connection) names(name []byte) bool {
	for _, o := range c.named[:c.n] {
		if equalFold(o, name) {
			return true
		}
	}
	return false
}

func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}
