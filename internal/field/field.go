// Package field holds HTTP header sections as lists of lines.
//
// A [List] keeps every line in the order of arrival, with its name spelled as it came: nothing is
// merged, sorted or dropped, because two lines of one name mean something different from one
// (RFC 9110 §5.3). Names and values are byte slices and usually point into the buffer of a
// connection or of a stored object; whoever keeps them longer than that buffer lives calls [List.Clone].
package field

import (
	"encoding/binary"
	"iter"
)

// Field is one header line. Value carries no surrounding whitespace.
type Field struct {
	Name, Value []byte
}

// List is a header (or trailer) section. The zero value is an empty section. A List is not safe for
// concurrent modification.
type List []Field

// Get returns the value of the first line called name, compared without case, or nil.
func (l List) Get(name string) []byte {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			return l[i].Value
		}
	}
	return nil
}

// Has reports whether a line called name exists; its value may be empty.
func (l List) Has(name string) bool {
	for i := range l {
		if EqualFold(l[i].Name, name) {
			return true
		}
	}
	return false
}

// Count returns the number of lines called name.
func (l List) Count(name string) int {
	n := 0
	for i := range l {
		if EqualFold(l[i].Name, name) {
			n++
		}
	}
	return n
}

// All yields the value of every line called name, in order.
func (l List) All(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range l {
			if EqualFold(l[i].Name, name) && !yield(l[i].Value) {
				return
			}
		}
	}
}

// Members yields the members of a comma-separated list field (RFC 9110 §5.6.1) over all its lines,
// trimmed, without empty members. Commas inside quoted strings do not separate.
func (l List) Members(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range l {
			if !EqualFold(l[i].Name, name) {
				continue
			}
			for rest := l[i].Value; len(rest) > 0; {
				var m []byte
				m, rest = nextMember(rest)
				if len(m) > 0 && !yield(m) {
					return
				}
			}
		}
	}
}

// HasToken reports whether the list field called name has the member token, compared without case.
func (l List) HasToken(name, token string) bool {
	for m := range l.Members(name) {
		if EqualFold(m, token) {
			return true
		}
	}
	return false
}

// Add appends a line.
func (l *List) Add(name, value []byte) { *l = append(*l, Field{name, value}) }

// AddString appends a line given as strings; the bytes are copied.
func (l *List) AddString(name, value string) { *l = append(*l, Field{[]byte(name), []byte(value)}) }

// Set replaces all lines called name by one, in the place of the first, or appends it.
func (l *List) Set(name string, value []byte) {
	out := (*l)[:0]
	done := false
	for _, f := range *l {
		if EqualFold(f.Name, name) {
			if done {
				continue
			}
			done = true
			f.Value = value
		}
		out = append(out, f)
	}
	if !done {
		out = append(out, Field{[]byte(name), value})
	}
	*l = out
}

// Del removes all lines called name.
func (l *List) Del(name string) {
	out := (*l)[:0]
	for _, f := range *l {
		if !EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	*l = out
}

// Size is the section's length on the wire: every line with its ": " and CRLF.
func (l List) Size() int {
	n := 0
	for i := range l {
		n += len(l[i].Name) + len(l[i].Value) + 4
	}
	return n
}

// Clone returns a copy that shares no memory with l, in two allocations.
func (l List) Clone() List {
	if l == nil {
		return nil
	}
	total := 0
	for i := range l {
		total += len(l[i].Name) + len(l[i].Value)
	}
	buf := make([]byte, 0, total)
	keep := func(b []byte) []byte {
		at := len(buf)
		buf = append(buf, b...)
		return buf[at:len(buf):len(buf)]
	}
	out := make(List, len(l))
	for i := range l {
		out[i] = Field{keep(l[i].Name), keep(l[i].Value)}
	}
	return out
}

// EqualFold compares b with s, ignoring the case of ASCII letters. Field names and most tokens are
// ASCII (RFC 9110 §5.6.2), so no Unicode folding takes place.
func EqualFold(b []byte, s string) bool { return len(b) == len(s) && equalFold(b, s) }

// equalFold compares eight bytes at a time: where they differ, it must be in the bit that tells the case of
// letters, and only in letters.
func equalFold(b []byte, s string) bool {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		if d := x ^ eight(s[i:]); d != 0 && (d&^(eachByte*0x20) != 0 || d<<2&^letters(x) != 0) {
			return false
		}
	}
	for ; i < len(b); i++ {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

const eachByte = 0x0101010101010101

func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// letters returns 0x80 in every byte of x that is an ASCII letter.
func letters(x uint64) uint64 {
	low := (x | eachByte*0x20) &^ (eachByte * 0x80) // no carry from byte to byte
	return (low + eachByte*(0x80-'a')) &^ (low + eachByte*(0x80-'z'-1)) &^ x & (eachByte * 0x80)
}

// HasUpper reports whether b has a capital letter (ASCII).
func HasUpper(b []byte) bool {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

// AppendLower appends b with its capital letters (ASCII) as small ones.
func AppendLower(dst, b []byte) []byte {
	at := len(dst)
	dst = append(dst, b...)
	for i, c := range dst[at:] {
		dst[at+i] = lower(c)
	}
	return dst
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// nextMember cuts the first member off a comma-separated list and trims it.
func nextMember(b []byte) (member, rest []byte) {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return TrimOWS(b[:i]), b[i+1:]
		}
	}
	return TrimOWS(b), nil
}

// TrimOWS removes optional whitespace, SP and HTAB, from both ends (RFC 9110 §5.6.3).
func TrimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
