package proxy

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
)

// Exchange is one request and its answer, whatever carried it: a connection of proxy/listen, a
// background refresh, a dry run. The carrier fills the first part, [Edge.Serve] walks the journey and
// leaves the answer in Res, the carrier sends it and calls [Exchange.Finish] after its last byte.
//
// Everything in it belongs to the exchange: slices point into the carrier's buffers, and nothing may be
// kept beyond Finish.
type Exchange struct {
	// What came, set by the carrier.
	Req     *http1.Request
	Body    Body             // nil when the request has none
	Refusal *http1.Malformed // the door's verdict: the request is answered, never read further
	Peer    netip.AddrPort
	TLS     bool
	Prompt  bool // Serve must not wait
	Started time.Time
	Carrier Carrier
	Before  *Memory // the connection's; nil: it has none

	// What goes back, set by the journey.
	Res Response

	journey
}

// Body is a request's content as the carrier reads it.
type Body interface {
	io.Reader
	io.WriterTo
	// Done reports whether the content was read to its proven end.
	Done() bool
	// Trailer returns the trailer section once Done.
	Trailer() field.List
	// N is the number of bytes read so far.
	N() int64
	// Remaining is what is left of a declared length, -1 when the length is unknown.
	Remaining() int64
	// SetLimit makes reading beyond max bytes fail with a 413.
	SetLimit(max int64)
	// SetTimeout makes the content fail with a 408 when it has not arrived whole after d.
	SetTimeout(d time.Duration)
	// Abort makes a blocked Read return and ends the connection's use for further requests.
	Abort()
}

// Carrier is what a journey may ask of the thing that carries the exchange.
type Carrier interface {
	// Interim sends a 1xx head at once.
	Interim(status int, fields field.List) error
	// Gone is closed when the client has gone away. Asking for it has a cost, so only what waits for
	// the origin does.
	Gone() <-chan struct{}
	// TakeOver sends Res's head and hands the raw connection, with bytes that arrived early, to run.
	// Afterwards the connection is closed.
	TakeOver(res *Response, run func(client net.Conn, early []byte)) error
}

// Response is the answer to an exchange. Exactly one of Bytes and Stream is used; both may be absent.
type Response struct {
	Status int
	Head   []byte     // lines that go before Fields, in wire form: those of a stored response of which none changes
	Fields field.List // end-to-end fields without framing, in the order of sending
	Length int64      // of the content the status and method allow; -1: unknown, so chunked
	Bytes  []byte
	Stream Stream
	// Trailer holds the names that the Stream's trailer section may use, as a Trailer field's value.
	Trailer []byte
	// Object identifies the memory that the stored content lies in, 0 for none, and Holds is its size: whoever takes
	// the answer slowly keeps it. See cache.Object.Pins.
	Object uint64
	Holds  int64
	NoBody bool // an answer to HEAD, a 304, a 204: Length is announced where it is known, nothing follows
	Flush  bool // send the head before the first byte of the content is there
	Close  bool // end the connection after this answer
}

// Stream is content that arrives while it is sent.
type Stream interface {
	io.Reader
	io.WriterTo
	// Trailer returns the trailer section at the stream's end, nil if there is none.
	Trailer() field.List
	// Close releases the stream; err is the sending side's error, nil when everything was sent.
	Close(err error)
}

// AppendFields appends the answer's field lines in wire form.
func (r *Response) AppendFields(dst []byte) []byte {
	return http1.AppendFields(append(dst, r.Head...), r.Fields)
}

// AllFields returns the answer's field lines as a list.
func (r *Response) AllFields() field.List {
	if r.Head == nil {
		return r.Fields
	}
	var all field.List
	for line := range bytes.Lines(r.Head) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r\n")), []byte(": "))
		all.Add(name, value)
	}
	return append(all, r.Fields...)
}

func (r *Response) reset() {
	fields := r.Fields[:0]
	*r = Response{Fields: fields}
}
