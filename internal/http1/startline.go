package http1

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
)

// maxMethod bounds a method; the longest registered one (UPDATEREDIRECTREF) has 17 characters.
const maxMethod = 32

// requestLine reads method SP request-target SP HTTP-version (RFC 9112 §3); line is without its CRLF. No
// whitespace but the two single SPs is accepted, though §3 would permit leniency: parties that split such
// a line differently are what smuggling needs.
func requestLine(line []byte, q *Request) *Malformed {
	i := endOfToken(line)
	if bad := badMethod(line, i); bad != nil {
		return bad
	}
	if i == len(line) {
		return malformed(BadRequestLine, "no target")
	}
	q.Method = line[:i:i]
	if bad := badControl(line, i, false); bad != nil {
		return bad
	}
	from := i + 1
	n := bytes.IndexByte(line[from:], ' ')
	switch {
	case n < 0:
		return malformed(BadRequestLine, "no version")
	case n == 0:
		return malformed(BadRequestLine, "two spaces after the method, or no target")
	}
	i = from + n
	q.Target = line[from:i:i]
	minor, bad := version(line[i+1:])
	if bad != nil {
		return bad
	}
	q.Minor = minor
	return target(q)
}

// badMethod judges the first n bytes of a request line, all of them tokens, and the byte after them.
func badMethod(line []byte, n int) *Malformed {
	switch {
	case n > maxMethod:
		return malformed(MethodTooLong, "more than 32 characters")
	case n < len(line) && line[n] == '\r':
		return malformedAt(BadLineEnd, "method", '\r', n)
	case n < len(line) && line[n] != ' ':
		return malformedAt(BadMethod, "method", line[n], n)
	case n == 0:
		return malformed(BadRequestLine, "no method")
	}
	return nil
}

// badControl refuses a control byte in line at or after i; tabs are let pass where a reason phrase may have
// them.
func badControl(line []byte, i int, tabs bool) *Malformed {
	for {
		if i = nextControl(line, i); i == len(line) {
			return nil
		}
		if line[i] != '\t' || !tabs {
			return malformedAt(controlReason(line[i]), "first line", line[i], i)
		}
		i++
	}
}

// controlReason tells a stray line end from other control bytes.
func controlReason(c byte) string {
	if c == '\r' || c == '\n' {
		return BadLineEnd
	}
	return ControlByte
}

// version reads "HTTP/1.0" or "HTTP/1.1" (RFC 9112 §2.3; the name is case-sensitive). Other well-formed
// versions, HTTP/1.2 included, are refused: §15.6.6 of RFC 9110 lets a server do so, and nothing
// legitimate sends them.
func version(b []byte) (minor int, bad *Malformed) {
	if len(b) != len("HTTP/1.1") || string(b[:5]) != "HTTP/" || class[b[5]]&isDigit == 0 || b[6] != '.' || class[b[7]]&isDigit == 0 {
		if bytes.IndexByte(b, ' ') >= 0 {
			return 0, malformed(BadRequestLine, "more than two spaces")
		}
		return 0, malformed(BadVersion, "not HTTP/ digit . digit")
	}
	if b[5] != '1' || b[7] > '1' {
		return 0, malformed(UnsupportedVersion, string(b))
	}
	return int(b[7] - '0'), nil
}

// target finds the form of q.Target (RFC 9112 §3.2) and its parts.
func target(q *Request) *Malformed {
	t := q.Target
	connect := string(q.Method) == "CONNECT"
	switch {
	case connect:
		q.Form = AuthorityForm
		host, port, hasPort := splitHost(t)
		if !hasPort || !validHostname(host) || !validPort(port) { // RFC 9110 §9.3.6: the port is mandatory
			return malformed(BadTargetForm, "CONNECT wants host:port")
		}
		q.Host = t
		return nil
	case t[0] == '/':
		q.Form = OriginForm
		return pathAndQuery(q, t)
	case len(t) == 1 && t[0] == '*':
		if string(q.Method) != "OPTIONS" {
			return malformed(BadTargetForm, "* is for OPTIONS only")
		}
		q.Form, q.Path = AsteriskForm, t
		return nil
	}
	return absolute(q, t)
}

