// Package tunnel carries bytes between a client and an origin once a connection was upgraded.
//
// A [Registry] knows every live tunnel, bounds their number, and closes those that are silent or live
// for too long: its sweep, run by [Registry.Watch], is the only standing goroutine. A tunnel itself
// costs its caller's goroutine and one more; neither holds a buffer while nothing flows.
package tunnel

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// tick is how often the sweep looks: limits are kept to this precision, never early.
const tick = 500 * time.Millisecond

// Registry holds the live tunnels of a process.
type Registry struct {
	start time.Time
	now   atomic.Int64 // the sweep's clock: ns since start

	conf    atomic.Pointer[Config]
	buffers sync.Pool // *[]byte of flowBuffer bytes

	mu       sync.Mutex
	live     map[*tunnel]struct{}
	taken    int // places: live tunnels and reservations
	lastID   uint64
	closing  bool
	empty    chan struct{} // closed when closing and the last place is given back
	opened   uint64
	refused  uint64
	ended    [numReasons]uint64
	bytesIn  int64 // of ended tunnels
	bytesOut int64
}

// New returns an empty registry. Idle and lifetime limits hold while Watch runs.
func New(c Config) *Registry {
	r := &Registry{start: time.Now(), live: map[*tunnel]struct{}{}, empty: make(chan struct{})}
	r.Apply(c)
	return r
}

// Apply puts limits in force for tunnels that begin from now on; Max applies at once, but cuts nobody.
func (r *Registry) Apply(c Config) { r.conf.Store(&c) }

// Slot is the right to one tunnel. Take it before the upgrade is asked for, so that nobody is told 101
// and then cut. It ends with Run or with Release.
type Slot struct {
	r    *Registry
	done atomic.Bool
}

// The errors of Reserve.
var (
	ErrFull    = errors.New("cannot open a tunnel: tunnels.max are open")
	ErrClosing = errors.New("cannot open a tunnel: the gateway is shutting down")
)

// Reserve takes a place, or fails with ErrFull or ErrClosing.
func (r *Registry) Reserve() (*Slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		r.refused++
		return nil, ErrClosing
	}
	if r.taken >= r.conf.Load().Max {
		r.refused++
		return nil, ErrFull
	}
	r.taken++
	return &Slot{r: r}, nil
}

// Release gives a place back that no tunnel came to use. After Run, or twice, it does nothing.
func (s *Slot) Release() {
	if s.done.CompareAndSwap(false, true) {
		s.r.mu.Lock()
		s.r.vacate()
		s.r.mu.Unlock()
	}
}

// vacate frees a place. Callers hold mu.
func (r *Registry) vacate() {
	r.taken--
	if r.closing && r.taken == 0 {
		close(r.empty)
	}
}

// Watch closes tunnels that exceed their limits until ctx ends.
func (r *Registry) Watch(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			r.sweep(int64(time.Since(r.start)))
		}
	}
}

func (r *Registry) sweep(now int64) {
	r.now.Store(now)
	r.mu.Lock()
	var cut []*tunnel
	var why []Reason
	for t := range r.live {
		if reason := t.overdue(now); reason != none {
			cut, why = append(cut, t), append(why, reason)
		}
	}
	r.mu.Unlock()
	for i, t := range cut {
		t.end(why[i])
	}
}

// CloseAll refuses new tunnels from now on and lets the live ones come to their end until ctx is done;
// then it cuts the rest, waits for them, and returns how many they were.
func (r *Registry) CloseAll(ctx context.Context) (cut int) {
	r.mu.Lock()
	if !r.closing {
		r.closing = true
		if r.taken == 0 {
			close(r.empty)
		}
	}
	r.mu.Unlock()
	select {
	case <-r.empty:
		return 0
	case <-ctx.Done():
	}
	r.mu.Lock()
	rest := make([]*tunnel, 0, len(r.live))
	for t := range r.live {
		rest = append(rest, t)
	}
	r.mu.Unlock()
	for _, t := range rest {
		if t.end(Drained) {
			cut++
		}
	}
	for _, t := range rest {
		<-t.gone
	}
	return cut
}

// Info is a snapshot of one live tunnel.
type Info struct {
	ID       uint64
	Route    string
	Target   string
	Protocol string
	Client   string
	Start    time.Time
	Active   time.Time // the last byte, to the sweep's precision
	In, Out  int64     // bytes from and to the client
	Half     bool      // one side is done
}

// Snapshot returns the live tunnels, the oldest first.
func (r *Registry) Snapshot() []Info {
	r.mu.Lock()
	all := make([]Info, 0, len(r.live))
	for t := range r.live {
		all = append(all, t.info())
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b Info) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Stats are the registry's counters.
type Stats struct {
	Live    int // tunnels open now
	Max     int
	Opened  uint64
	Refused uint64
	Ended   [numReasons]uint64 // by Reason
	In, Out int64              // bytes, live tunnels included
}

// Stats returns a snapshot of the counters.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{
		Live: len(r.live), Max: r.conf.Load().Max, Opened: r.opened, Refused: r.refused,
		Ended: r.ended, In: r.bytesIn, Out: r.bytesOut,
	}
	for t := range r.live {
		s.In += t.in.Load()
		s.Out += t.out.Load()
	}
	return s
}

// Options describe one tunnel. Zero limits mean the registry's own.
type Options struct {
	Route, Target, Protocol string
	Idle, Lifetime          conf.Duration
}
