package http1

// span says where the parts of a field line stand in its bytes.
type span struct {
	name     int // the name is [:name]
	from, to int // the value is [from:to]
	next     int // the line with its CRLF is [:next]; 0 while its end has not arrived
}

// fieldLine reads one line of a header or trailer section (RFC 9112 §5) from the front of b, which begins
// neither with CRLF nor with whitespace. When b ends before the line does, next is 0, and what there is
// of the line has no fault yet.
//
// The value keeps obs-text (bytes from 0x80) and inner whitespace, and loses the whitespace around it.
func fieldLine(b []byte) (s span, bad *Malformed) {
	i := endOfToken(b)
	if i == len(b) {
		return span{}, nil
	}
	if b[i] != ':' || i == 0 {
		return span{}, badName(b, i)
	}
	s.name = i
	for i++; i < len(b) && isOWS(b[i]); i++ {
	}
	s.from = i
	for {
		if i = nextControl(b, i); i == len(b) {
			return span{}, nil
		}
		if b[i] != '\t' {
			break
		}
		i++
	}
	if b[i] != '\r' {
		return span{}, badValue(b[:s.name], b[i], i)
	}
	if i+1 == len(b) {
		return span{}, nil
	}
	if b[i+1] != '\n' {
		return span{}, badValue(b[:s.name], '\r', i)
	}
	s.to, s.next = i, i+2
	for s.to > s.from && isOWS(b[s.to-1]) {
		s.to--
	}
	return s, nil
}

// badName judges the byte that ended a name of i bytes without being its colon; nil while what follows is
// needed to tell.
func badName(b []byte, i int) *Malformed {
	c := b[i]
	switch {
	case i == 0 && c == ':':
		return malformed(BadFieldName, "empty name")
	case c == '\r' && i+1 == len(b):
		return nil
	case c == '\r' && b[i+1] == '\n':
		return malformed(BadFieldName, "no colon after "+excerpt(b[:i]))
	case c == '\n', c == '\r':
		return malformed(BadLineEnd, "in the field name "+excerpt(b[:i]))
	case isOWS(c):
		j := i
		for j < len(b) && isOWS(b[j]) {
			j++
		}
		switch {
		case j == len(b):
			return nil
		case b[j] == ':':
			return malformed(SpaceBeforeColon, "after the field name "+excerpt(b[:i]))
		}
	case c < ' ' || c == 0x7f:
		return malformedAt(ControlByte, "field name", c, i)
	}
	return malformedAt(BadFieldName, "field name", c, i)
}

func badValue(name []byte, c byte, at int) *Malformed {
	return malformedAt(controlReason(c), "field "+excerpt(name), c, at)
}
