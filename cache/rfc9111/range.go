package rfc9111

import (
	"bytes"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// RangeKind says how a request's Range applies to a whole representation.
type RangeKind uint8

// The kinds. A set of several ranges is answered in full, as RFC 9110 §14.2 permits.
const (
	Whole         RangeKind = iota // no Range, or one to be ignored: 200
	Part                           // 206 with Offset and Length
	Unsatisfiable                  // 416 with "Content-Range: bytes */size"
)

// Range is the answer to a Range field.
type Range struct {
	Kind           RangeKind
	Offset, Length int64
}

// RangeOf applies a GET's Range and If-Range to a stored 200 of size bytes (RFC 9110 §14.1.2, §14.2,
// §13.1.5). lastModified and date are the stored response's; a Last-Modified counts for If-Range only where
// it is a strong validator, that is at least a minute older than the Date (RFC 9110 §8.8.2.2).
func RangeOf(req field.List, size int64, etag []byte, lastModified, date, now time.Time) Range {
	v := req.Get("Range")
	if v == nil || req.Count("Range") != 1 || size < 0 {
		return Range{}
	}
	if !ifRange(req, etag, lastModified, date, now) {
		return Range{}
	}
	unit, spec, ok := bytes.Cut(v, []byte("="))
	if !ok || !is(unit, "bytes") || bytes.IndexByte(spec, ',') >= 0 {
		return Range{}
	}
	return oneRange(field.TrimOWS(spec), size)
}

func oneRange(spec []byte, size int64) Range {
	first, last, ok := bytes.Cut(spec, []byte("-"))
	if !ok || (len(first) == 0 && len(last) == 0) {
		return Range{}
	}
	a, okA := position(first)
	z, okZ := position(last)
	switch {
	case len(first) > 0 && !okA, len(last) > 0 && !okZ:
		return Range{}
	case len(first) == 0: // the last z bytes
		if z == 0 || size == 0 {
			return Range{Kind: Unsatisfiable}
		}
		z = min(z, size)
		return Range{Part, size - z, z}
	case len(last) > 0 && z < a:
		return Range{} // invalid, and so ignored
	case a >= size:
		return Range{Kind: Unsatisfiable}
	case len(last) == 0:
		return Range{Part, a, size - a}
	}
	return Range{Part, a, min(z, size-1) - a + 1}
}

// position reads digits; numbers beyond any size are held at 2^62.
func position(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > 1<<58 {
			n = 1 << 58
		}
	}
	return n, len(b) > 0
}

// ifRange reports whether If-Range is absent or holds by strong comparison.
func ifRange(req field.List, etag []byte, lastModified, date, now time.Time) bool {
	v := req.Get("If-Range")
	if v == nil {
		return true
	}
	if req.Count("If-Range") != 1 {
		return false
	}
	if StrongETag(v) {
		return bytes.Equal(v, etag)
	}
	t, ok := ParseDate(v, now)
	return ok && !lastModified.IsZero() && t.Equal(lastModified) && date.Sub(lastModified) >= time.Minute
}
