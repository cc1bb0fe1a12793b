package proxy

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/origin"
)

// journey is what the states know of an exchange beyond the request and the answer.
type journey struct {
	Out Outcome

	edge *Edge
	gen  *Generation
	plan *Plan
	id   headers.Identity

	host    []byte // as the client asked for it; of a trusted proxy where the policy takes that
	verdict verdict

	// The cache's side.
	want    cache.Request
	look    cache.Result
	lookups int
	fill    *cache.Fill
	object  cache.Object

	// The origin's side.
	ask    origin.Request
	answer *origin.Response
	own    field.List // the leader's: the origin's fields, where not all of them may be stored
	fields field.List // the request's fields towards the origin
	target []byte     // path and query for a cacheable fetch
	asked  time.Time

	dry     bool   // tzero explain: nothing is asked of the origin
	scratch []byte // backs values that are made for this exchange
	idBuf   [32]byte
	stream  stream
}

// Reset readies x for a new request; the room of its slices is kept.
func (x *Exchange) Reset() {
	res, fields, target, scratch := x.Res, x.fields[:0], x.target[:0], x.scratch[:0]
	res.reset()
	want := x.want
	want.Reset()
	*x = Exchange{Res: res}
	x.fields, x.target, x.scratch, x.want = fields, target, scratch, want
}

// note records a decision. A journey that is longer than any legal one keeps its beginning.
func (x *Exchange) note(s State, r Reason, text string) {
	o := &x.Out
	if o.nsteps < maxSteps {
		o.steps[o.nsteps] = Step{s, r, text}
		o.nsteps++
	}
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
	for i := 0; i < 16; i += 8 {
		r := x.edge.random()
		for j := range 8 {
			raw[i+j] = byte(r >> (8 * j))
		}
	}
	hex.Encode(x.idBuf[:], raw[:])
	return x.idBuf[:]
}
