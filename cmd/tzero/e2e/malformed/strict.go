package malformed

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Request is one request as the origin understood it.
type Request struct {
	Method, Target string
	Fields         []Header
	Body           string
	Complete       bool // the whole body arrived
}

// Reading is what the strict parser makes of all bytes of one connection.
type Reading struct {
	Requests []Request
	Dangers  []string // short words with an excerpt, at most one of a kind per request
	Broken   bool     // what follows cannot be delimited any more
	Hidden   bool     // and among it is a request that should never have come this far
}

// step is the result of reading one element.
type step int

const (
	done step = iota
	more      // the bytes end inside the element
	broken
)

// reader walks over raw; every method leaves pos behind what it has consumed.
type reader struct {
	raw []byte
	pos int
	out Reading
}

// Read parses all bytes received on a connection. It accepts one form only, the one that a gateway which rebuilds
// its requests would send; everything else is a danger.
func Read(raw []byte) Reading {
	r := &reader{raw: raw}
	for r.pos < len(raw) {
		var q Request
		s := r.request(&q)
		if q.Method != "" {
			q.Complete = s == done
			r.out.Requests = append(r.out.Requests, q)
		}
		if s == broken {
			r.out.Broken = true
			r.out.Hidden = bytes.Contains(raw[r.pos:], []byte(" /smuggled-"))
		}
		if s != done {
			break
		}
	}
	return r.out
}

func (r *reader) danger(word string, what []byte) {
	for _, d := range r.out.Dangers {
		if strings.HasPrefix(d, word) {
			return
		}
	}
	if len(what) > 24 {
		what = what[:24]
	}
	r.out.Dangers = append(r.out.Dangers, fmt.Sprintf("%s %q", word, what))
}

func (r *reader) request(q *Request) step {
	line, s := r.line("request line")
	if s != done {
		return s
	}
	parts := strings.Split(string(line), " ")
	if len(parts) != 3 || !token(parts[0]) || (parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0") {
		r.danger("request line", line)
		return broken
	}
	q.Method, q.Target = parts[0], parts[1]
	r.target(q)
	if s := r.fields(&q.Fields, "field"); s != done {
		return s
	}
	return r.body(q, r.judgeFields(q))
}

// target allows the origin-form and OPTIONS *; RFC 9112 §3.2.1 and §3.2.4.
func (r *reader) target(q *Request) {
	if !strings.HasPrefix(q.Target, "/") && (q.Target != "*" || q.Method != "OPTIONS") {
		r.danger("target form", []byte(q.Target))
	}
	for _, b := range []byte(q.Target) {
		if b <= ' ' || b >= 0x7f || strings.IndexByte("#\\", b) >= 0 {
			r.danger("target byte", []byte{b})
		}
	}
}

// line reads up to a CRLF. Inside a line no control byte but HTAB may stand.
func (r *reader) line(element string) ([]byte, step) {
	rest := r.raw[r.pos:]
	for i, b := range rest {
		switch {
		case b == '\r' && i+1 == len(rest):
			return nil, more
		case b == '\r' && rest[i+1] == '\n':
			r.pos += i + 2
			return rest[:i], done
		case b == '\n' || b == '\r':
			r.danger("bare "+strings.Trim(strconv.QuoteRune(rune(b)), "'")+" in "+element, rest[max(0, i-8):])
			return nil, broken
		case (b < ' ' && b != '\t') || b == 0x7f:
			r.danger("control byte in "+element, rest[max(0, i-8):])
		}
	}
	return nil, more
}

// fields reads a field section with the empty line that ends it; RFC 9112 §5.
func (r *reader) fields(out *[]Header, element string) step {
	for {
		line, s := r.line(element)
		if s != done || len(line) == 0 {
			return s
		}
		name, value, colon := strings.Cut(string(line), ":")
		switch {
		case line[0] == ' ' || line[0] == '\t':
			r.danger("folding", line)
		case !colon || !token(name):
			r.danger("field name", line)
		case strings.Contains(name, "_"):
			r.danger("underscore", line)
		}
		if strings.Contains(string(line), "evil") {
			r.danger("must be removed", line)
		}
		*out = append(*out, Header{name, strings.Trim(value, " \t")})
	}
}