// absolute reads scheme "://" authority path-abempty [ "?" query ], for http and https (RFC 9110 §4.2).
func absolute(q *Request, t []byte) *Malformed {
	colon := bytes.IndexByte(t, ':')
	if colon < 0 || !field.EqualFold(t[:colon], "http") && !field.EqualFold(t[:colon], "https") ||
		len(t) < colon+3 || t[colon+1] != '/' || t[colon+2] != '/' {
		return malformed(BadTargetForm, "neither /path nor http://host/path nor https://host/path")
	}
	q.Form, q.Scheme = AbsoluteForm, t[:colon:colon]
	rest := t[colon+3:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	// User information is an "@" and no host: RFC 9110 §4.2.4 wants it treated as an error.
	if q.Host = rest[:end:end]; !ValidHost(q.Host) {
		return malformed(BadHost, "the target's authority "+hostExcerpt(q.Host))
	}
	if rest = rest[end:]; len(rest) > 0 && rest[0] != '?' {
		return pathAndQuery(q, rest)
	}
	if len(rest) == 0 && string(q.Method) == "OPTIONS" { // RFC 9112 §3.2.4
		q.Form, q.Path = AsteriskForm, []byte("*")
		return nil
	}
	bad := pathAndQuery(q, rest)
	q.Path = t[colon+1 : colon+2 : colon+2] // an empty path means "/" (RFC 9110 §4.2.3): one that is at hand
	return bad
}

// pathAndQuery splits t at its first "?" and checks both parts' bytes (RFC 3986 §3.3, §3.4; class says
// what is accepted beyond it, and why).
func pathAndQuery(q *Request, t []byte) *Malformed {
	i := 0
	for ; i < len(t); i++ {
		if class[t[i]]&isPath != 0 {
			continue
		}
		if t[i] != '%' {
			break
		}
		// RFC 3986 §2.1; "%00" is refused as its §7.3 advises.
		if i+2 >= len(t) || class[t[i+1]]&isHex == 0 || class[t[i+2]]&isHex == 0 || t[i+1] == '0' && t[i+2] == '0' {
			return malformed(BadTarget, "escape at path offset "+excerpt(t[i:min(i+3, len(t))]))
		}
		i += 2
	}
	q.Path = t[:i:i]
	if i == len(t) {
		return nil
	}
	if t[i] != '?' {
		return malformedAt(BadTarget, "path", t[i], i)
	}
	from := i + 1
	for i = from; i < len(t); i++ {
		if class[t[i]]&isQuery == 0 {
			return malformedAt(BadTarget, "query", t[i], i-from)
		}
	}
	q.Query, q.HasQuery = t[from:], true
	return nil
}

// statusLine reads HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 §4); line is without its
// CRLF. The one leniency: the SP before an absent reason may be missing, as many servers send it.
func statusLine(line []byte, p *Response) *Malformed {
	if bad := badControl(line, 0, true); bad != nil {
		return bad
	}
	if len(line) < len("HTTP/1.1 200") || line[8] != ' ' {
		return malformed(BadStatusLine, excerpt(line))
	}
	minor, bad := version(line[:8])
	if bad != nil {
		return bad
	}
	code, ok := parseDigits(line[9:12])
	if !ok || code < 100 || code > 599 { // RFC 9110 §15: treated as a 5xx, which the answer will be
		return malformed(BadStatusLine, "status "+excerpt(line[9:12]))
	}
	p.Minor, p.Status = minor, int(code)
	if len(line) == 12 {
		return nil
	}
	if line[12] != ' ' {
		return malformed(BadStatusLine, "no space after the status")
	}
	p.Reason = line[13:len(line):len(line)]
	return nil
}
