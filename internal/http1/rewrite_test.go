package http1

import (
	"strconv"

	"github.com/tzero-edge/tzero/internal/field"
)

// What the tests write and production does not: proxy/origin writes requests, fasthttp frames answers.

// AppendRequestLine appends method SP target SP HTTP/1.1 CRLF.
func AppendRequestLine(dst, method, target []byte) []byte {
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, target...)
	return append(dst, " HTTP/1.1\r\n"...)
}

// AppendFieldString is AppendField for constants.
func AppendFieldString(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
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

// ValidValue reports whether b may be written as a field value: no control byte but HTAB, and no
// whitespace at its ends (RFC 9110 §5.5).
func ValidValue(b []byte) bool {
	for i := 0; ; i++ {
		i = nextControl(b, i)
		if i == len(b) {
			break
		}
		if b[i] != '\t' {
			return false
		}
	}
	return len(b) == 0 || !isOWS(b[0]) && !isOWS(b[len(b)-1])
}
