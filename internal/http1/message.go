package http1

import "github.com/tzero-edge/tzero/internal/field"

// Limits bound what a peer may send before it has proven anything. A limit of zero or below stands for
// its default.
type Limits struct {
	StartLine int // bytes of the request or status line; 8 KiB
	Field     int // bytes of one field line without its CRLF; 16 KiB
	Head      int // bytes of the whole head with all CRLFs; also of a trailer section; 32 KiB
	Fields    int // field lines; 100
}

// DefaultLimits returns the limits that fit browsers with room to spare.
func DefaultLimits() Limits {
	return Limits{StartLine: 8 << 10, Field: 16 << 10, Head: 32 << 10, Fields: 100}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, p := range []struct {
		v *int
		d int
	}{{&l.StartLine, d.StartLine}, {&l.Field, d.Field}, {&l.Head, d.Head}, {&l.Fields, d.Fields}} {
		if *p.v <= 0 {
			*p.v = p.d
		}
	}
	return l
}

// Form is the form of a request target (RFC 9112 §3.2).
type Form uint8

// The forms.
const (
	OriginForm    Form = iota // /path?query
	AbsoluteForm              // http://host/path?query
	AuthorityForm             // host:port, CONNECT only
	AsteriskForm              // *, OPTIONS only
)

// Framing says how a body's end is found (RFC 9112 §6.3).
type Framing uint8

// The framings.
const (
	NoBody     Framing = iota // the message ends with its head
	Length                    // Content-Length, which may be 0
	Chunked                   // Transfer-Encoding: chunked
	UntilClose                // the connection's end; responses only, and never proven complete
)

// Request is a request's head. Its slices point into the Reader's buffer, or into its memory of a field section: they
// are valid until the next ReadRequest, Idle or Reset of that Reader, so also while the body is read. Nothing is
// rewritten.
type Request struct {
	Method []byte
	Target []byte // as received
	Form   Form
	Scheme []byte // of an absolute-form target, else nil
	// Path of the target, as received: at least "/" in origin-form and absolute-form, "*" in
	// asterisk-form, nil in authority-form. OPTIONS for an absolute-form target that has neither path nor
	// query is asterisk-form, as RFC 9112 §3.2.4 reads it.
	Path     []byte
	Query    []byte // without the "?"
	HasQuery bool   // tells "/a?" from "/a"
	// Host is the authority asked for: an absolute-form's or authority-form's own, which beats the Host
	// field (RFC 9112 §3.2.2), else the Host field's. Empty only in HTTP/1.0.
	Host    []byte
	Minor   int        // 0 or 1
	Fields  field.List // every line, in order, as received
	Framing Framing
	Length  int64 // of the body; -1 when Chunked
	Close   bool  // the connection ends after the answer (RFC 9112 §9.3)
	// Expect100: the client waits for 100 (Continue) before it sends its body. Never set without a body,
	// nor in HTTP/1.0 (RFC 9110 §10.1.1).
	Expect100 bool
	// Upgrade is the Upgrade field's value in HTTP/1.1 when Connection names it and there is exactly one
	// well-formed line of it; otherwise the wish is ignored (RFC 9110 §7.8).
	Upgrade []byte
	// Section is the number of a field section that the Reader remembers: requests of one Reader that have the same
	// number, which is not 0, have the same Fields, byte for byte and in the same memory.
	Section uint32
}

// Reset empties q and drops every reference into a Reader's buffers. The room for fields is kept.
func (q *Request) Reset() {
	clear(q.Fields[:cap(q.Fields)])
	*q = Request{Fields: q.Fields[:0]}
}

// Response is a response's head; its slices live as long as a Request's.
type Response struct {
	Status  int // 100 to 599
	Reason  []byte
	Minor   int
	Fields  field.List
	Framing Framing
	Length  int64 // of the body; -1 when Chunked or UntilClose
	Close   bool  // the connection cannot carry another exchange
}

// Reset empties p and drops every reference into a Reader's buffers. The room for fields is kept.
func (p *Response) Reset() {
	clear(p.Fields[:cap(p.Fields)])
	*p = Response{Fields: p.Fields[:0]}
}
