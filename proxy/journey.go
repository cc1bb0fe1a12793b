package proxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/ratelimit"
)

// journey is what the states know of an exchange beyond the request and the answer.
type journey struct {
	Out Outcome
	course
	room
}

// course is what is forgotten between two requests.
type course struct {
	at   State // where Serve begins, or goes on
	edge *Edge
	gen  *Generation
	plan *Plan

	host    []byte // as the client asked for it; of a trusted proxy where the policy takes that
	verdict verdict

	// The cache's side.
	look    cache.Result
	lookups int
	fill    *cache.Fill
	object  cache.Object

	// The origin's side.
	answer *origin.Response // the one that is this client's
	own    field.List       // the leader's: the origin's fields, where not all of them may be stored
	asked  time.Time        // when the origin was asked last
	came   time.Time        // when its answer's head, or its failure, was here

	onward    State // where to, once the request is permitted
	permitted bool

	dry    bool // tzero explain: nothing is asked of the origin
	waited bool // for the origin, or for another request's fill
	stream stream
}

// room is memory that the next request finds again: to clear it all, or to allocate it anew, would cost more
// than a hit does. What is in it is made before it is used.
//
// What a hit needs stands first, so that it touches less of the memory.
type room struct {
	want    cache.Request
	scratch []byte     // backs values that are made for this exchange
	fields  field.List // the request's fields towards the origin
	ends    field.List // the end-to-end fields of the origin's answer; empty: not gathered yet
	target  []byte     // path and query for a cacheable fetch
	idBuf   [32]byte
	id      headers.Identity // its end is for requests that come through proxies

	ask       origin.Request
	res       origin.Response       // where answers come in; a fill takes its own away
	codings   [40]byte              // the Accept-Encoding of a cacheable fetch
	onInterim func(int, field.List) // x.interim, bound once

	receipt ratelimit.Receipt // what rate limits were charged
}

// Reset readies x for a new request; the room of its slices is kept.
func (x *Exchange) Reset() {
	x.Req, x.Body, x.Refusal, x.Carrier, x.Before = nil, nil, nil, nil, nil
	x.Peer, x.TLS, x.Prompt, x.Started = netip.AddrPort{}, false, false, time.Time{}
	x.Res.reset()
	steps := x.Out.steps[:0]
	x.Out = Outcome{}
	x.Out.steps = steps
	x.course = course{}
	x.want.Reset()
	x.receipt.Reset()
	x.fields, x.ends, x.target, x.scratch = x.fields[:0], x.ends[:0], x.target[:0], x.scratch[:0]
}

// note records a decision. A journey that is longer than any legal one keeps its beginning.
func (x *Exchange) note(s State, r Reason, text string) {
	o := &x.Out
	if len(o.steps) < maxSteps {
		o.steps = append(o.steps, Step{s, r, text})
	}
}

// now is the time. Until the journey has waited for something, that is when it began: to read the clock at every turn
// would cost a hit more than its decisions do.
func (x *Exchange) now() time.Time {
	if !x.waited {
		return x.Started
	}
	return x.Started.Add(time.Since(x.Started)) // from the monotonic clock alone: time.Now asks two
}

func (x *Exchange) isHead() bool { return x.Req != nil && string(x.Req.Method) == "HEAD" }

// add appends a line to the answer. name must be a constant.
func (x *Exchange) add(name, value string) {
	x.Res.Fields.Add([]byte(name), x.keep(value))
}

// keep copies a value into the exchange's scratch space.
func (x *Exchange) keep(s string) []byte {
	at := len(x.scratch)
	x.scratch = append(x.scratch, s...)
	return x.scratch[at:len(x.scratch):len(x.scratch)]
}

// keepBytes is keep for bytes that somebody else will overwrite.
func (x *Exchange) keepBytes(b []byte) []byte {
	at := len(x.scratch)
	x.scratch = append(x.scratch, b...)
	return x.scratch[at:len(x.scratch):len(x.scratch)]
}

// keepInt is keep for a decimal number.
func (x *Exchange) keepInt(n int64) []byte {
	at := len(x.scratch)
	x.scratch = strconv.AppendInt(x.scratch, n, 10)
	return x.scratch[at:len(x.scratch):len(x.scratch)]
}

// newID makes a request id: 128 random bits in hexadecimal digits.
func (x *Exchange) newID() []byte {
	var raw [16]byte
	x.random(&raw)
	for i := 0; i < len(raw); i += 4 {
		digits := hexDigits(binary.LittleEndian.Uint32(raw[i:]))
		binary.LittleEndian.PutUint64(x.idBuf[2*i:], digits)
	}
	return x.idBuf[:]
}

// hexDigits writes the eight hexadecimal digits of v into eight bytes, all at once: every request gets an id.
func hexDigits(v uint32) uint64 {
	x := uint64(v)
	x = (x | x<<16) & 0x0000_ffff_0000_ffff
	x = (x | x<<8) & 0x00ff_00ff_00ff_00ff
	x = (x | x<<4) & 0x0f0f_0f0f_0f0f_0f0f
	letters := (x + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101 // one where the digit is a letter
	return x + 0x3030_3030_3030_3030 + letters*('a'-'0'-10)
}

func (x *Exchange) random(b *[16]byte) {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], x.edge.random())
	}
}

// lowerHost writes the host in lower case, which means the same (RFC 9110 §4.2.3): what is keyed is what is
// forwarded, and an origin that compares the bytes must not answer one spelling for all of them.
func (x *Exchange) lowerHost() {
	if field.HasUpper(x.host) {
		at := len(x.scratch)
		x.scratch = field.AppendLower(x.scratch, x.host)
		x.host = x.scratch[at:len(x.scratch):len(x.scratch)]
	}
}

// upgrades reports whether the client asks for a tunnel that tzero offers. h2c is not among them: such a
// request is answered as HTTP/1.1, as RFC 9110 §7.8 permits.
func (x *Exchange) upgrades() bool {
	return x.Req.Upgrade != nil && x.Body == nil && string(x.Req.Method) == "GET" &&
		!field.List{{Name: []byte("Upgrade"), Value: x.Req.Upgrade}}.HasToken("Upgrade", "h2c") && !bytes.HasPrefix(x.Req.Upgrade, []byte("h2"))
}
