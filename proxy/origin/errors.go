package origin

import (
	"fmt"
	"strings"
)

// Kind says what went wrong with a request to an origin.
type Kind uint8

// The kinds of failure.
const (
	None             Kind = iota
	ConnectFailed         // no connection: refused, unreachable, name not found
	ConnectTimeout        // no connection in time
	TLSFailed             // the handshake failed: wrong certificate, no common version
	QueueFull             // too many requests wait for a connection already
	QueueTimeout          // waited for a connection for too long
	FirstByteTimeout      // no response in time
	SendTimeout           // the origin stopped taking the request's body
	BodyTimeout           // the origin stopped in the middle of the response
	TotalTimeout          // the whole exchange took too long
	Reset                 // the connection ended before the response's head was complete
	Truncated             // the connection ended in the middle of the response's body
	BadResponse           // what came is not HTTP, or not an answer to what was asked
	Canceled              // the client is gone, or nobody wants the answer any more
	RequestBody           // the request's own body could not be read from the client
	UncleanRequest        // the request's head would not be one clean head; nothing was sent
	numKinds
)

var kindNames = [numKinds]string{
	"none", "connect-failed", "connect-timeout", "tls-failed", "queue-full", "queue-timeout",
	"first-byte-timeout", "send-timeout", "body-timeout", "total-timeout", "reset", "truncated",
	"bad-response", "canceled", "request-body", "unclean-request",
}

func (k Kind) String() string { return kindNames[k] }

// Kinds lists all kinds of failure, for metrics.
func Kinds() []Kind {
	all := make([]Kind, 0, numKinds-1)
	for k := None + 1; k < numKinds; k++ {
		all = append(all, k)
	}
	return all
}

// Source says on whose account a failure goes.
type Source uint8

// The sources of a failure.
const (
	SourceOrigin Source = iota
	SourceClient
	SourceGateway
)

func (s Source) String() string { return [...]string{"origin", "client", "gateway"}[s] }

// Error is the failure of a request to an origin. Its text is for operators: what was tried, what
// happened, what can be done. It carries nothing of the request but its method.
type Error struct {
	Kind   Kind
	Pool   string
	Target string // URL; "" when none was chosen
	Detail string // what happened, and what to do
	Err    error  // the cause; nil where there is none beneath

	// Sent reports that at least one byte of the request left the gateway: the origin may have acted on it.
	Sent bool
	// Retryable reports that asking again cannot do the work twice: nothing was sent, or the method is
	// idempotent; and the request's body, if any, has not been consumed.
	Retryable bool
	Attempts  int

	again bool // as Retryable, but what was read of the body is still held
	stale bool // a kept connection turned out closed before it answered anything
	mute  bool // a new connection was closed before it answered anything
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot ask origin %s", e.Pool)
	if e.Target != "" {
		fmt.Fprintf(&b, " at %s", e.Target)
	}
	fmt.Fprintf(&b, ": %s", e.Kind)
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, " (%v)", e.Err)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " [attempt %d]", e.Attempts)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Source says on whose account the failure goes.
func (e *Error) Source() Source {
	switch e.Kind {
	case Canceled, RequestBody:
		return SourceClient
	case QueueFull, QueueTimeout, UncleanRequest:
		return SourceGateway
	}
	return SourceOrigin
}

// Timeout reports whether time ran out.
func (e *Error) Timeout() bool {
	switch e.Kind {
	case ConnectTimeout, QueueTimeout, FirstByteTimeout, SendTimeout, BodyTimeout, TotalTimeout:
		return true
	}
	return false
}

// Status is the answer that a client should get: 504 when the origin was too slow, 503 when the
// gateway would not let more requests wait, 400 when the client's body broke off, 502 else
// (RFC 9110 §15.6).
func (e *Error) Status() int {
	switch e.Kind {
	case ConnectTimeout, FirstByteTimeout, SendTimeout, BodyTimeout, TotalTimeout:
		return 504
	case QueueFull, QueueTimeout:
		return 503
	case RequestBody, Canceled:
		return 400
	case UncleanRequest:
		return 500
	}
	return 502
}

// details says for each kind what happened and what to do; dial failures bring their own.
var details = [numKinds]string{
	QueueFull:        "all connections are in use and the queue is full; the app is slower than the visitors are many: raise pool.max_connections if it can take more",
	QueueTimeout:     "no connection came free within pool.queue_time; the app is slower than the visitors are many",
	FirstByteTimeout: "no complete response head within timeouts.first_byte",
	SendTimeout:      "took no more of the request for timeouts.idle",
	BodyTimeout:      "sent no more of the response for timeouts.idle",
	TotalTimeout:     "the exchange took longer than timeouts.total",
	Reset:            "closed the connection before it had answered; look whether the app crashed or restarts",
	Truncated:        "closed the connection in the middle of the response; the answer is incomplete",
	Canceled:         "nobody waits for the answer any more",
	RequestBody:      "the request's body could not be read from the client",
	UncleanRequest:   "a header line holds a line break or other control byte; nothing was sent",
}
