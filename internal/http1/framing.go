package http1

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
)

// noted gathers, line by line, what decides about a message's framing and its connection.
type noted struct {
	host      []byte
	te        []byte // the first line's value
	expect    []byte
	upgrade   []byte
	length    int64
	hosts     int
	lengths   int
	encodings int
	expects   int
	upgrades  int

	closes, keeps, upgrading bool // Connection: close, keep-alive, upgrade
	request                  bool
}

// line notes one field line; what is certain to be an offence is refused at once. Only names of a length
// that matters are compared.
func (t *noted) line(name, value []byte) *Malformed {
	switch len(name) {
	case len("Host"):
		if field.EqualFold(name, "Host") {
			t.host = value
			if t.hosts++; t.hosts > 1 && t.request {
				return malformed(RepeatedHost, "")
			}
		}
	case len("Expect"):
		if field.EqualFold(name, "Expect") {
			t.expect = value
			t.expects++
		}
	case len("Upgrade"):
		if field.EqualFold(name, "Upgrade") {
			t.upgrade = value
			t.upgrades++
		}
	case len("Connection"):
		if field.EqualFold(name, "Connection") {
			return t.connection(value)
		}
	case len("Content-Length"):
		if field.EqualFold(name, "Content-Length") {
			return t.contentLength(value)
		}
	case len("Transfer-Encoding"):
		if field.EqualFold(name, "Transfer-Encoding") {
			if t.encodings == 0 {
				t.te = value
			}
			t.encodings++
		}
	}
	return nil
}

// connection reads #connection-option (RFC 9110 §7.6.1). An option that is no token could hide "close"
// from one party and show it to the next, so it is refused.
func (t *noted) connection(v []byte) *Malformed {
	for len(v) > 0 {
		option := v
		if i := bytes.IndexByte(v, ','); i >= 0 {
			option, v = v[:i], v[i+1:]
		} else {
			v = nil
		}
		option = field.TrimOWS(option)
		switch {
		case len(option) == 0: // an empty list member: RFC 9110 §5.6.1.2
		case !IsToken(option):
			return malformed(BadConnection, "option "+excerpt(option))
		case field.EqualFold(option, "close"):
			t.closes = true
		case field.EqualFold(option, "keep-alive"):
			t.keeps = true
		case field.EqualFold(option, "upgrade"):
			t.upgrading = true
		}
	}
	return nil
}

// contentLength takes exactly one line of digits. RFC 9112 §6.3 would permit to fold equal repeated values
// into one; refusing them as well leaves no question which line the next party believes.
func (t *noted) contentLength(v []byte) *Malformed {
	if t.lengths++; t.lengths > 1 {
		return malformed(RepeatedContentLength, "")
	}
	n, ok := parseDigits(v)
	if !ok {
		return malformed(BadContentLength, excerpt(v))
	}
	t.length = n
	return nil
}

// judgeRequest completes q from its fields (RFC 9112 §3.2, §6, §9.3; RFC 9110 §7.8, §10.1.1).
func judgeRequest(q *Request, t *noted) *Malformed {
	if bad := judgeHost(q, t); bad != nil {
		return bad
	}
	framing, length, bad := t.framing(q.Minor, q.Fields)
	if bad != nil {
		return bad
	}
	if q.Form == AuthorityForm && framing != NoBody {
		return malformed(ContentOnConnect, "")
	}
	q.Framing, q.Length = framing, length
	q.Close = t.ends(q.Minor)
	if t.expects > 0 {
		if t.expects > 1 || !field.EqualFold(t.expect, "100-continue") {
			return malformed(UnknownExpectation, excerpt(t.expect))
		}
		q.Expect100 = q.Minor == 1 && length != 0
	}
	if t.upgrading && t.upgrades == 1 && q.Minor == 1 && validUpgrade(t.upgrade) {
		q.Upgrade = t.upgrade
	}
	return nil
}

