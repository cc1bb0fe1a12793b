package key

import (
	"bytes"
	"encoding/binary"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/structured"
)

// Search is what a response's No-Vary-Search says about queries that get the same response
// (draft-ietf-httpbis-no-vary-search), in a form that is stored and read without parsing:
//
//	u8 flags · for every name: u16 length · name, decoded
//
// The names are those that do not count, or with searchAll those that alone do.
type Search []byte

const (
	searchAll      = 1 << iota // params: no parameter counts, but for the names
	searchAnyOrder             // key-order: the order of names does not count
)

// The bounds of what is honoured; beyond them every query stands for itself.
const (
	maxSearchField = 2048
	maxSearchNames = 64
	maxParameters  = 64
)

// ParseSearch reads No-Vary-Search; nil where it is not there, says nothing, or is not what the draft asks for: then
// every query is a page of its own.
func ParseSearch(lines field.List) Search {
	size := 0
	for v := range lines.All("No-Vary-Search") {
		size += len(v)
	}
	if size == 0 || size > maxSearchField {
		return nil
	}
	members, ok := structured.Dictionary(lines, "No-Vary-Search")
	if !ok {
		return nil
	}
	s, ok := searchOf(members)
	if !ok || s[0] == 0 && len(s) == 1 {
		return nil
	}
	return s
}

// ReadSearch takes stored bytes for a Search after checking them.
func ReadSearch(b []byte) (Search, bool) {
	if len(b) == 0 {
		return nil, false
	}
	for rest := b[1:]; len(rest) > 0; {
		if len(rest) < 2 || int(binary.BigEndian.Uint16(rest)) > len(rest)-2 {
			return nil, false
		}
		rest = rest[2+binary.BigEndian.Uint16(rest):]
	}
	return Search(b), true
}

func searchOf(members []structured.Member) (s Search, ok bool) {
	s = Search{0}
	var params, except *structured.Member
	for i := range members {
		m := &members[i]
		switch string(m.Key) {
		case "key-order":
			if m.Kind != structured.Boolean {
				return s, false
			}
			if m.Boolean {
				s[0] |= searchAnyOrder
			}
		case "params":
			params = m
		case "except":
			except = m
		}
	}
	all := params != nil && params.Kind == structured.Boolean && params.Boolean
	switch {
	case params == nil || params.Kind == structured.Boolean:
	case params.Kind == structured.InnerList:
		if s, ok = s.names(params.List); !ok {
			return s, false
		}
	default:
		return s, false
	}
	if all {
		s[0] |= searchAll
	}
	if except == nil {
		return s, true
	}
	if !all || except.Kind != structured.InnerList {
		return s, false
	}
	return s.names(except.List)
}

func (s Search) names(list []structured.Item) (Search, bool) {
	if len(list) > maxSearchNames {
		return s, false
	}
	for i := range list {
		if list[i].Kind != structured.String {
			return s, false
		}
		at := len(s)
		s = appendDecoded(append(s, 0, 0), list[i].Text)
		binary.BigEndian.PutUint16(s[at:], uint16(len(s)-at-2))
	}
	return s, true
}

// counts reports whether a parameter of that name, decoded, tells pages apart.
func (s Search) counts(name []byte) bool {
	for b := s[1:]; len(b) > 0; {
		n := 2 + int(binary.BigEndian.Uint16(b))
		if bytes.Equal(b[2:n], name) {
			return s[0]&searchAll != 0
		}
		b = b[n:]
	}
	return s[0]&searchAll == 0
}

// AppendEquivalent appends the query's normal form: two queries get the same response when it is the same. Names and
// values are decoded as application/x-www-form-urlencoded. false when there are too many parameters.
//
//	for every parameter that counts: u32 length · name · u32 length · value
func (s Search) AppendEquivalent(dst, query []byte) ([]byte, bool) {
	var found [maxParameters]struct{ at, name, end int }
	n := 0
	for more := true; more; {
		var param []byte
		param, query, more = bytes.Cut(query, []byte("&"))
		if len(param) == 0 {
			continue
		}
		if n == maxParameters {
			return dst, false
		}
		name, value, _ := bytes.Cut(param, []byte("="))
		f := &found[n]
		f.at = len(dst)
		dst = appendPart(dst, name)
		f.name = len(dst)
		if !s.counts(dst[f.at+4 : f.name]) {
			dst = dst[:f.at]
			continue
		}
		dst = appendPart(dst, value)
		f.end = len(dst)
		n++
	}
	if s[0]&searchAnyOrder == 0 || n < 2 {
		return dst, true
	}
	// Stable, by name alone: the values of one name keep their order.
	for i := 1; i < n; i++ {
		for j := i; j > 0 && bytes.Compare(dst[found[j].at+4:found[j].name], dst[found[j-1].at+4:found[j-1].name]) < 0; j-- {
			found[j], found[j-1] = found[j-1], found[j]
		}
	}
	from, end := found[0].at, len(dst)
	for _, f := range found[:n] {
		from = min(from, f.at)
		dst = append(dst, dst[f.at:f.end]...)
	}
	return append(dst[:from], dst[end:]...), true
}

func appendPart(dst, raw []byte) []byte {
	at := len(dst)
	dst = appendDecoded(append(dst, 0, 0, 0, 0), raw)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// appendDecoded decodes "+" and percent escapes; an escape that is none stays as it is.
func appendDecoded(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(raw) && unhex(raw[i+1]) >= 0 && unhex(raw[i+2]) >= 0:
			c = byte(unhex(raw[i+1])<<4 | unhex(raw[i+2]))
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}
