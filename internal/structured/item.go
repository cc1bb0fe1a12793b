package structured

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"
)

// bare reads an item without parameters (§4.2.3.1).
func (p *parser) bare() (Item, bool) {
	switch c := p.peek(); {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		return p.text()
	case c == '*' || isAlpha(c):
		return p.token()
	case c == ':':
		return p.bytes()
	case c == '?':
		return p.boolean()
	case c == '@':
		p.take('@')
		it, ok := p.number()
		it.Kind, ok = Date, ok && it.Kind == Integer
		return it, ok
	case c == '%':
		return p.display()
	}
	return Item{}, false
}

// number reads an integer of at most 15 digits, or a decimal of at most 12 and 3.
func (p *parser) number() (Item, bool) {
	negative := p.take('-')
	n, digits := int64(0), 0
	for ; isDigit(p.peek()); digits++ {
		if digits == 15 {
			return Item{}, false
		}
		n = n*10 + int64(p.b[0]-'0')
		p.b = p.b[1:]
	}
	if digits == 0 {
		return Item{}, false
	}
	if negative {
		n = -n
	}
	if !p.take('.') {
		return Item{Kind: Integer, Integer: n}, true
	}
	behind := 0
	for ; isDigit(p.peek()); behind++ {
		p.b = p.b[1:]
	}
	return Item{Kind: Decimal}, digits <= 12 && 1 <= behind && behind <= 3
}

// text reads a string; the escapes, if there are any, are resolved in a copy.
func (p *parser) text() (Item, bool) {
	b := p.b[1:]
	var copied []byte
	from := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			p.b = b[i+1:]
			text := b[from:i]
			if copied != nil {
				text = append(copied, text...)
			}
			return Item{Kind: String, Text: text}, true
		case c == '\\':
			if i+1 == len(b) || b[i+1] != '"' && b[i+1] != '\\' {
				return Item{}, false
			}
			copied = append(copied, b[from:i]...)
			i++
			from = i
		case c < ' ' || c > '~':
			return Item{}, false
		}
	}
	return Item{}, false
}

func (p *parser) token() (Item, bool) {
	n := 1
	for n < len(p.b) && isToken(p.b[n]) {
		n++
	}
	it := Item{Kind: Token, Text: p.b[:n]}
	p.b = p.b[n:]
	return it, true
}

func (p *parser) bytes() (Item, bool) {
	n := bytes.IndexByte(p.b[1:], ':')
	if n < 0 {
		return Item{}, false
	}
	raw := bytes.TrimRight(p.b[1:1+n], "=") // padding may be missing (§4.2.7)
	p.b = p.b[n+2:]
	if bytes.ContainsAny(raw, "\r\n") { // which the decoder would skip
		return Item{}, false
	}
	_, err := base64.RawStdEncoding.Decode(make([]byte, len(raw)), raw)
	return Item{Kind: Bytes}, err == nil
}

func (p *parser) boolean() (Item, bool) {
	p.take('?')
	it := Item{Kind: Boolean, Boolean: p.peek() == '1'}
	return it, p.take('0') || p.take('1')
}

// display reads a display string: percent-encoded UTF-8 (§4.2.10).
func (p *parser) display() (Item, bool) {
	p.take('%')
	if !p.take('"') {
		return Item{}, false
	}
	var text []byte
	for len(p.b) > 0 {
		c := p.b[0]
		p.b = p.b[1:]
		switch {
		case c == '"':
			return Item{Kind: Display}, utf8.Valid(text)
		case c < ' ' || c > '~':
			return Item{}, false
		case c == '%':
			if len(p.b) < 2 || hex(p.b[0]) < 0 || hex(p.b[1]) < 0 {
				return Item{}, false
			}
			c = byte(hex(p.b[0])<<4 | hex(p.b[1]))
			p.b = p.b[2:]
		}
		text = append(text, c)
	}
	return Item{}, false
}

// hex is the value of a digit in lower case, the only one that §4.2.10 permits.
func hex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

func isToken(c byte) bool {
	if isAlpha(c) || isDigit(c) {
		return true
	}
	return bytes.IndexByte([]byte("!#$%&'*+-.^_`|~:/"), c) >= 0
}
