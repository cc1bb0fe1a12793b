package http1

import (
	"strconv"

	"github.com/tzero-edge/tzero/internal/field"
)

// The Append functions write messages in their one clean form. They trust their arguments: names are
// tokens (IsToken), values pass ValidValue, targets come from a parsed request or a checked configuration.

// AppendRequestLine appends method SP target SP HTTP/1.1 CRLF.
func AppendRequestLine(dst, method, target []byte) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

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

// AppendFieldString is AppendField for constants.
func AppendFieldString(dst []byte, name, value string) []byte {
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

// AppendChunked appends a Transfer-Encoding: chunked line.
func AppendChunked(dst []byte) []byte { return append(dst, "Transfer-Encoding: chunked\r\n"...) }

// AppendEnd appends the empty line that ends a head.
func AppendEnd(dst []byte) []byte { return append(dst, "\r\n"...) }

// AppendChunkSize appends the line before n bytes of chunk data; the data and ChunkEnd follow. n must not
// be 0, which would end the body.
func AppendChunkSize(dst []byte, n int) []byte {
	dst = strconv.AppendUint(dst, uint64(n), 16)
	return append(dst, "\r\n"...)
}

// ChunkEnd stands behind a chunk's data.
const ChunkEnd = "\r\n"

// AppendChunk appends data as one chunk; nothing when data is empty, since that would end the body.
func AppendChunk(dst, data []byte) []byte {
	if len(data) == 0 {
		return dst
	}
	dst = AppendChunkSize(dst, len(data))
	dst = append(dst, data...)
	return append(dst, ChunkEnd...)
}

// AppendLastChunk ends a chunked body, with a trailer section that may be empty.
func AppendLastChunk(dst []byte, trailer field.List) []byte {
	dst = append(dst, "0\r\n"...)
	dst = AppendFields(dst, trailer)
	return append(dst, "\r\n"...)
}
