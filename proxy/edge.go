// Package proxy is the journey of a request through the gateway: steps.go holds one function per state,
// transitions.go the table of legal moves. It works on an [Exchange], so that a connection, a background
// refresh and a dry run travel the same road.
package proxy

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/proxy/tunnel"
)

// Edge serves exchanges. It outlives generations.
type Edge struct {
	cache     *cache.Cache
	tunnels   *tunnel.Registry
	observers []Observer
	copyist   *Copyist
	random    func() uint64
	log       *slog.Logger

	gen    atomic.Pointer[Generation]
	strict bool // an illegal move panics: race builds and tests

	wanted context.Context // ends when no answer is wanted any more
	giveUp context.CancelFunc

	panics     atomic.Int64
	violations atomic.Int64
}

// Parts are what an Edge is made of.
type Parts struct {
	Cache     *cache.Cache
	Tunnels   *tunnel.Registry
	Observers []Observer
	Random    func() uint64 // for request ids; safe for concurrent use
	Log       *slog.Logger
}

// New returns an Edge without a generation; Use gives it one before the first exchange.
func New(p Parts) *Edge {
	e := &Edge{cache: p.Cache, tunnels: p.Tunnels, observers: p.Observers, random: p.Random, log: p.Log, strict: strictMoves}
	e.copyist = newCopyist(e.cache)
	e.wanted, e.giveUp = context.WithCancel(context.Background())
	return e
}

// Use puts a generation in force for the exchanges to come.
func (e *Edge) Use(g *Generation) { e.gen.Store(g) }

// Generation returns the one in force.
func (e *Edge) Generation() *Generation { return e.gen.Load() }

// Copyist returns the service that makes compressed copies; its Run belongs to the run group.
func (e *Edge) Copyist() *Copyist { return e.copyist }

// Stats counts what must not happen.
type Stats struct {
	Panics     int64 `json:"panics"`     // requests that cost a panic
	Violations int64 `json:"violations"` // moves that the transition table does not know
	Copies     int64 `json:"copies"`     // compressed copies made
	Postponed  int64 `json:"postponed"`  // compressed copies left to a later request
}

// Stats returns a snapshot.
func (e *Edge) Stats() Stats {
	return Stats{e.panics.Load(), e.violations.Load(), e.copyist.made.Load(), e.copyist.postponed.Load()}
}

type step func(*Exchange) State

var steps = [numStates]step{
	StateRecv:     stepRecv,
	StateRoute:    stepRoute,
	StateAdmit:    stepAdmit,
	StateDispatch: stepDispatch,
	StateLookup:   stepLookup,
	StateFollow:   stepFollow,
	StatePermit:   stepPermit,
	StateFetch:    stepFetch,
	StateTunnel:   stepTunnel,
	StateDeliver:  stepDeliver,
	StateSynth:    stepSynth,
}

// waits marks the states in which a journey can wait for somebody else. In permit it does where a rate limit is exact.
var waits = [numStates]bool{StateFollow: true, StateFetch: true, StateTunnel: true}

// Serve walks the journey and leaves the answer in x.Res. With x.Prompt it stops where the journey may have to wait,
// and reports false: called again without it, it goes on there. A panic costs this request, never the process.
func (e *Edge) Serve(x *Exchange) (done bool) {
	if x.at == StateRecv {
		x.edge, x.gen = e, e.gen.Load()
		x.Out.Start, x.Out.Generation = x.Started, x.gen.Number
	}
	defer func() {
		if p := recover(); p != nil {
			e.fell(x, p)
			done = true
		}
	}()
	for s := x.at; s != StateFinish; {
		if waits[s] || s == StatePermit && len(x.plan.Limits.Exact) > 0 {
			if x.Prompt {
				x.at = s
				return false
			}
			x.waited = true
		}
		next := steps[s](x)
		if !legal(s, next) {
			e.violate(s, next)
			next = StateFinish
		}
		s = next
	}
	if x.Out.FirstByte == 0 && !x.inOnePiece() {
		x.Out.FirstByte = time.Since(x.Started)
	}
	if x.Res.Head == nil {
		// The answer's lines may lie in the origin's buffers, which are gone by the time of Finish.
		x.Out.ContentType = x.keepBytes(x.Res.Fields.Get("Content-Type"))
	}
	return true
}

// inOnePiece reports whether the answer's first byte leaves with its last: then one reading of the clock serves for
// both.
func (x *Exchange) inOnePiece() bool {
	const piece = 16 << 10
	return !x.waited && x.Res.Stream == nil && len(x.Res.Bytes) <= piece
}

// fell answers a request whose journey panicked.
func (e *Edge) fell(x *Exchange, p any) {
	e.panics.Add(1)
	e.log.Error("a request panicked; it was answered with 500", "panic", p, "stack", string(debug.Stack()))
	x.letGo(nil)
	fields := x.Res.Fields[:0]
	x.Res = Response{Fields: fields}
	x.verdict = verdict{status: 500, reason: ReasonPanic, close: true}
	x.Out.Fault = FaultGateway
	x.Out.Err = "a fault of the gateway; its log has the details"
	stepSynth(x)
	x.Out.ContentType = x.Res.Fields.Get("Content-Type")
}

func (e *Edge) violate(from, to State) {
	e.violations.Add(1)
	if e.strict {
		panic("illegal move from " + from.String() + " to " + to.String())
	}
	e.log.Error("illegal move in a request's journey", "from", from.String(), "to", to.String())
}

// GiveUp ends everything that waits for an origin: the clients are gone for good.
func (e *Edge) GiveUp() { e.giveUp() }

// Finish is called by the carrier when the last byte of the answer was sent, or could not be: sent
// counts its content's bytes.
func (e *Edge) Finish(x *Exchange, sent int64, err error) {
	x.letGo(err)
	o := &x.Out
	x.note(StateFinish, "", "")
	o.Duration = time.Since(x.Started)
	if o.FirstByte == 0 {
		o.FirstByte = o.Duration
	}
	o.Status = x.Res.Status
	if o.Status != 101 { // a tunnel has counted for itself
		o.BytesOut = sent
	}
	if x.Body != nil {
		o.BytesIn = x.Body.N()
	}
	if err != nil {
		o.Aborted = true
		if o.Err == "" {
			o.Err = err.Error()
		}
		if o.Fault == FaultNone {
			o.Fault = x.stream.fault()
		}
	}
	for _, ob := range e.observers {
		ob.Observe(o)
	}
}

// letGo releases what the journey holds of the origin and the cache.
func (x *Exchange) letGo(err error) {
	x.stream.Close(err)
	if x.answer != nil {
		x.answer.Close()
		x.answer = nil
	}
}
