package rfc9111

import (
	"github.com/tzero-edge/tzero/internal/field"
)

// Flag is a directive without an argument, or the fact that one with an argument was there.
type Flag uint32

// The directives of requests and responses (§5.2, RFC 5861, RFC 8246).
const (
	NoStore Flag = 1 << iota
	NoCache
	Private
	Public
	MustRevalidate
	ProxyRevalidate
	MustUnderstand
	NoTransform
	OnlyIfCached
	Immutable
	MaxAge
	SMaxAge
	MinFresh
	MaxStale
	StaleWhileRevalidate
	StaleIfError
	NoCacheFields // no-cache="field, …": those fields are not reused without validation (§5.2.2.4)
	PrivateFields // private="field, …": those fields are not stored (§5.2.2.7)
	Unreadable    // some member was no directive at all
)

// MaxDelta is the greatest number of seconds that is told apart (§1.2.2); MaxStale without an argument has it.
const MaxDelta = 1 << 31

// Directives is a parsed Cache-Control. Seconds are valid where their flag is set.
type Directives struct {
	Flags                                                                   Flag
	MaxAge, SMaxAge, MinFresh, MaxStale, StaleWhileRevalidate, StaleIfError int64
	// FieldList is the argument of the first no-cache= or private= with field names, unquoted.
	NoCacheNames, PrivateNames []byte
}

// Has reports whether every flag of f is set.
func (d *Directives) Has(f Flag) bool { return d.Flags&f == f }

// Any reports whether one flag of f is set.
func (d *Directives) Any(f Flag) bool { return d.Flags&f != 0 }

// Parse reads the lines called name (Cache-Control) as directives. The first of several equal directives
// counts (§4.2.1); a number that cannot be read counts as 0, since a lifetime that nobody can read is over;
// an argument may be quoted; unknown directives are skipped (§5.2.3).
func Parse(fields field.List, name string) Directives {
	var d Directives
	for i := range fields {
		if field.EqualFold(fields[i].Name, name) {
			d.line(fields[i].Value)
		}
	}
	return d
}

func (d *Directives) line(b []byte) {
	for len(b) > 0 {
		switch c := b[0]; c {
		case ' ', '\t', ',':
			b = b[1:]
			continue
		}
		n := tokenLen(b)
		if n == 0 {
			d.Flags |= Unreadable
			b = skipMember(b)
			continue
		}
		word := b[:n]
		b = b[n:]
		var arg []byte
		has := false
		if len(b) > 0 && b[0] == '=' {
			arg, b = argument(b[1:])
			has = true
		}
		rest := field.TrimOWS(b[:len(b)-len(skipToComma(b))])
		if len(rest) > 0 { // "max-age=1 0", "max-age =10": not what it seems
			d.Flags |= Unreadable
			arg = nil
		}
		b = skipMember(b)
		d.directive(word, arg, has)
	}
}

func (d *Directives) directive(word, arg []byte, has bool) {
	switch {
	case is(word, "max-age"):
		d.number(MaxAge, &d.MaxAge, arg)
	case is(word, "s-maxage"):
		d.number(SMaxAge, &d.SMaxAge, arg)
	case is(word, "no-cache"):
		d.names(NoCache, NoCacheFields, &d.NoCacheNames, arg)
	case is(word, "private"):
		d.names(Private, PrivateFields, &d.PrivateNames, arg)
	case is(word, "max-stale"):
		if !has {
			arg = []byte("2147483648")
		}
		d.number(MaxStale, &d.MaxStale, arg)
	case is(word, "min-fresh"):
		d.number(MinFresh, &d.MinFresh, arg)
	case is(word, "stale-while-revalidate"):
		d.number(StaleWhileRevalidate, &d.StaleWhileRevalidate, arg)
	case is(word, "stale-if-error"):
		d.number(StaleIfError, &d.StaleIfError, arg)
	default:
		d.Flags |= plainFlag(word)
	}
}

func plainFlag(word []byte) Flag {
	switch {
	case is(word, "no-store"):
		return NoStore
	case is(word, "public"):
		return Public
	case is(word, "must-revalidate"):
		return MustRevalidate
	case is(word, "proxy-revalidate"):
		return ProxyRevalidate
	case is(word, "must-understand"):
		return MustUnderstand
	case is(word, "no-transform"):
		return NoTransform
	case is(word, "only-if-cached"):
		return OnlyIfCached
	case is(word, "immutable"):
		return Immutable
	}
	return 0
}

func (d *Directives) number(f Flag, into *int64, arg []byte) {
	if d.Flags&f != 0 {
		return
	}
	d.Flags |= f
	*into, _ = Seconds(arg)
}

// names handles a directive that means everything when bare and some fields when it has an argument. The
// bare form is the stricter one and wins whatever the order; an empty list is treated as bare.
func (d *Directives) names(whole, part Flag, into *[]byte, arg []byte) {
	if len(field.TrimOWS(arg)) == 0 {
		d.Flags |= whole
		return
	}
	if d.Flags&part != 0 { // a second list: rather too much than too little
		d.Flags |= whole
		return
	}
	d.Flags |= part
	*into = arg
}

// Seconds reads delta-seconds (§1.2.2). Greater numbers than MaxDelta are MaxDelta.
func Seconds(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > MaxDelta {
			n = MaxDelta
		}
	}
	return n, len(b) > 0
}

// argument cuts a token or quoted string off b and returns its content. Escapes inside a quoted string are
// left as they are: neither numbers nor field names have any.
func argument(b []byte) (arg, rest []byte) {
	if len(b) == 0 || b[0] != '"' {
		n := tokenLen(b)
		return b[:n], b[n:]
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:]
		}
	}
	return nil, nil // never closed: the rest of the line is inside
}

// skipMember drops the rest of a list member, its comma included.
func skipMember(b []byte) []byte {
	b = skipToComma(b)
	if len(b) > 0 {
		b = b[1:]
	}
	return b
}

func skipToComma(b []byte) []byte {
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return b[i:]
		}
	}
	return nil
}

func tokenLen(b []byte) int {
	for i, c := range b {
		if !isTokenByte(c) {
			return i
		}
	}
	return len(b)
}

func isTokenByte(c byte) bool {
	switch {
	case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return false
}

func is(word []byte, name string) bool { return field.EqualFold(word, name) }
