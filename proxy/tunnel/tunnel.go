package tunnel

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Reason says why a tunnel ended.
type Reason uint8

// The reasons.
const (
	none         Reason = iota
	ClientClosed        // the client said first that it is done
	OriginClosed        // the origin said first that it is done
	ClientLost          // the client's connection broke
	OriginLost          // the origin's connection broke
	Idle                // not a byte for too long
	Lifetime            // open for too long
	Drained             // cut because the gateway shuts down
	Refused             // never began: no place, or shutting down
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "client-closed", "origin-closed", "client-lost", "origin-lost", "idle", "lifetime", "drained",
	"refused",
}

func (r Reason) String() string { return reasonNames[r] }

// Reasons lists all reasons, for metrics.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := none + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// tunnel is one pair of connections.
type tunnel struct {
	r      *Registry
	id     uint64
	opts   Options
	limits Config
	begun  int64 // on the registry's clock
	client net.Conn
	origin net.Conn

	in, out atomic.Int64
	active  atomic.Int64 // the last byte, on the registry's clock
	half    atomic.Bool
	why     atomic.Uint32 // the Reason, settled by whoever is first
	closing sync.Once
	gone    chan struct{} // closed when both directions have ended
}

// Run carries bytes both ways until both sides are done, one is lost, or a limit is reached. It closes
// both connections in every case and returns the bytes from and to the client. The buffered bytes have
// arrived on the connections already; they are forwarded first and not kept.
func (r *Registry) Run(client net.Conn, clientBuffered []byte, origin net.Conn, originBuffered []byte, o Options) (in, out int64, why Reason) {
	slot, err := r.Reserve()
	if err != nil {
		client.Close()
		origin.Close()
		return 0, 0, Refused
	}
	return slot.Run(client, clientBuffered, origin, originBuffered, o)
}

// Run is Registry.Run on a place that was reserved.
func (s *Slot) Run(client net.Conn, clientBuffered []byte, origin net.Conn, originBuffered []byte, o Options) (in, out int64, why Reason) {
	if !s.done.CompareAndSwap(false, true) {
		client.Close()
		origin.Close()
		return 0, 0, Refused
	}
	t := s.r.open(client, origin, o)
	other := make(chan struct{})
	go func() { // ends before Run does
		defer close(other)
		err := t.flow(origin, client, originBuffered, &t.out)
		t.finish(client, OriginClosed, OriginLost, ClientLost, err)
	}()
	err := t.flow(client, origin, clientBuffered, &t.in)
	t.finish(origin, ClientClosed, ClientLost, OriginLost, err)
	<-other
	t.close()
	return s.r.remove(t)
}

func (r *Registry) open(client, origin net.Conn, o Options) *tunnel {
	// Whoever had the connections before may have left deadlines on them.
	client.SetDeadline(time.Time{})
	origin.SetDeadline(time.Time{})
	t := &tunnel{
		r: r, opts: o, limits: *r.conf.Load(), begun: int64(time.Since(r.start)),
		client: client, origin: origin, gone: make(chan struct{}),
	}
	if o.Idle > 0 {
		t.limits.Idle = o.Idle
	}
	if o.Lifetime > 0 {
		t.limits.Lifetime = o.Lifetime
	}
	t.active.Store(t.begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	r.opened++
	t.id = r.lastID
	r.live[t] = struct{}{}
	return t
}

func (r *Registry) remove(t *tunnel) (in, out int64, why Reason) {
	in, out, why = t.in.Load(), t.out.Load(), Reason(t.why.Load())
	r.mu.Lock()
	delete(r.live, t)
	r.ended[why]++
	r.bytesIn += in
	r.bytesOut += out
	r.vacate()
	r.mu.Unlock()
	close(t.gone)
	return in, out, why
}

// The ways in which one direction ends.
var (
	errRead  = errors.New("cannot read")
	errWrite = errors.New("cannot write")
)

// finish draws the conclusion from one direction's end. Its source's end travels on to sink as a
// half-close; anything else ends the tunnel. The reason is settled before the other side can react.
func (t *tunnel) finish(sink net.Conn, closed, sourceLost, sinkLost Reason, err error) {
	switch err {
	case io.EOF:
		t.why.CompareAndSwap(uint32(none), uint32(closed))
		t.half.Store(true)
		closeWrite(sink)
	case errRead:
		t.end(sourceLost)
	default:
		t.end(sinkLost)
	}
}

// end closes both connections for a reason, if nobody was faster: false.
func (t *tunnel) end(why Reason) bool {
	first := t.why.CompareAndSwap(uint32(none), uint32(why))
	if !first && why >= Idle && t.half.Load() {
		// One side had said goodbye, the other never did: the limit ended it.
		t.why.Store(uint32(why))
		first = true
	}
	t.close()
	return first
}

func (t *tunnel) close() {
	t.closing.Do(func() {
		cut(t.client)
		cut(t.origin)
	})
}

// cut closes a connection without waiting for its peer. TLS would say farewell first, for up to five
// seconds if nobody takes it; where a side has ended properly, closeWrite has said it already.
func cut(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		over.NetConn().Close()
	}
	c.Close()
}

func (t *tunnel) overdue(now int64) Reason {
	idle := t.limits.Idle
	if t.half.Load() {
		idle = min(idle, t.limits.HalfIdle)
	}
	switch {
	case t.limits.Lifetime > 0 && now-t.begun > int64(t.limits.Lifetime):
		return Lifetime
	case now-t.active.Load() > int64(idle)+int64(tick):
		return Idle
	}
	return none
}

// flow carries one direction until src's end (io.EOF), or a failure.
func (t *tunnel) flow(src, dst net.Conn, early []byte, n *atomic.Int64) error {
	s := newSource(src, &t.r.buffers)
	for p := early; ; {
		if len(p) > 0 {
			t.active.Store(t.r.now.Load())
			k, err := dst.Write(p)
			n.Add(int64(k))
			if err != nil {
				s.done()
				return errWrite
			}
			t.active.Store(t.r.now.Load())
		}
		s.done()
		var err error
		p, err = s.next()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return errRead
		}
	}
}

// closeWrite tells dst that nothing more comes. A connection that cannot be closed by halves is closed
// whole.
func closeWrite(dst net.Conn) {
	half, ok := dst.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		dst.Close()
	}
}

func (t *tunnel) info() Info {
	i := Info{
		ID: t.id, Route: t.opts.Route, Target: t.opts.Target, Protocol: t.opts.Protocol,
		Start:  t.r.start.Add(time.Duration(t.begun)),
		Active: t.r.start.Add(time.Duration(t.active.Load())),
		In:     t.in.Load(), Out: t.out.Load(), Half: t.half.Load(),
	}
	if a := t.client.RemoteAddr(); a != nil {
		i.Client = a.String()
	}
	return i
}
