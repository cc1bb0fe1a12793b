package rfc9111

import (
	"bytes"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// PartOf reads what a 206 says about its content: which piece of a representation of which complete length
// (RFC 9110 §14.4). length is the content's by the message's framing, -1 where that is open. ok is false for
// several pieces, for a complete length that nobody knows, and for content that is not as long as it says it
// is: where its bytes belong cannot be told.
func PartOf(fields field.List, length int64) (held Span, complete int64, ok bool) {
	if fields.Count("Content-Range") != 1 || (&Response{Fields: fields}).mediaType("multipart/byteranges") {
		return Span{}, 0, false
	}
	held, complete, ok = contentRange(fields.Get("Content-Range"))
	if !ok || length >= 0 && length != held.Length {
		return Span{}, 0, false
	}
	return held, complete, true
}

// contentRange reads "bytes first-last/complete".
func contentRange(v []byte) (s Span, complete int64, ok bool) {
	unit, v, spaced := bytes.Cut(v, []byte(" "))
	span, size, sized := bytes.Cut(v, []byte("/"))
	first, last, dashed := bytes.Cut(span, []byte("-"))
	if !spaced || !sized || !dashed || !is(unit, "bytes") {
		return Span{}, 0, false
	}
	a, okA := position(first)
	z, okZ := position(last)
	n, okN := position(size)
	if !okA || !okZ || !okN || z < a || n <= z || n >= 1<<58 {
		return Span{}, 0, false
	}
	return Span{a, z - a + 1}, n, true
}

// AppendContentRange appends the Content-Range of a piece.
func AppendContentRange(dst []byte, s Span, complete int64) []byte {
	dst = append(dst, "bytes "...)
	dst = strconv.AppendInt(dst, s.Offset, 10)
	dst = append(dst, '-')
	dst = strconv.AppendInt(dst, s.End()-1, 10)
	dst = append(dst, '/')
	return strconv.AppendInt(dst, complete, 10)
}

// AppendByteRange appends the Range that asks for a piece; one that reaches to the end says so.
func AppendByteRange(dst []byte, s Span, complete int64) []byte {
	dst = append(dst, "bytes="...)
	dst = strconv.AppendInt(dst, s.Offset, 10)
	dst = append(dst, '-')
	if s.End() == complete {
		return dst
	}
	return strconv.AppendInt(dst, s.End()-1, 10)
}

// Version is what tells one representation from another.
type Version struct {
	ETag               []byte
	LastModified, Date time.Time // LastModified may be zero
}

// VersionOf reads a response's validators; its Date is the arrival where there is none.
func VersionOf(fields field.List, now time.Time) Version {
	v := Version{ETag: fields.Get("ETag"), Date: now}
	v.LastModified, _ = ParseDate(fields.Get("Last-Modified"), now)
	if t, ok := ParseDate(fields.Get("Date"), now); ok {
		v.Date = t
	}
	return v
}

// Strong reports whether v has a strong validator. An entity tag that is weak rules the date out, too: the
// origin says that it does not tell bytes apart.
func (v *Version) Strong() bool {
	if len(v.ETag) > 0 {
		return StrongETag(v.ETag)
	}
	return strongDate(v.LastModified, v.Date)
}

// Same reports whether pieces of v and o are surely of the same bytes, so that they may be combined
// (RFC 9110 §15.3.7.3).
func (v *Version) Same(o *Version) bool {
	return v.Strong() && o.Strong() && bytes.Equal(v.ETag, o.ETag) &&
		(len(v.ETag) > 0 || v.LastModified.Equal(o.LastModified))
}

// MergePart returns the header of pieces that were combined (RFC 9110 §15.3.7.3): every line of the newer
// response replaces the older's lines of that name. The result shares memory with both.
func MergePart(stored, update field.List) field.List {
	out := make(field.List, 0, len(stored)+len(update))
	for _, f := range stored {
		if !has(update, f.Name) {
			out = append(out, f)
		}
	}
	for _, f := range update {
		if !is(f.Name, "Content-Range") && !is(f.Name, "Content-Length") {
			out = append(out, f)
		}
	}
	return out
}
