package origin

import (
	"bytes"
	"strconv"

	"github.com/tzero-edge/tzero/internal/field"
)

// framing says how a request's body is delimited on the wire (RFC 9112 §6).
type framing struct {
	chunked bool
	length  int64 // -1: no field at all
	expect  bool
}

// appendHead renders the request's head, the only form in which requests leave the gateway; lines is the
// number of its lines, the empty one at the end included.
func appendHead(dst []byte, q *Request, host []byte, f framing) (head []byte, lines int) {
	dst = append(dst, q.Method...)
	dst = append(dst, ' ')
	dst = append(dst, q.Target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\n"...)
	lines = 3
	for i := range q.Fields {
		if l := &q.Fields[i]; !ours(l.Name) {
			dst = appendLine(dst, l)
			lines++
		}
	}
	if f.chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		lines++
	} else if f.length >= 0 {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, f.length, 10)
		dst = append(dst, "\r\n"...)
		lines++
	}
	if f.expect {
		dst = append(dst, "Expect: 100-continue\r\n"...)
		lines++
	}
	if q.Upgrade != nil {
		dst = append(dst, "Connection: Upgrade\r\nUpgrade: "...)
		dst = append(dst, q.Upgrade...)
		dst = append(dst, "\r\n"...)
		lines += 2
	}
	return append(dst, "\r\n"...), lines
}

func appendLine(dst []byte, l *field.Field) []byte {
	dst = append(dst, l.Name...)
	dst = append(dst, ": "...)
	dst = append(dst, l.Value...)
	return append(dst, "\r\n"...)
}

// ours reports whether a field speaks about this connection or the body's framing: those are written
// here, once, whatever the list holds.
func ours(name []byte) bool {
	switch len(name) {
	case 4:
		return field.EqualFold(name, "Host")
	case 6:
		return field.EqualFold(name, "Expect")
	case 7:
		return field.EqualFold(name, "Upgrade")
	case 10:
		return field.EqualFold(name, "Connection") || field.EqualFold(name, "Keep-Alive")
	case 14:
		return field.EqualFold(name, "Content-Length")
	case 17:
		return field.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// clean reports whether a rendered head consists of exactly its lines: no CR, LF or NUL came in with a
// name or a value, and no space with the target. The door refuses such bytes; this is the lock behind
// the lock, and a few passes of the processor's widest compare cost next to nothing.
func clean(head []byte, lines int) bool {
	// Every line brings one CR and one LF of its own: equal numbers mean that nothing else brought any.
	return bytes.Count(head, []byte{'\n'}) == lines &&
		bytes.Count(head, []byte{'\r'}) == lines &&
		bytes.IndexByte(head, 0) < 0 &&
		bytes.Count(head[:bytes.IndexByte(head, '\n')], []byte{' '}) == 2
}

// idempotent reports whether doing it twice is the same as doing it once (RFC 9110 §9.2.2).
func idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// announcesBody reports whether a request of this method should say that it has no body
// (RFC 9110 §8.6).
func announcesBody(method []byte) bool {
	switch string(method) {
	case "POST", "PUT", "PATCH":
		return true
	}
	return false
}

// cleanLine reports whether a rendered line is one line.
func cleanLine(line []byte) bool {
	return bytes.IndexByte(line, '\n') == len(line)-1 && bytes.IndexByte(line, '\r') == len(line)-2 &&
		bytes.IndexByte(line, 0) < 0
}
