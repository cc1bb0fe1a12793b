package headers

import (
	"encoding/hex"

	"github.com/tzero-edge/tzero/internal/field"
)

// validRequestID admits what can stand in logs, URLs and shells without harm: up to 128 letters,
// digits and - . _ ~ : = + / @.
func validRequestID(v []byte) bool {
	for _, c := range v {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == ':', c == '=', c == '+', c == '/', c == '@':
		default:
			return false
		}
	}
	return len(v) > 0 && len(v) <= 128
}

// traceparentLen is the length of version 00: two, 32, 16 and two digits with dashes between.
const traceparentLen = 55

// ValidTraceparent checks a traceparent value (W3C Trace Context §3.2): version 00 exactly; a higher
// version may go on after the part known, behind a dash; ff is invalid, and so are ids of zeros.
func ValidTraceparent(v []byte) bool {
	if len(v) < traceparentLen || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return false
	}
	for _, part := range [][2]int{{0, 2}, {3, 35}, {36, 52}, {53, 55}} {
		for _, c := range v[part[0]:part[1]] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
				return false
			}
		}
	}
	if v[0] == 'f' && v[1] == 'f' || zeros(v[3:35]) || zeros(v[36:52]) {
		return false
	}
	if len(v) > traceparentLen {
		return (v[0] != '0' || v[1] != '0') && v[traceparentLen] == '-'
	}
	return true
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}

// AppendTraceparent appends a new traceparent of version 00 made from 24 random bytes.
func AppendTraceparent(dst []byte, random *[24]byte, sampled bool) []byte {
	ids := *random
	ids[0] |= 1 // all-zero ids are invalid
	ids[16] |= 1
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, ids[:16])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, ids[16:])
	if sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// loops counts in one CDN-Loop line how often the request has been through a gateway with our loop id (RFC 8586).
func (p *Policy) loops(rest []byte) (n int) {
	for len(rest) > 0 {
		at := lastComma(rest, true)
		if field.EqualFold(cdnID(rest[at+1:]), p.loopID) {
			n++
		}
		rest = rest[:max(at, 0)]
	}
	return n
}

// Looping reports whether a request that has been here so often must be refused: 508, reason "loop".
func (p *Policy) Looping(times int) bool { return times >= p.maxLoops }

// cdnID returns the id of a cdn-info: what stands before its parameters.
func cdnID(member []byte) []byte {
	if at := indexByte(member, ';'); at >= 0 {
		member = member[:at]
	}
	return field.TrimOWS(member)
}
