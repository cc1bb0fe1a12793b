package rfc9111

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/tzero-edge/tzero/internal/field"
)

const acceptLanguage = "Accept-Language"

// appendJoined appends the lines of a field as one list, without whitespace around commas outside of quoted strings,
// in the layout of AppendSelecting.
func appendJoined(dst []byte, fields field.List, name []byte) []byte {
	languages := is(name, acceptLanguage)
	start, lines := len(dst), 0
	for i := range fields {
		if !foldEqual(fields[i].Name, name) {
			continue
		}
		if lines++; lines == 1 {
			dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
		} else {
			dst = append(dst, ',')
		}
		if languages {
			dst = appendLanguages(dst, fields[i].Value)
		} else {
			dst = appendList(dst, fields[i].Value)
		}
	}
	if lines == 0 {
		return append(dst, 0)
	}
	if languages {
		dst = sortMembers(dst, start+8)
	}
	binary.BigEndian.PutUint32(dst[start:], 1|1<<31)
	binary.BigEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-8))
	return dst
}

func appendList(dst, value []byte) []byte {
	for {
		rest := skipToComma(value)
		dst = append(dst, field.TrimOWS(value[:len(value)-len(rest)])...)
		if len(rest) == 0 {
			return dst
		}
		dst, value = append(dst, ','), rest[1:]
	}
}

// maxSorted is the greatest number of members that are sorted: real requests name a handful of languages.
const maxSorted = 32

// sortMembers sorts the list that begins at from.
func sortMembers(dst []byte, from int) []byte {
	var members [maxSorted][]byte
	n, end := 0, len(dst)
	for b := dst[from:end]; ; n++ {
		if n == maxSorted {
			return dst
		}
		member, rest, more := bytes.Cut(b, []byte(","))
		members[n] = member
		if b = rest; !more {
			n++
			break
		}
	}
	slices.SortFunc(members[:n], bytes.Compare)
	for i, m := range members[:n] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, m...)
	}
	return append(dst[:from], dst[end:]...)
}

// AppendLanguage appends, in place of AppendSelecting's Accept-Language, the one language that is preferred.
func AppendLanguage(dst, tag []byte) []byte {
	dst = append(dst, 3, byte(len(tag)))
	for _, c := range tag {
		dst = append(dst, lower(c))
	}
	return dst
}

// PreferredLanguage is the language that a request gives a greater weight than any other (RFC 9110 §12.5.4); nil when
// there is none.
func PreferredLanguage(fields field.List) []byte {
	var best []byte
	top := 0
	for v := range fields.All(acceptLanguage) {
		for len(v) > 0 {
			var m []byte
			m, v = cutMember(v)
			tag, w := languageRange(m)
			switch {
			case w > top:
				best, top = tag, w
			case w == top:
				best = nil
			}
		}
	}
	if len(best) == 0 || len(best) > maxTag || best[0] == '*' {
		return nil
	}
	return best
}

// languageRange splits "de;q=0.8" into the tag and thousandths; what is not of that form has no weight.
func languageRange(m []byte) (tag []byte, weight int) {
	tag, param, has := bytes.Cut(m, []byte(";"))
	tag = field.TrimOWS(tag)
	if tokenLen(tag) != len(tag) {
		return tag, 0
	}
	if !has {
		return tag, 1000
	}
	q := field.TrimOWS(param)
	if len(q) < 3 || len(q) > 7 || lower(q[0]) != 'q' || q[1] != '=' || q[2] != '0' && q[2] != '1' || len(q) > 3 && q[3] != '.' {
		return tag, 0
	}
	weight = int(q[2]-'0') * 1000
	for i, unit := 4, 100; i < len(q); i, unit = i+1, unit/10 {
		if q[i] < '0' || q[i] > '9' {
			return tag, 0
		}
		weight += int(q[i]-'0') * unit
	}
	return tag, min(weight, 1000)
}

// maxTag is longer than any language tag in use.
const maxTag = 64

// ContentLanguage is the one language that a response says it is in, or nil.
func ContentLanguage(fields field.List) []byte {
	v := fields.Get("Content-Language")
	if fields.Count("Content-Language") != 1 || len(v) > maxTag || tokenLen(v) != len(v) || len(v) == 0 {
		return nil
	}
	return v
}