// framing is how long a body is: a length, or -1 for chunked, or -2 when nobody can tell.
func (r *reader) judgeFields(q *Request) int64 {
	length, lengths, chunked, hosts := int64(0), 0, 0, 0
	for _, f := range q.Fields {
		switch strings.ToLower(f.Name) {
		case "content-length":
			lengths++
			n, err := strconv.ParseInt(f.Value, 10, 63)
			if err != nil || strconv.FormatInt(n, 10) != f.Value || n < 0 {
				r.danger("length", []byte(f.Value))
				length = -2
			} else {
				length = n
			}
		case "transfer-encoding":
			chunked++
			if f.Value != "chunked" {
				r.danger("transfer-encoding", []byte(f.Value))
				length = -2
			}
		case "host":
			hosts++
			if strings.ContainsAny(f.Value, " \t@/\\?#<>\"") || !balanced(f.Value) {
				r.danger("host", []byte(f.Value))
			}
		case "connection":
			for _, o := range strings.Split(strings.ToLower(f.Value), ",") {
				if o = strings.TrimSpace(o); o != "close" && o != "keep-alive" && o != "upgrade" {
					r.danger("connection option", []byte(f.Value))
				}
			}
		case "keep-alive", "proxy-connection", "te", "http2-settings":
			r.danger("hop-by-hop", []byte(f.Name))
		}
	}
	if hosts != 1 {
		r.danger("hosts", []byte(strconv.Itoa(hosts)))
	}
	if lengths+chunked > 1 {
		r.danger("two framings", []byte(fmt.Sprint(lengths, " lengths ", chunked, " codings")))
		return -2
	}
	if chunked == 1 && length == 0 {
		return -1
	}
	return length
}

func (r *reader) body(q *Request, length int64) step {
	switch {
	case length == -2:
		return broken
	case length == -1:
		return r.chunks(q)
	case int64(len(r.raw)-r.pos) < length:
		q.Body = string(r.raw[r.pos:])
		return more
	}
	q.Body = string(r.raw[r.pos : r.pos+int(length)])
	r.pos += int(length)
	return done
}

// chunks reads a chunked body in the plain form: no extensions, no leading zeros beyond what a size needs.
func (r *reader) chunks(q *Request) step {
	for {
		line, s := r.line("chunk line")
		if s != done {
			return s
		}
		size, ext, has := strings.Cut(string(line), ";")
		if has {
			r.danger("chunk extension", []byte(ext))
		}
		n, err := strconv.ParseUint(size, 16, 40)
		if err != nil || strings.ContainsAny(size, "+_") {
			r.danger("chunk size", line)
			return broken
		}
		if n == 0 {
			return r.trailers()
		}
		if uint64(len(r.raw)-r.pos) < n+2 {
			q.Body += string(r.raw[r.pos:min(len(r.raw), r.pos+int(n))])
			return more
		}
		q.Body += string(r.raw[r.pos : r.pos+int(n)])
		r.pos += int(n)
		if !bytes.HasPrefix(r.raw[r.pos:], []byte("\r\n")) {
			r.danger("chunk end", r.raw[r.pos:])
			return broken
		}
		r.pos += 2
	}
}

// trailers looks for fields that RFC 9110 §6.5.1 keeps out of a trailer section.
func (r *reader) trailers() step {
	var t []Header
	s := r.fields(&t, "trailer")
	for _, f := range t {
		switch strings.ToLower(f.Name) {
		case "content-length", "transfer-encoding", "host", "connection", "te", "trailer", "expect", "upgrade",
			"authorization", "cookie", "content-encoding", "content-type", "content-range", "range", "max-forwards",
			"cache-control", "keep-alive", "proxy-authorization", "proxy-connection":
			r.danger("trailer field", []byte(f.Name))
		}
	}
	return s
}

// balanced allows brackets around the whole of a host only; RFC 3986 §3.2.2.
func balanced(host string) bool {
	if !strings.ContainsAny(host, "[]") {
		return true
	}
	end := strings.IndexByte(host, ']')
	return host[0] == '[' && end > 0 && strings.Count(host, "[") == 1 && strings.Count(host, "]") == 1 &&
		(end == len(host)-1 || host[end+1] == ':')
}

// token is RFC 9110 §5.6.2.
func token(s string) bool {
	for _, b := range []byte(s) {
		alnum := b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", b) < 0 {
			return false
		}
	}
	return s != ""
}