// judgeHost: HTTP/1.1 needs a Host, nobody may send two, and its value must name a host even when an
// absolute-form target overrules it (RFC 9112 §3.2, §3.2.2). A Host that differs from the target's
// authority is ignored, as §3.2.2 demands: what is forwarded is rebuilt from the authority alone.
func judgeHost(q *Request, t *noted) *Malformed {
	switch {
	case t.hosts == 0 && q.Minor > 0:
		return malformed(MissingHost, "")
	case t.hosts == 1 && !ValidHost(t.host):
		return malformed(BadHost, hostExcerpt(t.host))
	case q.Host == nil:
		q.Host = t.host
	}
	return nil
}

// framing finds how the body ends, for a message whose kind does not exclude one (RFC 9112 §6.3). Length
// is -1 when chunked; without any framing field it is NoBody, which a response reads as UntilClose.
func (t *noted) framing(minor int, fields field.List) (Framing, int64, *Malformed) {
	switch {
	case t.encodings == 0 && t.lengths == 0:
		return NoBody, 0, nil
	case t.encodings == 0:
		return Length, t.length, nil
	case t.lengths > 0:
		return 0, 0, malformed(LengthAndEncoding, "")
	case minor == 0:
		return 0, 0, malformed(EncodingInHTTP10, "")
	case t.encodings > 1 || !field.EqualFold(t.te, "chunked"):
		return 0, 0, badEncoding(fields)
	}
	return Chunked, -1, nil
}

// badEncoding tells what is wrong with transfer codings that are not a single "chunked": 501 for others
// that properly end with it (RFC 9112 §6.1), 400 for everything else (§6.3).
func badEncoding(fields field.List) *Malformed {
	members, chunked, last := 0, 0, false
	for line := range fields.All("Transfer-Encoding") {
		for m := range bytes.SplitSeq(line, []byte(",")) {
			m = field.TrimOWS(m)
			if !IsToken(m) { // also empty members, and parameters, which chunked does not have (§7.1)
				return malformed(BadTransferEncoding, excerpt(line))
			}
			members++
			if last = field.EqualFold(m, "chunked"); last {
				chunked++
			}
		}
	}
	if last && chunked == 1 && members > 1 {
		return malformed(UnknownCoding, "")
	}
	return malformed(BadTransferEncoding, "not the one coding chunked")
}

// ends reports whether the connection ends with this message (RFC 9112 §9.3).
func (t *noted) ends(minor int) bool {
	return t.closes || minor == 0 && !t.keeps
}

// judgeResponse completes p from its fields (RFC 9112 §6.3). For the answers that never have a body the
// framing fields are still checked where they are legitimate (HEAD, 304), and where they are forbidden
// (1xx, 204: RFC 9110 §8.6, RFC 9112 §6.1) they cost the connection its reuse, since nobody knows what the
// origin will send next.
func judgeResponse(p *Response, t *noted, method []byte) *Malformed {
	p.Close = t.ends(p.Minor)
	bodiless := p.Status < 200 || p.Status == 204
	if bodiless || p.Status < 300 && string(method) == "CONNECT" {
		if t.encodings > 0 || t.length > 0 {
			p.Close = true
		}
		return nil
	}
	framing, length, bad := t.framing(p.Minor, p.Fields)
	if bad != nil {
		return bad
	}
	switch {
	case p.Status == 304 || string(method) == "HEAD":
	case framing == NoBody:
		p.Framing, p.Length, p.Close = UntilClose, -1, true
	default:
		p.Framing, p.Length = framing, length
	}
	return nil
}

// validUpgrade reports whether v is a list of protocol names with optional versions (RFC 9110 §7.8).
func validUpgrade(v []byte) bool {
	n := 0
	for m := range bytes.SplitSeq(v, []byte(",")) {
		name, version, versioned := bytes.Cut(field.TrimOWS(m), []byte("/"))
		if !IsToken(name) || versioned && !IsToken(version) {
			return false
		}
		n++
	}
	return n > 0
}
