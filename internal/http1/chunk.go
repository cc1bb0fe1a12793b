package http1

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
)

// Bounds of the chunked coding's own bytes.
const (
	maxChunkLine  = 512     // one chunk-size line with its extensions
	maxExtensions = 8 << 10 // all extensions of a body together (RFC 9112 §7.1.1)
	maxSizeDigits = 16
)

// The states of the chunk decoder; the grammar is RFC 9112 §7.1.
//
//	chunk-size  1*HEXDIG
//	chunk-ext   *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF
//	chunk-data  CRLF
//
// and after the last chunk the trailer section: *( field-line CRLF ) CRLF.
const (
	inSize     = iota
	beforeSemi // BWS that must be followed by ";"
	beforeName
	inName
	afterName // BWS that must be followed by "=" or ";"
	beforeValue
	inValue
	inQuoted
	inEscape   // behind "\" in a quoted-string
	afterValue // an extension may end here, or another begin
	sizeLF
	inData
	dataCR
	dataLF
	trailerStart
	inTrailer
	lastLF
	complete
)

// decoder takes the chunked coding off a stream, byte by byte where it is framing, so that it does not
// matter how the bytes arrive. A copy of it can run ahead over bytes that stay unread.
type decoder struct {
	state      uint8
	dry        bool // a copy that runs ahead: trailer lines are passed over
	size       int64
	left       int64 // of the current chunk's data
	digits     int
	line       int // length of the current chunk-size line
	extensions int

	tail    []byte // the trailer section so far, raw
	tailAt  int    // where its current line begins
	tailLen int
	trailer field.List
}

// step consumes framing from the front of b up to the next data or the end of the body, and then up to
// most bytes of data: b[skip:skip+n]. It has consumed skip+n bytes; n is 0 when data is still to come.
func (d *decoder) step(b []byte, most int, lim *Limits) (skip, n int, bad *Malformed) {
	for skip < len(b) && d.state != complete {
		switch {
		case d.state == inData:
			n = int(min(int64(most), d.left, int64(len(b)-skip)))
			if d.left -= int64(n); d.left == 0 {
				d.state = dataCR
			}
			return skip, n, nil
		case d.state == inTrailer:
			took, bad := d.trailerLine(b[skip:], lim)
			if bad != nil {
				return skip, 0, bad
			}
			skip += took
		default:
			if bad := d.framing(b[skip]); bad != nil {
				return skip, 0, bad
			}
			if d.state != inTrailer {
				skip++
			}
		}
	}
	return skip, 0, nil
}

// framing takes one byte that is not data. In the state trailerStart a byte that begins a trailer line is
// left for trailerLine.
func (d *decoder) framing(c byte) *Malformed {
	switch d.state {
	case inSize:
		if class[c]&isHex == 0 {
			return d.endOfSize(c)
		}
		if d.digits++; d.digits > maxSizeDigits || d.size > (1<<63-1)>>4 {
			return malformed(BadChunk, "size too large")
		}
		d.size = d.size<<4 | int64(hexValue(c))
		d.line++
	case sizeLF:
		if c != '\n' {
			return malformedAt(BadChunk, "CR without LF after the size", c, d.line)
		}
		d.beginData()
	case dataCR:
		if c != '\r' {
			return malformed(BadChunk, "data without CRLF after it")
		}
		d.state = dataLF
	case dataLF:
		if c != '\n' {
			return malformed(BadChunk, "data without CRLF after it")
		}
		d.state, d.size, d.digits, d.line = inSize, 0, 0, 0
	case trailerStart:
		switch c {
		case '\r':
			d.state = lastLF
		case ' ', '\t':
			return malformed(FoldedLine, "trailer")
		default:
			d.state = inTrailer
		}
	case lastLF:
		if c != '\n' {
			return malformed(BadLineEnd, "CR at the beginning of a trailer line")
		}
		d.state = complete
	default:
		return d.extension(c)
	}
	return nil
}

