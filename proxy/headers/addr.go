package headers

import "net/netip"

// The standard library parses addresses from strings only, and its errors keep the string, so that
// every address of every request would cost an allocation. These two parse bytes and accept exactly
// what netip.ParseAddr accepts, zones excepted; a fuzz target holds them to it.

// parseAddr parses an address without port, brackets or zone.
func parseAddr(b []byte) (netip.Addr, bool) {
	if indexByte(b, ':') >= 0 {
		return parseIPv6(b)
	}
	v4, ok := parseIPv4(b)
	return netip.AddrFrom4(v4), ok
}

// parseIPv4 parses four decimal numbers without leading zeros.
func parseIPv4(b []byte) (out [4]byte, ok bool) {
	for i := range out {
		n, digits := 0, 0
		for digits < len(b) && digits < 4 && '0' <= b[digits] && b[digits] <= '9' {
			n = n*10 + int(b[digits]-'0')
			digits++
		}
		if digits == 0 || n > 255 || digits > 1 && b[0] == '0' {
			return out, false
		}
		out[i], b = byte(n), b[digits:]
		if i == 3 {
			break
		}
		if len(b) == 0 || b[0] != '.' {
			return out, false
		}
		b = b[1:]
	}
	return out, len(b) == 0
}

// parseIPv6 parses the forms of RFC 4291 §2.2: eight groups, one "::" for any number of zero groups,
// and IPv4 at the end.
func parseIPv6(b []byte) (netip.Addr, bool) {
	var ip [16]byte
	at, gap := 0, -1
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 && at < 16 {
		value, digits := 0, 0
		for digits < len(b) && digits < 5 && isHexDigit(b[digits]) {
			value = value<<4 | int(hexValue(b[digits]))
			digits++
		}
		if digits < len(b) && b[digits] == '.' {
			v4, ok := parseIPv4(b)
			if !ok || at > 12 || at < 12 && gap < 0 {
				return netip.Addr{}, false
			}
			at += copy(ip[at:], v4[:])
			b = nil
			break
		}
		if digits == 0 || digits > 4 {
			return netip.Addr{}, false
		}
		ip[at], ip[at+1] = byte(value>>8), byte(value)
		at, b = at+2, b[digits:]
		if len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return netip.Addr{}, false
		}
		b = b[1:]
		if b[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, b = at, b[1:]
		}
	}
	if len(b) > 0 || (gap < 0) != (at == 16) {
		return netip.Addr{}, false
	}
	if gap >= 0 {
		tail := at - gap
		copy(ip[16-tail:], ip[gap:at])
		clear(ip[gap : 16-tail])
	}
	return netip.AddrFrom16(ip), true
}

func isHexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func indexByte(b []byte, c byte) int {
	for i := range b {
		if b[i] == c {
			return i
		}
	}
	return -1
}
