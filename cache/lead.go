package cache

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/tzero-edge/tzero/cache/flight"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// maxLeases is how often one request may stand for election. A request whose second leader failed too goes
// alone, so that nobody waits for ever behind an origin that fails everybody.
const maxLeases = 2

// Turn says what became of a request in Lead.
type Turn uint8

// The turns.
const (
	// Led: run was executed by this request; the Fill and the error are what it returned.
	Led Turn = iota
	// Joined: another one's Fill answers this request too.
	Joined
	// OnYourOwn: the leader's answer is nobody else's; fetch, and offer the answer to Begin.
	OnYourOwn
	// LookAgain: the leader failed, or got another variant; Lookup once more.
	LookAgain
	// FromShared: the tier that processes share had it. The Result says so as Lookup would.
	FromShared
)

var turnNames = [...]string{"led", "joined", "alone", "again", "shared"}

func (t Turn) String() string { return turnNames[t] }

// Lead elects one of all requests that miss the same object now. The elected one executes run in its own
// goroutine; run asks the origin and returns at the head of the response with what Begin, Freshen or
// ServeStale gave it, or with an error. The others wait for that moment. A panic in run becomes an error of
// type *flight.Panicked.
//
// Reason in res is set for OnYourOwn and LookAgain; err is the leader's where there was one.
func (c *Cache) Lead(q *Request, res *Result, run func() (*Fill, error)) (*Fill, Turn, error) {
	if q.leases++; q.leases > maxLeases {
		res.Verdict, res.Reason = Alone, BypassLeases
		return nil, OnYourOwn, nil
	}
	found := false
	f, led, err := c.flights.Do(c.flightOf(q, res), func() (*Fill, error) {
		// Since Lookup another flight may have begun and ended: without this second look a request that was
		// held up between Lookup and here would fetch what is stored by now.
		if f := c.lookAgain(q, res); f != nil {
			found = true
			return f, nil
		}
		f, there, err := c.leadShared(q, res, func() (*Fill, error) {
			res.epoch = c.epochs.Latest()
			return run()
		})
		found = there
		return f, err
	})
	var p *flight.Panicked
	if led && errors.As(err, &p) {
		c.count.add(countPanic)
	}
	switch {
	case led && !found:
		return f, Led, err
	case err != nil || f == nil:
		res.Reason = MissFailed
		return nil, LookAgain, err
	}
	turn := c.join(q, res, f)
	if turn == Joined && f.shared {
		turn = c.fromShared(q, res, f)
	}
	return f, turn, nil
}

// flightOf names what a miss waits for. A flight from before a write is not for those who begin after it: the epoch parts
// them.
func (c *Cache) flightOf(q *Request, res *Result) string {
	name := binary.LittleEndian.AppendUint64(q.withSuffix(res.record), uint64(c.writes.epoch(q.hash)))
	name = binary.LittleEndian.AppendUint64(name, c.epochs.Latest())
	if res.Partial {
		name = q.appendRange(name)
	}
	return string(name)
}

// Sought reports whether another request that misses the same object is being led: Lead would wait for it.
func (c *Cache) Sought(q *Request, res *Result) bool { return c.flights.Running(c.flightOf(q, res)) }

// lookAgain returns a fill, running or stored, that came up since Lookup, or that Lookup missed because it looked into the
// tier before the object was visible there and into the table after the fill had left it. What was received after the
// request began is new enough for it, whatever it wishes; what came before has to be as good as a hit.
func (c *Cache) lookAgain(q *Request, res *Result) *Fill {
	r := Result{Verdict: Miss, began: res.began}
	if f := c.fills.find(q, &r, res.began); f != nil {
		return f
	}
	c.find(q, &r, res.began)
	if res.Partial && !r.Object.Exists() {
		r.Object = c.findPart(q, &r, res.began)
	}
	o := r.Object
	switch {
	case !o.Exists(), c.purged(o) != purge.Clean:
		return nil
	case res.Object.Exists() && o.ID() == res.Object.ID() && o.Received().Equal(res.Object.Received()):
		return nil // what Lookup saw, and was not content with
	case o.Traits()&rfc9111.TraitShareable == 0:
		return nil
	case o.Received().Before(res.began.Truncate(time.Millisecond)) && !o.fresh(q, res.began):
		return nil
	}
	return c.whole(q, o, r.record)
}

// join decides whether the leader's fill answers q.
func (c *Cache) join(q *Request, res *Result, f *Fill) Turn {
	uncacheable := f.State() == Uncacheable
	switch {
	case uncacheable && f.class != q.class():
		// It proved uncacheable for others than us; our kind elects its own leader.
		res.Reason = MissOther
		return LookAgain
	case uncacheable, !f.shareable:
		res.Verdict, res.Reason = Alone, BypassNotShared
		return OnYourOwn
	case f.transient && q.class() == 0 && f.answers(q):
		return Joined
	case f.transient:
		res.Verdict, res.Reason = Alone, BypassNotShared
		return OnYourOwn
	case !f.answers(q):
		res.Reason = MissOther
		return LookAgain
	}
	return Joined
}

// whole wraps a stored object as a fill that is complete.
func (c *Cache) whole(q *Request, o, record Object) *Fill {
	f := &Fill{
		c: c, class: q.class(), status: o.Status(), state: Complete, object: o, head: o,
		primary: q.hash, record: record, shareable: true, total: int64(len(o.Body())),
	}
	f.judged.Traits = o.Traits()
	return f
}

// ServeStale gives, as the leader's answer and for everybody who waited, the stored object in place of an
// origin that failed. Request.OnFailure says when that is allowed.
func (c *Cache) ServeStale(q *Request, res *Result, reason Reason) *Fill {
	f := c.whole(q, res.Object, res.record)
	f.reason = reason
	return f
}
