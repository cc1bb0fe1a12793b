package headers

import (
	"net/netip"

	"github.com/tzero-edge/tzero/internal/field"
)

// element is one forwarded-element (RFC 7239 §4), unquoted: what one proxy says about the hop before
// it. Parameters that nobody here needs are checked and dropped.
type element struct {
	node, host, proto []byte
}

// parseElement parses a forwarded-element:
//
//	[ token "=" ( token / quoted-string ) ] *( ";" [ … ] )
//
// Strict but for whitespace around ";", which proxies do write. A parameter must not stand twice, and
// a quoted string with a backslash is refused: no address, host or scheme needs one, and reading lists
// from the right (walkBack) relies on it.
func parseElement(e *element, b []byte) bool {
	for len(b) > 0 {
		var pair []byte
		pair, b = cutPair(b)
		if pair = field.TrimOWS(pair); len(pair) == 0 {
			continue
		}
		name, value, ok := splitPair(pair)
		if !ok {
			return false
		}
		var slot *[]byte
		switch {
		case field.EqualFold(name, "for"):
			slot = &e.node
		case field.EqualFold(name, "host"):
			slot = &e.host
		case field.EqualFold(name, "proto"):
			slot = &e.proto
		default:
			continue
		}
		if *slot != nil {
			return false
		}
		*slot = value
	}
	return true
}

// cutPair cuts at the first semicolon outside quotes.
func cutPair(b []byte) (pair, rest []byte) {
	inside := false
	for i, c := range b {
		switch {
		case c == '"':
			inside = !inside
		case c == ';' && !inside:
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

// splitPair splits name=value and unquotes the value.
func splitPair(pair []byte) (name, value []byte, ok bool) {
	eq := 0
	for eq < len(pair) && pair[eq] != '=' {
		eq++
	}
	if eq == len(pair) || !isToken(pair[:eq]) {
		return nil, nil, false
	}
	name, value = pair[:eq], pair[eq+1:]
	if len(value) < 2 || value[0] != '"' {
		return name, value, isToken(value)
	}
	inner := value[1 : len(value)-1]
	if value[len(value)-1] != '"' {
		return nil, nil, false
	}
	for _, c := range inner {
		if c == '"' || c == '\\' || c < ' ' && c != '\t' || c == 0x7f {
			return nil, nil, false
		}
	}
	return name, inner, true
}

// parseForwardedNode parses the node of RFC 7239 §6: IPv4, [IPv6], either with a port; "unknown" and
// obfuscated identifiers name nobody. A bare IPv6 address is malformed there.
func parseForwardedNode(b []byte) (netip.Addr, bool) {
	addr, ok := parseNode(b)
	if ok && b[0] != '[' && !addr.Is4() {
		return netip.Addr{}, false
	}
	return addr, ok
}

// parseNode parses an address as proxies write it into X-Forwarded-For: IPv4 or IPv6, the latter bare
// or in brackets, with a port (also an obfuscated one) after IPv4 or brackets. No zones.
func parseNode(b []byte) (netip.Addr, bool) {
	host, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := indexByte(b, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		host, port = b[1:end], b[end+1:]
		if indexByte(host, ':') < 0 {
			return netip.Addr{}, false
		}
	} else if at := indexByte(b, ':'); at >= 0 && indexByte(b[at+1:], ':') < 0 {
		host, port = b[:at], b[at:]
	}
	if len(port) > 0 && !validPort(port[1:], port[0]) {
		return netip.Addr{}, false
	}
	return parseAddr(host)
}

// validPort checks the port after its colon: 1 to 5 digits, or an obfuscated one: "_" and letters.
func validPort(port []byte, colon byte) bool {
	if colon != ':' || len(port) == 0 {
		return false
	}
	if port[0] == '_' {
		return len(port) > 1 && isToken(port)
	}
	n := 0
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
	}
	return len(port) <= 5 && n <= 65535
}

// appendForwarded appends our Forwarded value: the believed part of the chain, the client first. Beside
// the client's address stands what it asked for.
func (f *Forward) appendForwarded(dst []byte) []byte {
	id := f.Identity
	if f.Mode != Full {
		return f.appendAsked(dst)
	}
	for i := id.n - 1; i >= 0; i-- {
		dst = appendNode(append(dst, "for="...), id.hops[i])
		if i == id.n-1 {
			dst = f.appendAsked(append(dst, ';'))
		}
		dst = append(dst, ", "...)
	}
	dst = appendNode(append(dst, "for="...), id.Peer)
	if id.n == 0 {
		dst = f.appendAsked(append(dst, ';'))
	}
	return dst
}

// appendAsked appends host and scheme. A host that is none is left out; a port or an address literal
// needs quotes.
func (f *Forward) appendAsked(dst []byte) []byte {
	if f.hostFit {
		quote := !isToken(f.Host)
		dst = append(dst, "host="...)
		if quote {
			dst = append(dst, '"')
		}
		dst = append(dst, f.Host...)
		if quote {
			dst = append(dst, '"')
		}
		dst = append(dst, ';')
	}
	return append(append(dst, "proto="...), f.Identity.Scheme...)
}

// appendNode appends an address as RFC 7239 §6 wants it: IPv6 in brackets and quotes.
func appendNode(dst []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(dst, "unknown"...)
	case a.Is4():
		return a.AppendTo(dst)
	}
	dst = append(dst, `"[`...)
	dst = a.WithZone("").AppendTo(dst)
	return append(dst, `]"`...)
}

// appendXForwardedFor appends the same chain in the older form.
func (f *Forward) appendXForwardedFor(dst []byte) []byte {
	id := f.Identity
	for i := id.n - 1; i >= 0; i-- {
		dst = append(id.hops[i].AppendTo(dst), ", "...)
	}
	if !id.Peer.IsValid() {
		return append(dst, "unknown"...)
	}
	return id.Peer.WithZone("").AppendTo(dst)
}
