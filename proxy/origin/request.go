package origin

import (
	"io"
	"net"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// Request is what an origin is asked. It belongs to its caller, who may use it again once Do has returned or,
// where it has a Body, once the Response is closed; until then nothing that it points to may change.
type Request struct {
	Method []byte // as received, a token
	Target []byte // path and query, or "*"; sent byte for byte
	Host   []byte // the visitor's; Config may replace it
	Fields field.List
	// Fields are the end-to-end fields in their final form. Host, Content-Length, Transfer-Encoding,
	// Connection, Keep-Alive, Upgrade and Expect are this package's own: such lines are left out.

	Body    io.Reader         // nil: none. Not read after Do fails or Response.Close returns
	Length  int64             // of Body in bytes; -1 unknown: sent chunked
	Trailer func() field.List // asked after Body's EOF when sent chunked; may be nil

	// StopBody makes a Read of Body that waits for the client return at once, with any error, from
	// another goroutine (a read deadline in the past does it). It is called when the origin has answered,
	// or is gone, before all of Body was sent. Without it, Close may wait until that Read returns.
	StopBody func()

	Expect100  bool   // the client waits for 100 (Continue) before it sends the body
	OnContinue func() // send the client 100 (Continue); called at most once, before Body is read
	// OnInterim relays 102, 103 and unknown 1xx responses; f is valid during the call. It is not called
	// at the same time as OnContinue, and neither after Do has returned.
	OnInterim func(status int, f field.List)

	Upgrade  []byte // protocols that the client wants to switch to, as its Upgrade field had them; nil: none
	Timeouts Timeouts
	Began    time.Time       // when Do is called, for who has just read the clock, monotonic; zero: Do reads it
	Done     <-chan struct{} // closed when the client is gone; may be nil
}

// Response is an origin's final answer, or its 101. It must be closed, and its fields and body must not
// be used after that: they lie in the connection's buffers. It is for one goroutine, Abort excepted.
type Response struct {
	Status int
	Reason []byte
	Minor  int        // HTTP/1.Minor
	Fields field.List // as received, hop-by-hop fields included
	Length int64      // of Body; -1 unknown
	// CloseDelimited: only the end of the connection ends the body, so that nobody can tell whether it
	// is whole. Never store such a response.
	CloseDelimited bool
	Body           Body

	Target   string // URL of the target that answered
	Attempts int
	Reused   bool          // on a kept connection
	Took     time.Duration // from the call of Do to the head's last byte

	// Conn is the connection after a 101 (Switching Protocols); Buffered is what has arrived on it
	// already. They belong to the caller: Close leaves them alone.
	Conn     net.Conn
	Buffered []byte
}

// Close ends the exchange: Body.Close.
func (r *Response) Close() error { return r.Body.Close() }
