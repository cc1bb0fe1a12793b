package http1

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
)

func (r *Reader) scanRequest(q *Request) (done bool, bad *Malformed) {
	if !r.at.fields {
		line, bad := r.startLine()
		if line == nil {
			return false, bad
		}
		if bad := requestLine(line, q); bad != nil {
			return false, bad
		}
		r.at.section = r.at.line
		if r.recall(q) {
			return true, judgeRequest(q, &r.note)
		}
	}
	if done, bad = r.fieldLines(&q.Fields); !done {
		return false, bad
	}
	r.remember(q, r.at.section)
	return true, judgeRequest(q, &r.note)
}

func (r *Reader) scanResponse(p *Response, method []byte) (done bool, bad *Malformed) {
	if !r.at.fields {
		line, bad := r.startLine()
		if line == nil {
			return false, bad
		}
		if bad := statusLine(line, p); bad != nil {
			return false, bad
		}
	}
	if done, bad = r.fieldLines(&p.Fields); !done {
		return false, bad
	}
	return true, judgeResponse(p, &r.note, method)
}

// startLine returns the first line without its CRLF, or nil while it is not whole.
func (r *Reader) startLine() ([]byte, *Malformed) {
	at := &r.at
	for {
		line := r.cur[at.line:r.w]
		lf := bytes.IndexByte(line[at.seen-at.line:], '\n')
		if lf < 0 {
			bad := r.partialStart(line, at.seen-at.line)
			at.seen = r.w
			return nil, bad
		}
		lf += at.seen - at.line
		if bare := lf == 0 || line[lf-1] != '\r'; bare || lf > r.lim.StartLine+1 {
			bad := r.partialStart(line[:lf], at.seen-at.line)
			if bad == nil {
				bad = malformed(BadLineEnd, "first line")
			}
			return nil, bad
		}
		at.line += lf + 1
		at.seen = at.line
		if lf > 1 {
			at.fields = true
			return line[:lf-1], nil
		}
		// RFC 9112 §2.2: a server should ignore at least one empty line before a request. One it is.
		if r.response || at.empty {
			return nil, malformed(r.badStart(), "empty line")
		}
		at.empty = true
	}
}

// partialStart refuses a first line that cannot become good: binary (a TLS handshake on a plain port), too
// long, or without the end of a method where one must be. The first seen bytes were judged before.
func (r *Reader) partialStart(line []byte, seen int) *Malformed {
	if !r.response && seen <= maxMethod {
		n := endOfToken(line)
		if n > maxMethod || n < len(line) && (line[n] != '\r' || n+1 < len(line)) {
			if bad := badMethod(line, n); bad != nil {
				return bad
			}
		}
	}
	judged := line[:min(len(line), r.lim.StartLine)]
	if n := len(judged); n == len(line) && n > 0 && line[n-1] == '\r' {
		judged = line[:n-1] // its LF may follow
	}
	if bad := badControl(judged, min(max(0, seen-1), len(judged)), r.response); bad != nil {
		return bad
	}
	if len(line) > r.lim.StartLine+1 { // one more may be the CR
		return malformed(r.longStart(line), "")
	}
	return nil
}

func (r *Reader) badStart() string {
	if r.response {
		return BadStatusLine
	}
	return BadRequestLine
}

func (r *Reader) longStart(line []byte) string {
	switch {
	case r.response:
		return BadStatusLine
	case bytes.IndexByte(line[:min(len(line), maxMethod+1)], ' ') < 0:
		return MethodTooLong
	}
	return TargetTooLong
}

// fieldLines parses the lines that have arrived; done tells that the empty line was among them, and then
// the head is consumed.
func (r *Reader) fieldLines(fields *field.List) (done bool, bad *Malformed) {
	at := &r.at
	for at.line < r.w {
		b := r.cur[at.line:r.w]
		switch b[0] {
		case '\r':
			if len(b) == 1 {
				return r.partialField(b)
			}
			if b[1] != '\n' {
				return false, malformed(BadLineEnd, "CR at the beginning of a line")
			}
			if at.line+2-r.r > r.lim.Head {
				return false, malformed(HeadTooLarge, "")
			}
			r.r = at.line + 2
			return true, nil
		case ' ', '\t':
			return false, malformed(FoldedLine, "")
		}
		// A line of which a part has been seen is looked at again when its end has come.
		if at.seen > at.line && bytes.IndexByte(r.cur[at.seen:r.w], '\n') < 0 {
			return r.partialField(b)
		}
		s, bad := fieldLine(b)
		switch {
		case bad != nil:
			return false, bad
		case s.next == 0:
			return r.partialField(b)
		case s.next-2 > r.lim.Field:
			return false, malformed(FieldTooLarge, excerpt(b[:s.name]))
		case len(*fields) >= r.lim.Fields:
			return false, malformed(TooManyFields, "")
		}
		name, value := b[:s.name:s.name], b[s.from:s.to:s.to]
		if bad := r.note.line(name, value); bad != nil {
			return false, bad
		}
		f := slot(fields)
		f.Name, f.Value = name, value
		at.line += s.next
	}
	return r.partialField(nil)
}

// partialField remembers that line is not whole yet, unless it is too long already.
func (r *Reader) partialField(line []byte) (bool, *Malformed) {
	r.at.seen = r.w
	if len(line)-1 > r.lim.Field {
		return false, malformed(FieldTooLarge, "")
	}
	if r.w-r.r >= r.lim.Head {
		return false, malformed(HeadTooLarge, "")
	}
	return false, nil
}

// slot appends an empty line to l. Filling it in place, instead of appending a built one, saves a stall of
// the processor per line: a struct put together on the stack is copied with wider loads than its stores.
func slot(l *field.List) *field.Field {
	n := len(*l)
	if n == cap(*l) {
		*l = append(*l, field.Field{})
	} else {
		*l = (*l)[:n+1]
	}
	return &(*l)[n]
}
