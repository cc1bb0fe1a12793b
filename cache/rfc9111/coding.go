package rfc9111

import "github.com/tzero-edge/tzero/internal/field"

// Coding is a set of content codings.
type Coding uint8

// The codings that requests are told apart by (RFC 9110 §8.4.1, RFC 7932, RFC 8878).
const (
	Gzip Coding = 1 << iota
	Brotli
	Zstd
	NoIdentity // the client refuses an unencoded answer
)

// Accepted is the set of codings that a request accepts (RFC 9110 §12.5.3). Weights above zero all count
// alike: what an origin prefers among acceptable codings is its own affair. No field at all is the empty
// set here, since clients that say nothing rarely decode anything. A cacheable fetch must send
// AppendAcceptEncoding of this set, so that what is keyed is what the origin was told.
func Accepted(fields field.List) Coding {
	var set, refused Coding
	star, starRefused := false, false
	for i := range fields {
		if !is(fields[i].Name, "Accept-Encoding") {
			continue
		}
		for b := fields[i].Value; len(b) > 0; {
			var m []byte
			m, b = cutMember(b)
			name, zero := weighted(m)
			c := codingOf(name)
			switch {
			case is(name, "identity") && zero:
				refused |= NoIdentity
			case is(name, "*"):
				star, starRefused = true, zero
			case zero:
				refused |= c
			default:
				set |= c
			}
		}
	}
	if star && !starRefused {
		set |= Gzip | Brotli | Zstd
	}
	set &^= refused
	return set | refused&NoIdentity
}

// AppendAcceptEncoding appends the field value that says set, or nothing for the empty set.
func AppendAcceptEncoding(dst []byte, set Coding) []byte {
	n := len(dst)
	for _, c := range [...]struct {
		bit  Coding
		name string
	}{{Gzip, "gzip"}, {Brotli, "br"}, {Zstd, "zstd"}, {NoIdentity, "identity;q=0"}} {
		if set&c.bit == 0 {
			continue
		}
		if len(dst) > n {
			dst = append(dst, ", "...)
		}
		dst = append(dst, c.name...)
	}
	return dst
}

func codingOf(name []byte) Coding {
	switch {
	case is(name, "gzip"), is(name, "x-gzip"):
		return Gzip
	case is(name, "br"):
		return Brotli
	case is(name, "zstd"):
		return Zstd
	}
	return 0
}

// coded reports whether a response's content is in a content coding.
func coded(fields field.List) bool {
	for v := range fields.All("Content-Encoding") {
		if len(v) > 0 && !is(v, "identity") {
			return true
		}
	}
	return false
}

// codingsKnown reports whether every coding of a response is one that requests are told apart by: Accepted
// says nothing about others.
func codingsKnown(fields field.List) bool {
	for v := range fields.All("Content-Encoding") {
		for len(v) > 0 {
			var m []byte
			if m, v = cutMember(v); len(m) > 0 && !is(m, "identity") && codingOf(m) == 0 {
				return false
			}
		}
	}
	return true
}

// weighted splits "name;q=0.5" and reports a weight of zero.
func weighted(m []byte) (name []byte, zero bool) {
	n := tokenLen(m)
	name, m = m[:n], m[n:]
	for len(m) > 0 && (m[0] == ';' || m[0] == ' ' || m[0] == '\t') {
		m = m[1:]
	}
	if len(m) < 3 || lower(m[0]) != 'q' || m[1] != '=' {
		return name, false
	}
	for i, c := range m[2:] {
		if c != '0' && !(c == '.' && i == 1) {
			return name, false
		}
	}
	return name, true
}
