package proxy

import (
	"net/netip"
	"time"
)

// State is one station of a request's journey; steps.go holds one function for each.
type State uint8

// The states, in the order in which a request can meet them.
const (
	StateRecv State = iota
	StateRoute
	StateAdmit
	StateDispatch
	StateLookup
	StateFollow
	StatePermit
	StateFetch
	StateTunnel
	StateDeliver
	StateSynth
	StateFinish
	numStates
)

var stateNames = [numStates]string{
	"recv", "route", "admit", "dispatch", "lookup", "follow", "permit", "fetch", "tunnel",
	"deliver", "synth", "finish",
}

func (s State) String() string { return stateNames[s] }

// Reason is the one word for why a step went the way it did. The same word stands in Cache-Status, in
// the metrics, in the decision log and in `tzero explain`; docs/reference/reasons.md lists all of them.
type Reason string

// CacheClass is what the cache had to do with an answer: the metric label `cache`.
type CacheClass uint8

// The classes. CacheNone: the cache was not asked (redirects, refusals, tunnels).
const (
	CacheNone        CacheClass = iota
	CacheHit                    // fresh from memory
	CacheShared                 // fresh from the tier that nodes share
	CacheStale                  // stale from memory, as permitted
	CacheRevalidated            // from memory after the origin said 304
	CacheCollapsed              // read along with another request's fill
	CacheMiss                   // fetched, and stored where storable
	CacheBypass                 // fetched, the cache stood aside
	numCacheClasses
)

var cacheClassNames = [numCacheClasses]string{"none", "hit", "shared", "stale", "revalidated", "collapsed", "miss", "bypass"}

func (c CacheClass) String() string { return cacheClassNames[c] }

// Fault says on whose account a request failed.
type Fault uint8

// The sources of a failure.
const (
	FaultNone Fault = iota
	FaultClient
	FaultOrigin
	FaultGateway
)

var faultNames = [...]string{"none", "client", "origin", "gateway"}

func (f Fault) String() string { return faultNames[f] }

// Step is one decision of the journey.
type Step struct {
	State  State
	Reason Reason // empty where the state had nothing to decide
	Note   string // a value that helps to understand the decision; never a secret
}

// maxSteps bounds a journey; the transition table admits none that is longer.
const maxSteps = 24

// Outcome is everything there is to know about one request after its last byte. It is valid only while
// an [Observer] looks at it: byte slices point into the connection's buffers, and the struct is reused.
type Outcome struct {
	Start      time.Time
	Duration   time.Duration // first byte of the request to last byte of the answer
	FirstByte  time.Duration // until the answer's head was ready
	OriginTime time.Duration // waiting for the origin's head, all attempts

	RequestID  []byte
	Generation uint64
	Peer       netip.Addr // the connection's other end
	Client     netip.Addr // behind trusted proxies; equal to Peer without them

	Proto     string // "HTTP/1.1"
	Method    []byte
	Scheme    string
	Host      []byte
	Target    []byte // raw, with the query
	UserAgent []byte
	Referer   []byte

	Route       string // "" when no route matched
	Status      int
	ContentType []byte
	Cache       CacheClass
	CacheReason Reason

	Origin       string // the pool's name, "" when no origin was asked
	TargetURL    string // the target asked last
	OriginStatus int    // 0 when the origin gave no answer
	Attempts     int

	BytesIn, BytesOut int64 // bodies only
	Aborted           bool  // the answer did not reach the client whole
	Fault             Fault
	Err               string // what went wrong, without secrets

	steps []Step
}

// Steps returns the journey so far.
func (o *Outcome) Steps() []Step { return o.steps }

// Observer is told of every finished request. Observe must neither block nor keep o.
type Observer interface {
	Observe(o *Outcome)
}
