package http1

import (
	"bytes"
	"net/netip"
)

// maxHost bounds a host without its port: a DNS name has at most 253 characters, plus the root's dot.
const maxHost = 254

// ValidHost reports whether b is a host with an optional port, as a Host field or an authority gives it
// (RFC 9110 §7.2, RFC 3986 §3.2.2): an IPv6 address in brackets, an IPv4 address or a name.
//
// Where RFC 3986 would let pass what no DNS name contains (escapes, "!$&'()*+,;=", "~", empty labels, an
// empty host, an empty port, a port with leading zeros, IPvFuture), this refuses: two parties that
// normalise such a host differently do not mean the same one. A name may end with one dot, and "_" is
// accepted since internal names use it.
func ValidHost(b []byte) bool {
	host, port, hasPort := splitHost(b)
	return validHostname(host) && (!hasPort || validPort(port))
}

// splitHost cuts the port off; brackets keep the colons of an IPv6 address.
func splitHost(b []byte) (host, port []byte, hasPort bool) {
	from := 0
	if len(b) > 0 && b[0] == '[' {
		from = bytes.IndexByte(b, ']') + 1
		if from < len(b) && b[from] != ':' {
			return nil, nil, false // an empty host is valid nowhere
		}
	}
	if i := bytes.IndexByte(b[from:], ':'); i >= 0 {
		return b[:from+i], b[from+i+1:], true
	}
	return b, nil, false
}

func validHostname(b []byte) bool {
	if len(b) == 0 || len(b) > maxHost {
		return false
	}
	if b[0] == '[' {
		return validIPv6(b)
	}
	label := 0
	for _, c := range b {
		switch {
		case class[c]&isHostname != 0:
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return true
}

func validIPv6(b []byte) bool {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]")
	if len(b) > longest || b[len(b)-1] != ']' {
		return false
	}
	addr, err := netip.ParseAddr(string(b[1 : len(b)-1]))
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// validPort accepts 1 to 65535 without leading zeros.
func validPort(b []byte) bool {
	if len(b) == 0 || len(b) > 5 || b[0] == '0' {
		return false
	}
	n, ok := parseDigits(b)
	return ok && n <= 65535
}

// hostExcerpt quotes a refused host, unless it carries user information, which may be a password.
func hostExcerpt(b []byte) string {
	if bytes.IndexByte(b, '@') >= 0 {
		return "with user information"
	}
	return excerpt(b)
}
