package rfc9111

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/structured"
)

// Target is a response field that speaks to some caches in place of Cache-Control and Expires.
type Target uint8

// The targets, most specific first.
const (
	TzeroCacheControl Target = iota // to tzero by name (RFC 9213)
	CDNCacheControl                 // to content delivery networks (RFC 9213 §3)
	SurrogateControl                // to surrogates (Edge Architecture Specification, W3C Note 2001)
)

var targetNames = [...]string{"Tzero-Cache-Control", "CDN-Cache-Control", "Surrogate-Control"}

// The name is the field's.
func (t Target) String() string { return targetNames[t] }

// TargetOf finds the target of a field name spelled as in String.
func TargetOf(name string) (Target, bool) {
	for i, n := range targetNames {
		if n == name {
			return Target(i), true
		}
	}
	return 0, false
}

// OneHop reports whether the field speaks to this cache alone and goes no further. CDN-Cache-Control does: there
// may be another network behind us.
func (t Target) OneHop() bool { return t != CDNCacheControl }

// govern finds the directives that govern a response: those of the first target with a valid value that is not
// empty, or else of Cache-Control (RFC 9213 §2.2).
func (a *Assessment) govern(resp *Response, targets []Target) {
	for _, t := range targets {
		lines := resp.Fields
		if resp.Own.Has(t.String()) {
			lines = resp.Own
		}
		if !lines.Has(t.String()) {
			continue
		}
		parse := parseTargeted
		if t == SurrogateControl {
			parse = parseSurrogate
		}
		if d, ok := parse(lines, t.String()); ok {
			a.Directives, a.targeted = d, true
			return
		}
	}
	a.Directives = Parse(resp.Fields, "Cache-Control")
}

// parseTargeted reads a targeted field (RFC 9213 §2.1): false when it is empty or breaks the grammar anywhere, and
// then it counts for nothing. A directive whose value is of a wrong type is not used where it permits something,
// such as max-age; where it forbids something it holds, whatever its value but a plain false.
func parseTargeted(lines field.List, name string) (Directives, bool) {
	var d Directives
	members, ok := structured.Dictionary(lines, name)
	for i := range members {
		d.member(&members[i])
	}
	return d, ok && len(members) > 0
}

func (d *Directives) member(m *structured.Member) {
	off := m.Kind == structured.Boolean && !m.Boolean
	text := m.Kind == structured.String
	switch {
	case off:
	case is(m.Key, "max-age"):
		d.seconds(MaxAge, &d.MaxAge, m)
	case is(m.Key, "s-maxage"):
		d.seconds(SMaxAge, &d.SMaxAge, m)
	case is(m.Key, "stale-while-revalidate"):
		d.seconds(StaleWhileRevalidate, &d.StaleWhileRevalidate, m)
	case is(m.Key, "stale-if-error"):
		d.seconds(StaleIfError, &d.StaleIfError, m)
	case is(m.Key, "no-cache") && text:
		d.names(NoCache, NoCacheFields, &d.NoCacheNames, m.Text)
	case is(m.Key, "private") && text:
		d.names(Private, PrivateFields, &d.PrivateNames, m.Text)
	case is(m.Key, "no-cache"):
		d.Flags |= NoCache
	case is(m.Key, "private"):
		d.Flags |= Private
	default:
		f := plainFlag(m.Key)
		if f&(Public|Immutable) != 0 && m.Kind != structured.Boolean {
			return
		}
		d.Flags |= f
	}
}

func (d *Directives) seconds(f Flag, into *int64, m *structured.Member) {
	if m.Kind != structured.Integer || m.Integer < 0 {
		return
	}
	d.Flags |= f
	*into = min(m.Integer, MaxDelta)
}

// surrogate is our device token: what Surrogate-Capability announces and directives may name.
const surrogate = "tzero"

// SurrogateCapability is the value of the request field that tells the origin whom it can name.
const SurrogateCapability = surrogate + `="Surrogate/1.0"`

// parseSurrogate reads Surrogate-Control (Edge Architecture Specification §2.2): max-age=N or N+M, where M is how
// long it may be used stale, and no-store, each for all surrogates or, with ";tzero", for us, which then outweighs
// the former. no-store-remote is taken for no-store, since nobody says how remote we are; content asks for
// processing that we do not do. false when nothing of it is for us.
func parseSurrogate(lines field.List, name string) (Directives, bool) {
	var d Directives
	byName := false
	for v := range lines.All(name) {
		for len(v) > 0 {
			var m []byte
			m, v = cutMember(v)
			control, target, aimed := bytes.Cut(m, []byte(";"))
			if aimed && !is(field.TrimOWS(target), surrogate) {
				continue
			}
			word, arg, _ := bytes.Cut(field.TrimOWS(control), []byte("="))
			switch {
			case is(word, "no-store") || is(word, "no-store-remote"):
				d.Flags |= NoStore
			case is(word, "max-age") && (aimed || !byName):
				if d.extended(arg) {
					byName = aimed
				}
			}
		}
	}
	return d, d.Flags != 0
}

// extended reads max-age's "N" or "N+M"; what cannot be read is left out.
func (d *Directives) extended(arg []byte) bool {
	fresh, more, has := bytes.Cut(arg, []byte("+"))
	age, ok := Seconds(fresh)
	if !ok {
		return false
	}
	d.Flags |= MaxAge
	d.MaxAge = age
	if stale, ok := Seconds(more); has && ok {
		d.Flags |= StaleWhileRevalidate | StaleIfError
		d.StaleWhileRevalidate, d.StaleIfError = stale, stale
	}
	return true
}
