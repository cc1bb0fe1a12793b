package rfc9111

import (
	"bytes"
	"slices"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// RangeKind says how a request's Range applies to a representation.
type RangeKind uint8

// The kinds.
const (
	Whole         RangeKind = iota // no Range, or one to be ignored: 200
	Part                           // 206 with the Span
	Several                        // 206 of type multipart/byteranges with the Parts
	Unsatisfiable                  // 416 with "Content-Range: bytes */size"
)

// Span is a piece of a representation, in bytes.
type Span struct{ Offset, Length int64 }

// End is the offset behind the last byte.
func (s Span) End() int64 { return s.Offset + s.Length }

// Within reports whether all of s lies in o.
func (s Span) Within(o Span) bool { return s.Offset >= o.Offset && s.End() <= o.End() }

// Range is the answer to a Range field.
type Range struct {
	Kind  RangeKind
	Span         // of Part
	Parts []Span // of Several: two or more that do not overlap, in the order asked for
}

// Within reports whether everything that is to be sent lies in held.
func (r *Range) Within(held Span) bool {
	switch r.Kind {
	case Part:
		return r.Span.Within(held)
	case Several:
		return !slices.ContainsFunc(r.Parts, func(s Span) bool { return !s.Within(held) })
	}
	return false
}

// maxRanges bounds the ranges of one request: a set of more is answered in full, as RFC 9110 §14.2 permits.
const maxRanges = 32

// partOverhead is about what a part of a multipart answer costs beside its bytes. Ranges that are nearer to
// each other than that are sent as one (RFC 9110 §15.3.7.2).
const partOverhead = 128

// RangeOf applies a GET's Range and If-Range to a representation of size bytes (RFC 9110 §14.1.2, §14.2,
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
	spec, ok := byteSet(v)
	if !ok {
		return Range{}
	}
	if bytes.IndexByte(spec, ',') >= 0 {
		return several(spec, size)
	}
	kind, span := oneRange(field.TrimOWS(spec), size)
	return Range{Kind: kind, Span: span}
}

// IgnoresRange reports whether a request's Range is ignored whatever the size (RFC 9110 §14.2): it is no range of
// bytes, or too much of one.
func IgnoresRange(req field.List) bool {
	v := req.Get("Range")
	spec, ok := byteSet(v)
	switch {
	case !ok || req.Count("Range") != 1:
		return true
	case bytes.IndexByte(spec, ',') >= 0:
		return several(spec, anySize).Kind == Whole
	}
	kind, _ := oneRange(field.TrimOWS(spec), anySize)
	return kind == Whole
}

// anySize is larger than every position.
const anySize = 1 << 62

// SingleRange reports whether a Range field asks for one well-formed range of bytes, whatever the size.
func SingleRange(v []byte) bool {
	spec, ok := byteSet(v)
	if !ok {
		return false
	}
	kind, _ := oneRange(field.TrimOWS(spec), anySize)
	return kind == Part
}

// byteSet cuts the unit off.
func byteSet(v []byte) (set []byte, ok bool) {
	unit, set, ok := bytes.Cut(v, []byte("="))
	return set, ok && is(unit, "bytes")
}

// several reads a set of ranges. Neighbours that overlap or nearly touch are joined. The whole is the answer
// where ranges still overlap after that, as nobody needs bytes twice but to make work (RFC 9110 §17.15), and
// where it is not longer than the parts would be.
func several(set []byte, size int64) Range {
	var found [maxRanges]Span
	n, asked, total := 0, 0, int64(0)
	for len(set) > 0 {
		var spec []byte
		spec, set, _ = bytes.Cut(set, []byte(","))
		if spec = field.TrimOWS(spec); len(spec) == 0 {
			continue
		}
		if asked++; asked > maxRanges {
			return Range{}
		}
		switch kind, s := oneRange(spec, size); {
		case kind == Whole:
			return Range{} // one is invalid, and so all are ignored
		case kind == Unsatisfiable:
		case n > 0 && s.Offset >= found[n-1].Offset && s.Offset <= found[n-1].End()+partOverhead:
			found[n-1].Length = max(found[n-1].End(), s.End()) - found[n-1].Offset
		default:
			found[n] = s
			n++
		}
	}
	for i, s := range found[:n] {
		total += s.Length + partOverhead
		for _, o := range found[:i] {
			if s.Offset < o.End() && o.Offset < s.End() {
				return Range{}
			}
		}
	}
	switch {
	case asked == 0:
		return Range{}
	case n == 0:
		return Range{Kind: Unsatisfiable}
	case n == 1:
		return Range{Kind: Part, Span: found[0]}
	case total >= size:
		return Range{}
	}
	return Range{Kind: Several, Parts: slices.Clone(found[:n])}
}

func oneRange(spec []byte, size int64) (RangeKind, Span) {
	first, last, ok := bytes.Cut(spec, []byte("-"))
	if !ok || (len(first) == 0 && len(last) == 0) {
		return Whole, Span{}
	}
	a, okA := position(first)
	z, okZ := position(last)
	switch {
	case len(first) > 0 && !okA, len(last) > 0 && !okZ:
		return Whole, Span{}
	case len(first) == 0: // the last z bytes
		if z == 0 || size == 0 {
			return Unsatisfiable, Span{}
		}
		z = min(z, size)
		return Part, Span{size - z, z}
	case len(last) > 0 && z < a:
		return Whole, Span{} // invalid, and so ignored
	case a >= size:
		return Unsatisfiable, Span{}
	case len(last) == 0:
		return Part, Span{a, size - a}
	}
	return Part, Span{a, min(z, size-1) - a + 1}
}

// position reads digits; numbers beyond any size are held at 2^58.
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
	return ok && strongDate(lastModified, date) && t.Equal(lastModified)
}

// strongDate reports whether a Last-Modified is a strong validator (RFC 9110 §8.8.2.2).
func strongDate(lastModified, date time.Time) bool {
	return !lastModified.IsZero() && date.Sub(lastModified) >= time.Minute
}
