package decisionlog

import "unicode/utf8"

const hex = "0123456789abcdef"

// plain marks the ASCII characters that need no escape inside a JSON string. DEL is escaped as well:
// terminals act on it.
func plain(c byte) bool { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' }

// appendEscaped appends s as the inside of a JSON string (RFC 8259 §7). Bytes that are no UTF-8
// become U+FFFD. Whatever could break a line, forge one or steer the terminal of somebody who reads
// the log is written as \u....
func appendEscaped[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain(c) {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		if c < utf8.RuneSelf {
			dst = appendASCII(dst, c)
			i++
		} else {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(dst, `\ufffd`...)
			case hidden(r):
				dst = appendUnicode(dst, r)
			default:
				dst = append(dst, s[i:i+size]...)
			}
			i += size
		}
		start = i
	}
	return append(dst, s[start:]...)
}

func appendASCII(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return appendUnicode(dst, rune(c))
}

// appendUnicode writes a character of the basic plane.
func appendUnicode(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// hidden: C1 controls, line and paragraph separators, zero-width and bidirectional marks, byte order mark.
func hidden(r rune) bool {
	return r <= 0x9f || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
		r >= 0x2060 && r <= 0x206f || r == 0xfeff
}

// bounded cuts s to at most n bytes, not inside a character.
func bounded[T string | []byte](s T, n int) (kept T, cut bool) {
	if len(s) <= n {
		return s, false
	}
	for back := 0; n > 0 && back < utf8.UTFMax && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n], true
}
