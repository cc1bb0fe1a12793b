package http1

import (
	"bytes"

	"github.com/tzero-edge/tzero/internal/field"
)

// Programs repeat their header fields: what a connection's requests for a page's images differ in is the request line.
// To compare a field section with the one before costs a tenth of what it costs to parse it, so a Reader remembers
// one. Parsing has no other input than the bytes and the limits, so that equal bytes have equal outcomes.

// A section that a Reader remembers has at most so many bytes and lines: a browser's has 500 bytes to 1 KiB in some
// fifteen. A line costs 48 bytes here, and as many where more of it is remembered, for as long as a connection waits
// between two requests: a hundred short ones, as many as are let in by default, would cost 10 KiB.
const (
	maxRemembered = 2 << 10
	maxLines      = 40
)

// memory is a request's field section and what parsing it came to.
type memory struct {
	section []byte // with its empty line; empty: nothing is remembered
	fields  field.List
	note    noted

	number uint32 // of the section: Request.Section
	missed uint32 // requests that had other fields, less those that had the remembered ones
}

// forget keeps the room and the number, so that no two sections of a Reader's life share one.
func (m *memory) forget() {
	clear(m.fields)
	m.section, m.fields, m.note, m.missed = m.section[:0], m.fields[:0], noted{}, 0
}

// recall completes a request whose field section begins at r.at.line, if it is the remembered one.
func (r *Reader) recall(q *Request) bool {
	m := &r.memory
	at := r.at.line
	if len(m.section) == 0 || !bytes.HasPrefix(r.cur[at:r.w], m.section) || at+len(m.section)-r.r > r.lim.Head {
		return false
	}
	m.missed = max(m.missed, 1) - 1
	r.r = at + len(m.section)
	r.note = m.note
	q.Fields = append(q.Fields, m.fields...)
	q.Section = m.number
	return true
}

// remember takes the field section of q in, which has just been parsed from cur[at:r.r], where the next request may
// repeat it: not the first of a connection, which often is the only one, and seldom after many that came but once.
// The fields of q lie in what is remembered then, as those of the requests that repeat it.
func (r *Reader) remember(q *Request, at int) {
	m := &r.memory
	missed := m.missed
	m.missed++
	if missed == 0 || missed&(missed-1) != 0 || r.r-at > maxRemembered || len(q.Fields) > maxLines {
		return
	}
	m.section = append(m.section[:0], r.cur[at:r.r]...)
	m.number++
	m.note = noted{request: true}
	q.Fields = q.Fields[:0]
	for b := m.section; len(b) > len("\r\n"); {
		s, _ := fieldLine(b) // without a fault, as the bytes it is a copy of
		name, value := b[:s.name:s.name], b[s.from:s.to:s.to]
		_ = m.note.line(name, value)
		f := slot(&q.Fields)
		f.Name, f.Value = name, value
		b = b[s.next:]
	}
	m.fields = append(m.fields[:0], q.Fields...)
	r.note = m.note
	q.Section = m.number
}
