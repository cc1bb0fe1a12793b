package rfc9111

import (
	"encoding/binary"

	"github.com/tzero-edge/tzero/internal/field"
)

// MaxVary is the greatest number of selecting fields that are kept apart; more are not worth storing.
const MaxVary = 8

// Vary is a response's selecting field names (RFC 9110 §12.5.5). The names point into the response.
type Vary struct {
	Any   bool // "*": never matches (§4.1)
	Many  bool // more than MaxVary
	N     int
	Names [MaxVary][]byte
}

// VaryOf collects the names over all lines, each once. What is no field name is taken for "*".
func VaryOf(fields field.List) Vary {
	var v Vary
	for i := range fields {
		if !field.EqualFold(fields[i].Name, "Vary") {
			continue
		}
		for b := fields[i].Value; len(b) > 0; {
			var m []byte
			m, b = cutMember(b)
			if len(m) > 0 {
				v.add(m)
			}
		}
	}
	return v
}

func (v *Vary) add(name []byte) {
	if string(name) == "*" || tokenLen(name) != len(name) || perRequest(name) {
		v.Any = true
		return
	}
	if inKey(name) || v.Has(name) {
		return
	}
	if v.N == MaxVary || len(name) > 255 {
		v.Many = true
		return
	}
	v.Names[v.N] = name
	v.N++
}

// perRequest lists the fields that a gateway writes into every request by itself. They differ from request to
// request and are not among those of the client, so that a response selected by one of them answers nobody
// else.
func perRequest(name []byte) bool {
	for _, n := range [...]string{
		"Forwarded", "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Via",
		"CDN-Loop", "X-Request-Id", "traceparent", "tracestate", "X-Visitor-Id",
	} {
		if is(name, n) {
			return true
		}
	}
	return false
}

// inKey lists the fields whose meaning is in the cache key already.
func inKey(name []byte) bool {
	return is(name, "Host") || is(name, "X-Forwarded-Host") || is(name, "X-Forwarded-Proto") || is(name, "X-Forwarded-Port")
}

// Has reports whether name is among the names.
func (v *Vary) Has(name []byte) bool {
	for i := 0; i < v.N; i++ {
		if foldEqual(v.Names[i], name) {
			return true
		}
	}
	return false
}

func (v *Vary) encoding() bool { return v.Has(acceptEncoding) }

var acceptEncoding = []byte("Accept-Encoding")

// AppendSelecting appends one selecting field of a request in its normal form, length-prefixed: 0 where the
// field is absent, the length plus one and the value otherwise. Two requests match (§4.1) when their
// selecting fields agree in this form. Lines are combined and whitespace around commas goes, as §4.1
// permits; Accept-Encoding becomes the set of codings that we tell apart; the weights of Accept-Language
// decide and not its order or case.
func AppendSelecting(dst []byte, fields field.List, name []byte) []byte {
	if is(name, "Accept-Encoding") {
		return append(dst, 2, byte(Accepted(fields)))
	}
	if !has(fields, name) {
		return append(dst, 0)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if is(name, "Accept-Language") {
		dst = appendLanguages(dst, fields)
	} else {
		dst = appendCombined(dst, fields, name)
	}
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4+1)|1<<31)
	return dst
}

func has(fields field.List, name []byte) bool {
	for i := range fields {
		if foldEqual(fields[i].Name, name) {
			return true
		}
	}
	return false
}

func appendCombined(dst []byte, fields field.List, name []byte) []byte {
	sep := false
	for i := range fields {
		if !foldEqual(fields[i].Name, name) {
			continue
		}
		for b := fields[i].Value; len(b) > 0; {
			var m []byte
			m, b = cutMember(b)
			if len(m) == 0 {
				continue
			}
			if sep {
				dst = append(dst, ',')
			}
			dst = append(dst, m...)
			sep = true
		}
	}
	return dst
}

// maxLanguages bounds sorting; nobody means anything by more.
const maxLanguages = 16

// appendLanguages writes the members in lower case, without whitespace, sorted.
func appendLanguages(dst []byte, fields field.List) []byte {
	var members [maxLanguages][]byte
	n := 0
	for i := range fields {
		if !is(fields[i].Name, "Accept-Language") {
			continue
		}
		for b := fields[i].Value; len(b) > 0; {
			var m []byte
			m, b = cutMember(b)
			if len(m) == 0 {
				continue
			}
			if n == maxLanguages {
				return appendCombined(dst, fields, fields[i].Name)
			}
			at := n
			for at > 0 && foldLess(m, members[at-1]) {
				members[at] = members[at-1]
				at--
			}
			members[at] = m
			n++
		}
	}
	for i := 0; i < n; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		for _, c := range members[i] {
			if c != ' ' && c != '\t' {
				dst = append(dst, lower(c))
			}
		}
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

func foldEqual(a, b []byte) bool {
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

func foldLess(a, b []byte) bool {
	for i := range min(len(a), len(b)) {
		if x, y := lower(a[i]), lower(b[i]); x != y {
			return x < y
		}
	}
	return len(a) < len(b)
}
