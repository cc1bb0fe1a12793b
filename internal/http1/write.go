package http1

import (
	"strconv"

	"github.com/tzero-edge/tzero/internal/field"
)

// The Append functions write messages in their one clean form. They trust their arguments: names are
// tokens, values carry no control bytes: they come from a parsed message or a checked configuration.

// AppendStatusLine appends HTTP/1.1 SP status SP reason CRLF; status has three digits, reason may be empty.
func AppendStatusLine(dst []byte, status int, reason string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10), ' ')
	dst = append(dst, reason...)
	return append(dst, "\r\n"...)
}

// AppendField appends one field line.
func AppendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// AppendFields appends every line of l, without the empty line that ends a section.
func AppendFields(dst []byte, l field.List) []byte {
	for i := range l {
		dst = AppendField(dst, l[i].Name, l[i].Value)
	}
	return dst
}

// AppendContentLength appends a Content-Length line.
func AppendContentLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "\r\n"...)
}
