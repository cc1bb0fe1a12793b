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

func (r *response) reset() { *r = response{head: r.head[:0]} }

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

// readHead returns what of p comes behind the head.
func (r *response) readHead(p []byte) (rest []byte, fault string) {
	head := p
	if len(r.head) > 0 {
		r.head = append(r.head, p...)
		head = r.head
	}
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(r.head) == 0 {
			r.head = append(r.head, p...)
		}
		return nil, ""
	}
	if fault := r.parse(head[:end+2]); fault != "" {
		return nil, fault
	}
	r.inBody, r.left = true, r.length
	return head[end+4:], ""
}

func (r *response) parse(head []byte) (fault string) {
	if len(head) < 14 || string(head[:9]) != "HTTP/1.1 " {
		return "not-http"
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return "not-http"
	}
	r.status, r.length = status, -1
	for at := bytes.IndexByte(head, '\n') + 1; at < len(head); {
		n := bytes.IndexByte(head[at:], '\n')
		line := head[at : at+n-1]
		at += n + 1
		if len(line) > 15 && (line[0]|0x20) == 'c' && bytes.EqualFold(line[:15], []byte("content-length:")) {
			if r.length, err = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64); err != nil {
				return "not-http"
			}
		}
	}
	switch {
	case status == 304 || status == 204:
		r.length = 0
	case r.length < 0:
		return "no-content-length"
	}
	return ""
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
