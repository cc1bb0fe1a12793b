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
	Coded bool // Accept-Encoding is among the names because the content is coded, not because Vary says so
	N     int
	Names [MaxVary][]byte
}

// VaryOf collects the names over all lines, each once. What is no field name is taken for "*". A response in
// a content coding was selected by Accept-Encoding whether it says so or not: without that name, whoever
// cannot decode it would get it all the same.
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
	if coded(fields) && !v.Has(acceptEncoding) {
		v.Coded = true
		v.add(acceptEncoding)
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

var acceptEncoding = []byte("Accept-Encoding")

// Normal says how far selecting fields are normalised before they are compared (§4.1).
type Normal uint8

// The degrees.
const (
	NormalStrict    Normal = iota // what stands on the wire, but for what AppendSelecting says
	NormalLists                   // lines and whitespace of lists do not count, nor the order of languages
	NormalLanguages               // as NormalLists; and who prefers a language gets what is stored in it
)

// AppendSelecting appends one selecting field of a request, such that two requests match (§4.1) when the
// bytes agree. What stands on the wire is what the origin chose by, so values count byte for byte and line
// for line:
//
//	u32 number of lines + 1<<31 · for every line: u32 length · value
//
// or a zero byte where the field is absent. §4.1 would permit to normalise more, for a cache that knows the
// field's syntax; an origin that reads a list less liberally than we do (a,,b is not a,b to everybody) would
// then see its answer given to requests that it would have answered differently. Two fields are known:
// Accept-Encoding becomes the set of codings, and the fetch says that set and nothing else; of
// Accept-Language, case and the whitespace around commas and semicolons do not count. Its order does: it
// decides among equal weights.
//
// From NormalLists on, every field but those of credentials is taken for a list: its lines are one, and whitespace
// around commas does not count. Languages are sorted, as RFC 9110 §12.5.4 gives their order no meaning.
func AppendSelecting(dst []byte, fields field.List, name []byte, level Normal) []byte {
	if foldEqual(name, acceptEncoding) {
		return append(dst, 2, byte(Accepted(fields)))
	}
	if level >= NormalLists && !is(name, "Cookie") && !is(name, "Authorization") {
		return appendJoined(dst, fields, name)
	}
	languages := is(name, acceptLanguage)
	start, lines := len(dst), uint32(0)
	for i := range fields {
		if !foldEqual(fields[i].Name, name) {
			continue
		}
		if lines++; lines == 1 {
			dst = append(dst, 0, 0, 0, 0)
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		if languages {
			dst = appendLanguages(dst, fields[i].Value)
		} else {
			dst = append(dst, fields[i].Value...)
		}
		binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	if lines == 0 {
		return append(dst, 0)
	}
	binary.BigEndian.PutUint32(dst[start:], lines|1<<31)
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

// appendLanguages writes one line in lower case, without the whitespace around commas and semicolons.
func appendLanguages(dst, value []byte) []byte {
	at := len(dst)
	for i := 0; i < len(value); i++ {
		c := value[i]
		if isSeparator(c) {
			for len(dst) > at && isOWS(dst[len(dst)-1]) {
				dst = dst[:len(dst)-1]
			}
		}
		if isOWS(c) && len(dst) > at && isSeparator(dst[len(dst)-1]) {
			continue
		}
		dst = append(dst, lower(c))
	}
	return dst
}

func isSeparator(c byte) bool { return c == ',' || c == ';' }

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

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
