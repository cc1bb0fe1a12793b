package http1

import (
	"encoding/binary"
	"math/bits"
)

// The classes of a byte; one lookup answers every question the parsers ask of it.
const (
	isToken    = 1 << iota // tchar, RFC 9110 §5.6.2
	isPath                 // may stand in a target's path, besides "%"
	isQuery                // may stand in a target's query
	isHostname             // letter, digit, "-", "_": a label of a host name
	isHex                  // HEXDIG, both cases
	isDigit                // DIGIT
	isText                 // HTAB, SP, VCHAR, obs-text: what a field value is made of, RFC 9110 §5.5
	isQuoted               // qdtext, RFC 9110 §5.6.4
)

// class is built once and never written again.
var class = buildClasses()

func buildClasses() (t [256]uint8) {
	mark := func(chars string, c uint8) {
		for i := range len(chars) {
			t[chars[i]] |= c
		}
	}
	const alnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	mark(alnum+"!#$%&'*+-.^_`|~", isToken)
	// RFC 3986 §3.3: pchar and "/". The rest is what browsers leave unescaped in a path (WHATWG URL, path
	// percent-encode set), and what nginx lets pass: "[", "]", "^", "|".
	const path = alnum + "-._~" + "!$&'()*+,;=" + ":@/" + "[]^|"
	mark(path, isPath|isQuery)
	// RFC 3986 §3.4, and what browsers leave unescaped in a query. "%" need not introduce two hex digits
	// there: a form or a campaign link with "100%" is sent as it stands.
	mark("?%\\`{}", isQuery)
	mark(alnum+"-_", isHostname)
	mark("0123456789abcdefABCDEF", isHex)
	mark("0123456789", isDigit)
	for c := range 256 {
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[c] |= isText
			if c != '"' && c != '\\' {
				t[c] |= isQuoted
			}
		}
	}
	return t
}

// IsToken reports whether b is a token (RFC 9110 §5.6.2): what a method, a field name and a connection
// option must be.
func IsToken(b []byte) bool {
	for _, c := range b {
		if class[c]&isToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// nextControl returns the index of the first byte of b at or after i that is below SP or DEL, or
// len(b). It looks at sixteen bytes at a time, and at single ones near the end of b.
func nextControl(b []byte, i int) int {
	for i+16 <= len(b) {
		s := b[i : i+16]
		first := controls(binary.LittleEndian.Uint64(s))
		second := controls(binary.LittleEndian.Uint64(s[8:]))
		if first|second != 0 {
			if first != 0 {
				return i + bits.TrailingZeros64(first)>>3
			}
			return i + 8 + bits.TrailingZeros64(second)>>3
		}
		i += 16
	}
	for i < len(b) && b[i] >= ' ' && b[i] != 0x7f {
		i++
	}
	return i
}

// controls sets the high bit of every byte of x that is below SP or DEL. The sums cannot carry from one
// byte into the next, since their bytes are below 0x80.
func controls(x uint64) uint64 {
	low := x &^ highs
	return (^(low + 0x60*ones) | (low + ones)) &^ x & highs
}

// endOfToken returns the index of the first byte of b that is no tchar, or len(b). Names are short: the
// table is as fast as looking at eight bytes at a time.
func endOfToken(b []byte) int {
	i := 0
	for i < len(b) && class[b[i]]&isToken != 0 {
		i++
	}
	return i
}

// parseDigits reads 1*DIGIT without sign or space (RFC 9110 §8.6); ok is false for anything else and for
// values beyond int64.
func parseDigits(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if class[c]&isDigit == 0 {
			return 0, false
		}
		d := int64(c - '0')
		if n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}
