package encode

import "github.com/tzero-edge/tzero/internal/field"

// weights holds the quality of each coding in thousandths; -1 where the client did not say.
type weights struct {
	q    [numCodings]int
	rest int // of "*"
}

// Negotiate chooses the coding for a client by its Accept-Encoding lines (RFC 9110 §12.5.3): the
// highest quality wins, ties go by our preference, and identity wins only where the client ranks it
// higher than every coding offered. No Accept-Encoding at all means that the client did not ask, and
// nothing is coded. Where the client refuses everything, identity included, it gets identity: the RFC
// leaves the choice between that and 406, and a page is worth more than an error.
func (e *Encoder) Negotiate(in field.List) Coding {
	if !e.enabled {
		return Identity
	}
	var w weights
	if !w.read(in) {
		return Identity
	}
	best, bestQ := Identity, 0
	for _, c := range e.codings {
		if q := w.of(c); q > bestQ {
			best, bestQ = c, q
		}
	}
	if w.q[Identity] > bestQ {
		return Identity
	}
	return best
}

// NormaliseAcceptEncoding returns the codings offered here that the client accepts, in our order: what
// requests are keyed by and what is forwarded, so that the many spellings of browsers meet in a few. At
// most eight values exist. Empty: none.
func (e *Encoder) NormaliseAcceptEncoding(in field.List) string {
	var w weights
	if !w.read(in) {
		return ""
	}
	set := 0
	for _, c := range e.codings {
		if w.of(c) > 0 {
			set |= 1 << c
		}
	}
	return e.canonical[set]
}

// of returns the quality of a coding; 0 means not acceptable.
func (w *weights) of(c Coding) int {
	switch {
	case w.q[c] >= 0:
		return w.q[c]
	case w.rest >= 0:
		return w.rest
	}
	return 0
}

// read parses all Accept-Encoding lines and reports whether there are any. A member that is malformed
// counts as absent. Of several members for one coding the first counts.
func (w *weights) read(in field.List) bool {
	*w = weights{rest: -1}
	for i := range w.q {
		w.q[i] = -1
	}
	found := false
	for i := range in {
		if !field.EqualFold(in[i].Name, "accept-encoding") {
			continue
		}
		found = true
		for rest := in[i].Value; len(rest) > 0; {
			member := rest
			if at := indexByte(rest, ','); at >= 0 {
				member, rest = rest[:at], rest[at+1:]
			} else {
				rest = nil
			}
			w.member(member)
		}
	}
	return found
}

// member takes one `coding [ ;q=… ]`.
func (w *weights) member(m []byte) {
	name, q := m, 1000
	if at := indexByte(m, ';'); at >= 0 {
		name = m[:at]
		if q = parseWeight(field.TrimOWS(m[at+1:])); q < 0 {
			return
		}
	}
	name = field.TrimOWS(name)
	if len(name) == 1 && name[0] == '*' {
		if w.rest < 0 {
			w.rest = q
		}
		return
	}
	c := parseCoding(name)
	if c == Identity && !field.EqualFold(name, "identity") {
		return
	}
	if w.q[c] < 0 {
		w.q[c] = q
	}
}

// parseWeight parses `q=0.5` into thousandths, or returns -1 (RFC 9110 §12.4.2: one digit 0 or 1, and
// up to three decimals, which must be 0 behind a 1).
func parseWeight(b []byte) int {
	if len(b) < 3 || b[0] != 'q' && b[0] != 'Q' || b[1] != '=' {
		return -1
	}
	b = b[2:]
	if b[0] != '0' && b[0] != '1' || len(b) > 5 || len(b) > 1 && b[1] != '.' {
		return -1
	}
	n, scale := int(b[0]-'0')*1000, 100
	if len(b) == 1 {
		return n
	}
	for _, c := range b[2:] {
		if c < '0' || c > '9' {
			return -1
		}
		n += int(c-'0') * scale
		scale /= 10
	}
	if n > 1000 {
		return -1
	}
	return n
}

func indexByte(b []byte, c byte) int {
	for i := range b {
		if b[i] == c {
			return i
		}
	}
	return -1
}
