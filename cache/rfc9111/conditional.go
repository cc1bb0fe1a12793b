package rfc9111

import (
	"bytes"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// Verdict is the outcome of a client's preconditions on a stored response (RFC 9110 §13.2.2).
type Verdict uint8

// The verdicts. If-Match and If-Unmodified-Since are the origin's to judge, and such requests do not reach
// a stored response.
const (
	Send        Verdict = iota // answer in full
	NotModified                // answer 304
)

// Condition evaluates If-None-Match, and only without it If-Modified-Since (§4.3.2). lastModified may be
// zero; then the response's date stands in for it. Conditions apply to stored 200s only.
func Condition(req field.List, status int, etag []byte, lastModified, date, now time.Time) Verdict {
	if status != 200 {
		return Send
	}
	if req.Has("If-None-Match") {
		for v := range req.All("If-None-Match") {
			if noneMatch(v, etag) {
				return NotModified
			}
		}
		return Send
	}
	v := req.Get("If-Modified-Since")
	if v == nil || req.Count("If-Modified-Since") != 1 {
		return Send
	}
	since, ok := ParseDate(v, now)
	if !ok {
		return Send
	}
	if lastModified.IsZero() {
		lastModified = date
	}
	if lastModified.IsZero() || lastModified.After(since) {
		return Send
	}
	return NotModified
}

// noneMatch reports whether a value of If-None-Match names etag by weak comparison (RFC 9110 §8.8.3.2), or
// is "*". An entity tag that was never quoted is compared as it stands: origins send such things.
func noneMatch(list, etag []byte) bool {
	for len(list) > 0 {
		var tag []byte
		tag, list = cutTag(list)
		if len(tag) == 1 && tag[0] == '*' {
			return true
		}
		if len(etag) > 0 && len(tag) > 0 && bytes.Equal(opaque(tag), opaque(etag)) {
			return true
		}
	}
	return false
}

// cutTag cuts one entity tag off a list. Backslashes are ordinary bytes in it, other than in quoted strings.
func cutTag(b []byte) (tag, rest []byte) {
	quoted := false
	for i, c := range b {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return field.TrimOWS(b[:i]), b[i+1:]
		}
	}
	return field.TrimOWS(b), nil
}

func opaque(tag []byte) []byte { return bytes.TrimPrefix(tag, []byte("W/")) }

// StrongETag reports whether an entity tag is well-formed and strong.
func StrongETag(tag []byte) bool {
	return len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"'
}

// AppendValidators appends the conditional fields that revalidate a stored response (§4.3.1).
func AppendValidators(dst *field.List, etag, lastModified []byte) {
	if len(etag) > 0 {
		dst.Add([]byte("If-None-Match"), etag)
	}
	if len(lastModified) > 0 {
		dst.Add([]byte("If-Modified-Since"), lastModified)
	}
}

// ConditionalField reports whether a request field is a precondition: a fetch that fills the cache sends its
// own and never the client's.
func ConditionalField(name []byte) bool {
	switch len(name) {
	case 8:
		return is(name, "If-Match") || is(name, "If-Range")
	case 13:
		return is(name, "If-None-Match")
	case 17:
		return is(name, "If-Modified-Since")
	case 19:
		return is(name, "If-Unmodified-Since")
	}
	return false
}

// Merge returns the header of a stored response after a 304 (§3.2): every line of the 304 replaces the
// stored lines of that name. Kept as stored is what describes the stored content, which did not change
// (§3.2 leaves Content-Length; the others would mislabel the stored bytes), and the stored entity tag, by
// which the origin just confirmed it. The result shares memory with both.
func Merge(stored, update field.List) field.List {
	out := make(field.List, 0, len(stored)+len(update))
	for _, f := range stored {
		if keptOn304(f.Name) || !has(update, f.Name) {
			out = append(out, f)
		}
	}
	for _, f := range update {
		if keptOn304(f.Name) && has(stored, f.Name) || describesContent(f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func keptOn304(name []byte) bool { return is(name, "ETag") || describesContent(name) }

func describesContent(name []byte) bool {
	return is(name, "Content-Length") || is(name, "Content-Encoding") || is(name, "Content-Range") ||
		is(name, "Content-MD5") || is(name, "Transfer-Encoding")
}