// endOfSize takes the byte after the size's digits.
func (d *decoder) endOfSize(c byte) *Malformed {
	if d.digits == 0 {
		return malformedAt(BadChunk, "size", c, 0)
	}
	switch {
	case c == '\r':
		d.state = sizeLF
	case c == ';':
		d.state = beforeName
	case isOWS(c):
		d.state = beforeSemi
	default:
		return malformedAt(BadChunk, "size", c, d.digits)
	}
	return nil
}

func (d *decoder) beginData() {
	if d.left = d.size; d.left > 0 {
		d.state = inData
	} else {
		d.state = trailerStart
	}
}

// extension takes one byte of a chunk's extensions: they are checked and dropped (RFC 9112 §7.1.1). BWS is
// parsed because RFC 9110 §5.6.3 says recipients must.
func (d *decoder) extension(c byte) *Malformed {
	d.line++
	d.extensions++
	if d.line > maxChunkLine || d.extensions > maxExtensions {
		return malformed(ChunkLineTooLong, "")
	}
	next := extensionState(d.state, c)
	if next == inSize { // no extension state leads back there: it stands for a fault
		return malformedAt(BadChunkExtension, "extension", c, d.line)
	}
	d.state = next
	return nil
}

// extensionState is the transition table of the chunk-ext grammar; inSize means that c is not allowed.
func extensionState(state, c byte) byte {
	token := class[c]&isToken != 0
	switch state {
	case beforeSemi:
		switch {
		case isOWS(c):
			return beforeSemi
		case c == ';':
			return beforeName
		}
	case beforeName:
		switch {
		case isOWS(c):
			return beforeName
		case token:
			return inName
		}
	case inName, afterName:
		switch {
		case token && state == inName:
			return inName
		case isOWS(c):
			return afterName
		case c == '=':
			return beforeValue
		case c == ';':
			return beforeName
		case c == '\r' && state == inName:
			return sizeLF
		}
	case beforeValue:
		switch {
		case isOWS(c):
			return beforeValue
		case c == '"':
			return inQuoted
		case token:
			return inValue
		}
	case inValue, afterValue:
		switch {
		case token && state == inValue:
			return inValue
		case isOWS(c):
			return beforeSemi
		case c == ';':
			return beforeName
		case c == '\r':
			return sizeLF
		}
	case inQuoted:
		switch {
		case c == '"':
			return afterValue
		case c == '\\':
			return inEscape
		case class[c]&isQuoted != 0:
			return inQuoted
		}
	case inEscape:
		if class[c]&isText != 0 {
			return inQuoted
		}
	}
	return inSize
}

// trailerLine takes bytes of one trailer line, through its LF when that is in b, and parses the line then.
func (d *decoder) trailerLine(b []byte, lim *Limits) (int, *Malformed) {
	n, whole := len(b), false
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		n, whole = i+1, true
	}
	if d.dry {
		if whole {
			d.state = trailerStart
		}
		return n, nil
	}
	n = min(n, lim.Head+1-len(d.tail))
	d.tail = append(d.tail, b[:n]...)
	switch {
	case len(d.tail)-d.tailAt > lim.Field+2:
		return n, malformed(FieldTooLarge, "trailer")
	case len(d.tail) > lim.Head:
		return n, malformed(HeadTooLarge, "trailer section")
	case !whole:
		return n, nil
	}
	d.state = trailerStart
	return n, d.addTrailer(lim)
}

func (d *decoder) addTrailer(lim *Limits) *Malformed {
	line := d.tail[d.tailAt:]
	d.tailAt = len(d.tail)
	s, bad := fieldLine(line)
	switch {
	case bad != nil:
		return bad
	case s.next != len(line): // cannot be: the line ends with its first LF
		return malformed(BadLineEnd, "trailer")
	case d.tailLen == lim.Fields:
		return malformed(TooManyFields, "trailer section")
	}
	d.tailLen++
	name := line[:s.name:s.name]
	switch judgeTrailer(name) {
	case refuseTrailer:
		return malformed(ForbiddenTrailer, excerpt(name))
	case keepTrailer:
		d.trailer.Add(name, line[s.from:s.to:s.to])
	}
	return nil
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
