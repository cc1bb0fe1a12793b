//go:build linux

package load

import (
	"bytes"
	"strconv"
)

// response follows one answer as its bytes arrive. It knows just enough of HTTP to find the end of answers
// that carry a Content-Length, which all of the bench's do.
type response struct {
	head   []byte // the beginning of a head that came in pieces
	status int
	length int64
	left   int64 // of the content
	inBody bool
}

// maxHead is the longest head of an answer, in bytes.
const maxHead = 64 << 10

func (r *response) reset() { r.head, r.inBody = r.head[:0], false }

// feed takes bytes; done when the answer is complete. What is wrong with it is returned as a word.
func (r *response) feed(p []byte) (done bool, fault string) {
	if !r.inBody {
		rest, fault := r.readHead(p)
		if fault != "" || !r.inBody {
			return false, fault
		}
		p = rest
	}
	r.left -= int64(len(p))
	if r.left < 0 {
		return false, "surplus"
	}
	return r.left == 0, ""
}

// readHead returns what of p comes behind the head. A head in pieces is kept and read again from its beginning.
func (r *response) readHead(p []byte) (rest []byte, fault string) {
	head := p
	if len(r.head) > 0 {
		r.head = append(r.head, p...)
		head = r.head
	}
	size, fault := r.parse(head)
	switch {
	case fault != "":
		return nil, fault
	case size > 0:
		r.inBody, r.left = true, r.length
		return head[size:], ""
	case len(head) > maxHead:
		return nil, "long-head"
	case len(r.head) == 0:
		r.head = append(r.head, p...)
	}
	return nil, ""
}

// parse goes through the lines of a head once and returns its size, the blank line included; 0: its end is missing.
func (r *response) parse(p []byte) (size int, fault string) {
	at := bytes.IndexByte(p, '\n') + 1
	if at == 0 {
		return 0, ""
	}
	if r.status = statusOf(p[:at]); r.status < 0 {
		return 0, "not-http"
	}
	r.length = -1
	for {
		n := bytes.IndexByte(p[at:], '\n') + 1
		if n == 0 {
			return 0, ""
		}
		line := p[at : at+n]
		at += n
		if len(line) == 2 && line[0] == '\r' {
			break
		}
		if line[0]|0x20 == 'c' && len(line) > len(lengthName) && bytes.EqualFold(line[:len(lengthName)], []byte(lengthName)) {
			if r.length = numberOf(bytes.TrimSpace(line[len(lengthName):])); r.length < 0 {
				return 0, "not-http"
			}
		}
	}
	switch {
	case r.status == 304 || r.status == 204:
		r.length = 0
	case r.length < 0:
		return 0, "no-content-length"
	}
	return at, ""
}

const lengthName = "content-length:"

// statusOf returns the status in a status line, -1 if it is none.
func statusOf(line []byte) int {
	if len(line) < len("HTTP/1.1 200\r\n") || string(line[:9]) != "HTTP/1.1 " {
		return -1
	}
	return int(numberOf(line[9:12]))
}

// numberOf reads up to 18 decimal digits; -1 for anything else.
func numberOf(p []byte) int64 {
	if len(p) == 0 || len(p) > 18 {
		return -1
	}
	n := int64(0)
	for _, d := range p {
		if d < '0' || d > '9' {
			return -1
		}
		n = 10*n + int64(d-'0')
	}
	return n
}

// judge compares a complete answer with what was expected.
func (r *response) judge(q *Request) (fault string) {
	if r.status != q.Status {
		return "status-" + strconv.Itoa(r.status)
	}
	if q.Length >= 0 && r.length != q.Length {
		return "length-" + strconv.FormatInt(r.length, 10)
	}
	return ""
}
