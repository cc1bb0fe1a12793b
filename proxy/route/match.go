package route

import (
	"github.com/tzero-edge/tzero/internal/field"
)

// query is one request being matched, and what the search has learnt about why nothing matches.
type query struct {
	scheme string
	host   []byte // normalised
	method []byte
	bit    uint16
	fields field.List

	hostKnown   bool // some rule takes the host, under whatever scheme
	wrongMethod bool // some rule would take the request but for its method
	allowed     *methodSet
}

// Match returns the route that takes the request, or why none does. host is the authority as received,
// with or without port; path is raw, "" standing for "/" (RFC 9110 §4.2.3).
func (t *Table) Match(scheme string, host, path, method []byte, fields field.List) (*Route, MissReason) {
	var hostBuf [maxHost + 1]byte
	q := query{scheme: scheme, host: normalHost(&hostBuf, host), method: method, bit: methodBit(method), fields: fields}
	if len(path) == 0 {
		path = []byte("/")
	}
	if t.choice {
		if plain, doubtful := spelling(path); !plain || doubtful {
			return t.matchReadings(&q, path, plain, doubtful)
		}
	}
	r := t.find(&q, path)
	return r, q.reason(r)
}

// maxDoubtful bounds the length of a path that can be read in several ways: each reading is a pass over
// it, which nobody may buy at eight kilobytes a time. Real ones carry an escaped URL at most.
const maxDoubtful = 2048

// matchReadings handles paths that can be read in several ways. They are rare; the buffers live on the
// stack.
func (t *Table) matchReadings(q *query, path []byte, plain, doubtful bool) (*Route, MissReason) {
	var canonBuf, readBuf [maxDoubtful]byte
	canon := path
	if !plain {
		canon = canonical.append(canonBuf[:0], path)
		doubtful = doubtful || hasDotSegment(canon)
	}
	r := t.find(q, canon)
	if r == nil || !doubtful {
		return r, q.reason(r)
	}
	if len(path) > maxDoubtful {
		return nil, AmbiguousPath
	}
	for i := range readings {
		if t.find(q, readings[i].append(readBuf[:0], path)) != r {
			return nil, AmbiguousPath
		}
	}
	return r, Matched
}

// OtherReading explains an [AmbiguousPath], for messages to operators: the route of the path as it is
// written, a reading of it that some origin may prefer, and that reading's route (nil for none).
func (t *Table) OtherReading(scheme string, host, path, method []byte, fields field.List) (written *Route, reading string, other *Route) {
	var hostBuf [maxHost + 1]byte
	q := query{scheme: scheme, host: normalHost(&hostBuf, host), method: method, bit: methodBit(method), fields: fields}
	written = t.find(&q, canonical.append(nil, path))
	for i := range readings {
		read := readings[i].append(nil, path)
		if r := t.find(&q, read); r != written {
			return written, string(read), r
		}
	}
	return written, string(path), written
}

// reason explains the outcome of a search.
func (q *query) reason(r *Route) MissReason {
	switch {
	case r != nil:
		return Matched
	case !q.hostKnown:
		return UnknownHost
	case q.wrongMethod:
		return WrongMethod
	}
	return NoRoute
}

// find returns the first rule in order that takes the request.
func (t *Table) find(q *query, path []byte) *Route {
	if bound := t.schemes[q.scheme]; bound != nil {
		if r := bound.find(q, path); r != nil {
			return r
		}
	}
	if r := t.any.find(q, path); r != nil {
		return r
	}
	if !q.hostKnown {
		for scheme, ht := range t.schemes {
			q.hostKnown = q.hostKnown || scheme != q.scheme && ht.knows(q.host)
		}
	}
	return nil
}

func (ht *hostTable) find(q *query, path []byte) *Route {
	if pt := ht.exact[string(q.host)]; pt != nil {
		if r := pt.find(q, path); r != nil {
			return r
		}
	}
	if len(ht.wild) > 0 {
		for i, c := range q.host {
			if c != '.' || i == 0 {
				continue
			}
			if pt := ht.wild[string(q.host[i:])]; pt != nil {
				if r := pt.find(q, path); r != nil {
					return r
				}
			}
		}
	}
	return ht.any.find(q, path)
}

// knows reports whether some rule takes the host.
func (ht *hostTable) knows(host []byte) bool {
	if !ht.any.empty() || ht.exact[string(host)] != nil {
		return true
	}
	for i, c := range host {
		if c == '.' && i > 0 && ht.wild[string(host[i:])] != nil {
			return true
		}
	}
	return false
}

func (pt *pathTable) empty() bool {
	return len(pt.exact) == 0 && len(pt.prefixes) == 0 && len(pt.any) == 0
}

func (pt *pathTable) find(q *query, path []byte) *Route {
	if pt.empty() {
		return nil
	}
	q.hostKnown = true
	for _, r := range pt.exact[string(path)] {
		if r.takes(q) {
			return r.route
		}
	}
	if r := pt.findPrefix(q, path); r != nil {
		return r
	}
	for _, r := range pt.any {
		if r.takes(q) {
			return r.route
		}
	}
	return nil
}

// findPrefix looks among the patterns. In the sorted list every prefix of path stands at or before
// path's own place, and whatever stands between begins with it too; so all of them are on the chain of
// parents of the last prefix that is not greater than path, the longest first.
func (pt *pathTable) findPrefix(q *query, path []byte) *Route {
	lo, hi := 0, len(pt.prefixes)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if pt.prefixes[mid].lit <= string(path) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for i := lo - 1; i >= 0; i = pt.prefixes[i].parent {
		p := &pt.prefixes[i]
		if !hasPrefix(path, p.lit) {
			continue
		}
		for _, r := range p.rules {
			if r.path.match(path) && r.takes(q) {
				return r.route
			}
		}
	}
	return nil
}

// takes checks what is left when scheme, host and path suit.
func (r *rule) takes(q *query) bool {
	for i := range r.conds {
		if !r.conds[i].holds(q.fields) {
			return false
		}
	}
	if r.methods.takes(q.bit, q.method) {
		return true
	}
	q.wrongMethod = true
	if q.allowed != nil {
		q.allowed.bits |= r.methods.bits
		q.allowed.other = append(q.allowed.other, r.methods.other...)
	}
	return false
}

// AppendAllow appends the value of Allow (RFC 9110 §10.2.1) for a request that [Table.Match] refused
// with [WrongMethod]: the methods that have a route there.
func (t *Table) AppendAllow(dst []byte, scheme string, host, path []byte, fields field.List) []byte {
	var hostBuf [maxHost + 1]byte
	var allowed methodSet
	q := query{scheme: scheme, host: normalHost(&hostBuf, host), fields: fields, allowed: &allowed}
	if len(path) == 0 {
		path = []byte("/")
	}
	t.find(&q, canonical.append(nil, path))
	for i, m := range allowed.unique() {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, m...)
	}
	return dst
}
