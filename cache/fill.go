package cache

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Head is a response's head. Fields has the end-to-end fields only: the connection's were removed.
type Head struct {
	Status int
	Fields field.List
	Own    field.List // lines that speak to this cache alone (Policy.Own): kept, and not sent on
	Length int64      // of the body; -1 where it is not known
	// UntilClose says that nothing but the end of the connection ends the body: such a response is never
	// stored, since nobody can tell whether it is whole (RFC 9112 §6.3).
	UntilClose bool
}

// Body is a response's content on its way from the origin. It is read by one goroutine.
type Body interface {
	io.Reader
	// Ready reports that everything up to the end can be read without waiting.
	Ready() bool
	// Done reports, after io.EOF, that the framing proved the body whole.
	Done() bool
	// Close gives the connection back or up. It is called once, after the last Read.
	Close() error
}

// Aborter is a Body that another goroutine can end: Abort returns at once, and a Read that waits fails. It is
// called at most once, and not after Close has begun. Without it, a fill that nobody needs any more keeps
// its connection until something arrives.
type Aborter interface{ Abort() }

// State is where a fill stands.
type State uint8

// The states. Streaming ends in one of the others; the rest are final.
const (
	Streaming   State = iota // the body is arriving
	Complete                 // whole; Object is there
	Uncacheable              // the leader's alone
	Failed                   // the body broke off
	TooLarge                 // longer than max_object or than memory allows: its readers go on, nobody joins, nothing is stored
)

var stateNames = [...]string{"streaming", "complete", "uncacheable", "failed", "too-large"}

func (s State) String() string { return stateNames[s] }

// The errors of a Reader. A body that did not arrive whole never ends in io.EOF.
var (
	ErrBroken  = errors.New("the origin's body broke off")
	ErrLagging = errors.New("fell too far behind a response that is too large to keep")
	ErrGone    = errors.New("the reader was given up")
)

// Fill is an object being fetched. It belongs to the cache and not to a request: all requests, the leader's
// too, hold Readers of it, and none of them can slow it or stop it. It is safe for concurrent use.
type Fill struct {
	c         *Cache
	judged    rfc9111.Assessment
	class     class
	status    int
	hash      uint64       // of the full key
	primary   uint64       // hash of the primary key
	record    Object       // the vary record its suffix was made under
	shareable bool         // those who waited for it may have it
	transient bool         // shared with those who waited, and never stored
	limit     int          // max_object: bytes of body
	head      Object       // head, key and lines without the body; none for Uncacheable
	bodyAt    int          // where the body begins in blob
	total     int64        // Content-Length, or -1
	held      rfc9111.Span // of a part: where it belongs
	complete  int64        // of a part: the length of the whole representation; else 0
	verbatim  bool         // a 206 for the very same question; see verbatim.go
	asked     time.Time
	delay     time.Duration // how long it may live when the key was written too often meanwhile
	also      otherNames
	lease     Lease // among processes; nil without one
	shared    bool  // it comes from the shared tier
	anew      bool  // it begins a new family; see Result

	mu          sync.Mutex
	state       State
	reason      Reason // why Uncacheable, Failed, TooLarge or not stored; or empty
	blob        []byte // header, key and lines, then the body so far; nil once nobody needs it
	n           int64  // bytes of body so far
	err         error  // of Failed
	object      Object // of Complete; for a 304 also of Uncacheable
	invalidated bool   // not to be stored any more
	abandoned   bool   // nobody reads, and memory is short: the pump ends
	starved     bool   // it may not grow any more; the pump's own
	abort       func() // ends a Read that waits; nil where that is not possible, and once the body is closed
	charged     int64  // bytes counted in Cache.held: those of all blocks that are in use, and spare
	spare       int64  // of these, not in a block yet; see admit
	block       *block // what blob is in
	wake        signal // fires when n, state or err change
	spill       *window
	readers     []*Reader
	wasRead     bool   // somebody had a reader
	joined      signal // fires with the first reader
}

// signal wakes all who wait for a change. It is used under its owner's lock, and costs nothing while nobody
// waits.
type signal struct{ ch chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) fire() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// State is where the fill stands now.
func (f *Fill) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Reason says why the fill is not, or not for everybody, a stored response; empty when it is.
func (f *Fill) Reason() Reason {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

// Object is the stored response once the fill is Complete; before that, none. After a validation whose
// answer may not be stored it is the leader's to answer with.
func (f *Fill) Object() Object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.object
}

// Head gives the head as it is stored, as an object without a body: without the fields that no-cache="…" or
// private="…" name, and with a Date. The leader may answer with the origin's own head instead. There is none
// when the fill is Uncacheable. Of a fill whose Reason is FillShared only the status is for others than the
// leader: an error's fields and page may repeat what the leader's client sent.
func (f *Fill) Head() Object { return f.head }

// Length is the body's length, or -1 while it is not known.
func (f *Fill) Length() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.object.Exists() {
		return int64(len(f.object.Body()))
	}
	return f.total
}

// withdrawn reports whether the key was invalidated after the answer was asked for.
func (f *Fill) withdrawn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.invalidated || f.c.writes.since(f.primary, f.asked)
}

func (f *Fill) wasAbandoned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.abandoned
}
