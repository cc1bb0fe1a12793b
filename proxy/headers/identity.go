package headers

import (
	"net/netip"

	"github.com/tzero-edge/tzero/internal/field"
)

// Source says where an identity came from.
type Source uint8

// The sources.
const (
	SourcePeer          Source = iota // the connection itself
	SourceXForwardedFor               // trusted proxies' X-Forwarded-For
	SourceForwarded                   // trusted proxies' Forwarded
)

func (s Source) String() string { return [...]string{"peer", "x-forwarded-for", "forwarded"}[s] }

// maxHops bounds how many proxies are followed back from the connection.
const maxHops = 16

// Identity is who sent a request, as far as it can be believed.
type Identity struct {
	Peer    netip.Addr // the connection's other end (after the PROXY protocol)
	Client  netip.Addr // right-most address that is no trusted proxy; Peer where nobody is trusted
	Scheme  string     // "http" or "https", as the client used it
	Host    []byte     // the host a trusted proxy named, if the policy takes it; else nil
	Trusted bool       // the peer is a trusted proxy
	Source  Source

	// Disagree is set when X-Forwarded-For and Forwarded both exist and name different clients. The
	// policy's choice holds all the same; the operator should know.
	Disagree bool

	hops [maxHops]netip.Addr // from the peer's neighbour outwards; the last is Client
	n    int
}

// Identify finds the client. scheme is the connection's own.
//
// Proxies append to the list, so it is read from the right, beginning with what the peer itself wrote:
// each trusted address vouches for the next one to its left. The walk ends at the first address that is
// not trusted, which is the client. It also ends at anything that is not an address ("unknown", an
// obfuscated identifier, garbage): the client is then the proxy that wrote it. What stands further
// left is anyone's claim and is neither read nor forwarded.
//
// With client_from auto, X-Forwarded-For is preferred where both exist: nearly every proxy maintains
// it, and most that do pass a client's own Forwarded through untouched, so that a disagreement is far
// more likely a forged Forwarded than a forged X-Forwarded-For.
func (p *Policy) Identify(id *Identity, peer netip.Addr, scheme string, in field.List) {
	id.Peer, id.Scheme, id.Host, id.Source, id.Disagree, id.n = peer.Unmap(), scheme, nil, SourcePeer, false, 0
	id.Client = id.Peer
	if id.Trusted = p.trust.Contains(peer); !id.Trusted {
		return
	}
	hasXFF, hasForwarded := in.Has("X-Forwarded-For"), in.Has("Forwarded")
	useForwarded := p.from == FromForwarded || p.from == FromAuto && !hasXFF && hasForwarded
	if useForwarded {
		p.fromForwarded(id, in)
	} else {
		p.fromXForwardedFor(id, in)
	}
	if hasXFF && hasForwarded {
		other := Identity{Peer: id.Peer, Client: id.Peer}
		if useForwarded {
			p.fromXForwardedFor(&other, in)
		} else {
			p.fromForwarded(&other, in)
		}
		id.Disagree = other.Client != id.Client
	}
}

// visit takes the next address to the left and reports whether the walk goes on.
func (p *Policy) visit(id *Identity, addr netip.Addr, ok bool, source Source) bool {
	if !ok || id.n == maxHops {
		return false
	}
	addr = addr.Unmap()
	id.hops[id.n] = addr
	id.n++
	id.Client, id.Source = addr, source
	return p.trust.Contains(addr)
}

func (p *Policy) fromXForwardedFor(id *Identity, in field.List) {
	seen := 0
	walkBack(in, "X-Forwarded-For", false, func(member []byte) bool {
		seen++
		addr, ok := parseNode(member)
		return p.visit(id, addr, ok, SourceXForwardedFor)
	})
	// A list of schemes or hosts as long as the list of addresses is aligned with it; a shorter one
	// was overwritten by the nearest proxies.
	if s := schemeOf(memberBack(in, "X-Forwarded-Proto", seen)); s != "" {
		id.Scheme = s
	}
	if h := memberBack(in, "X-Forwarded-Host", seen); p.useHost && validHost(h) {
		id.Host = h
	}
}

func (p *Policy) fromForwarded(id *Identity, in field.List) {
	walkBack(in, "Forwarded", true, func(member []byte) bool {
		var e element
		if !parseElement(&e, member) {
			return false
		}
		if s := schemeOf(e.proto); s != "" {
			id.Scheme = s
		}
		if p.useHost && validHost(e.host) {
			id.Host = e.host
		}
		addr, ok := parseForwardedNode(e.node)
		return p.visit(id, addr, ok, SourceForwarded)
	})
}

// memberBack returns the nth member from the right of a list field, or the left-most of a shorter one.
func memberBack(in field.List, name string, n int) []byte {
	var found []byte
	walkBack(in, name, false, func(member []byte) bool {
		found = member
		n--
		return n > 0
	})
	return found
}

// walkBack visits the members of a list field from the right: the last line first, and each line from
// its end. Empty members are skipped (RFC 9110 §5.6.1.2). In quoted lists a comma between double
// quotes does not separate; quotes are counted from the right, so that an unbalanced one which a client
// sent cannot swallow what a proxy appended.
func walkBack(in field.List, name string, quoted bool, visit func(member []byte) bool) {
	for i := len(in) - 1; i >= 0; i-- {
		if !field.EqualFold(in[i].Name, name) {
			continue
		}
		for rest := in[i].Value; len(rest) > 0; {
			at := lastComma(rest, quoted)
			member := field.TrimOWS(rest[at+1:])
			rest = rest[:max(at, 0)]
			if len(member) > 0 && !visit(member) {
				return
			}
		}
	}
}

// lastComma returns the index of the last separating comma, or -1.
func lastComma(b []byte, quoted bool) int {
	inside := false
	for i := len(b) - 1; i >= 0; i-- {
		switch {
		case b[i] == '"' && quoted:
			inside = !inside
		case b[i] == ',' && !inside:
			return i
		}
	}
	return -1
}

func schemeOf(b []byte) string {
	switch {
	case field.EqualFold(b, "https"), field.EqualFold(b, "wss"):
		return "https"
	case field.EqualFold(b, "http"), field.EqualFold(b, "ws"):
		return "http"
	}
	return ""
}

// validHost admits reg-names and address literals with an optional port: everything that can stand in
// a Host field of an honest client, and nothing that an application could read as more than a host.
func validHost(h []byte) bool {
	if len(h) == 0 || len(h) > 255 {
		return false
	}
	for i, c := range h {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == ':':
		case c == '[' && i == 0, c == ']' && h[0] == '[':
		default:
			return false
		}
	}
	return true
}
