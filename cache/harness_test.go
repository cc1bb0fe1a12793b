package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// memTier is a tier that shows a Set at once, or, when held back, at the next Wait.
type memTier struct {
	mu      sync.Mutex
	m       map[uint64]Object
	hold    bool // Sets wait for Wait
	drop    bool // Sets are dropped
	reject  bool // Sets are accepted and never visible
	pending map[uint64]Object
	waits   int
	missed  func() // called once, after the next Get that finds nothing
}

func newMemTier() *memTier { return &memTier{m: map[uint64]Object{}, pending: map[uint64]Object{}} }

func (t *memTier) Get(h uint64) Object {
	t.mu.Lock()
	o := t.m[h]
	missed := t.missed
	if o.Exists() {
		missed = nil
	}
	if missed != nil {
		t.missed = nil
	}
	t.mu.Unlock()
	if missed != nil {
		missed()
	}
	return o
}

func (t *memTier) Set(h uint64, o Object) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.drop:
		return false
	case t.reject:
	case t.hold:
		t.pending[h] = o
	default:
		t.m[h] = o
	}
	return true
}

func (t *memTier) Del(h uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, h)
	delete(t.pending, h)
}

func (t *memTier) Peek(h uint64) Object { return t.Get(h) }
func (t *memTier) Pin(uint64) bool      { return false }
func (t *memTier) Unpin(uint64)         {}

func (t *memTier) Wait() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h, o := range t.pending {
		t.m[h] = o
	}
	clear(t.pending)
	t.waits++
}

func (t *memTier) Stats() TierStats { return TierStats{Capacity: 1 << 30} }
func (t *memTier) Close()           {}

// list makes a field list of "Name: value" lines.
func list(lines ...string) field.List {
	var l field.List
	for _, s := range lines {
		name, value, _ := strings.Cut(s, ":")
		l.AddString(name, strings.TrimSpace(value))
	}
	return l
}

// content is an origin's body in pieces; each piece is sent when its gate opens.
type content struct {
	pieces chan []byte // closed: the end
	rest   []byte
	err    error // instead of the end
	whole  bool  // the framing proves the end
	ready  bool
	closed atomic.Int32
}

func text(s string) *content {
	c := &content{pieces: make(chan []byte, 1), whole: true, ready: true}
	c.pieces <- []byte(s)
	close(c.pieces)
	return c
}

func stream() *content { return &content{pieces: make(chan []byte), whole: true} }

func (c *content) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		piece, ok := <-c.pieces
		if !ok {
			if c.err != nil {
				return 0, c.err
			}
			return 0, io.EOF
		}
		c.rest = piece
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *content) Ready() bool { return c.ready }
func (c *content) Done() bool  { return c.whole }
func (c *content) Close() error {
	c.closed.Add(1)
	return nil
}

// response is what an origin answers with.
type response struct {
	head Head
	body *content
	err  error
}

func ok200(body string, lines ...string) response {
	return response{head: Head{Status: 200, Fields: list(lines...), Length: int64(len(body))}, body: text(body)}
}

// answer is what a client got.
type answer struct {
	status  int
	fields  field.List
	body    string
	err     error
	verdict Verdict
	turn    Turn
	reason  Reason
	age     time.Duration
	held    rfc9111.Span // of a 206 made here
}

// world is a gateway in miniature: one cache, one origin, and the journey between them as the package's
// comment describes it.
type world struct {
	t      testing.TB
	c      *Cache
	tier   *memTier
	policy *Policy
	origin func(q *Request, fetch field.List) response
	asked  atomic.Int64
}

func newWorld(t testing.TB, change func(*RouteConfig), origin func(q *Request, fetch field.List) response) *world {
	t.Helper()
	route := DefaultRoute()
	if change != nil {
		change(&route)
	}
	if p := route.Validate(); len(p) > 0 {
		t.Fatalf("route: %v", p)
	}
	policy, err := route.Compile()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, tier: newMemTier(), policy: policy, origin: origin}
	cfg := Default()
	cfg.MaxObject = 1 << 20
	cfg.Jitter = 0
	w.c = New(cfg, w.tier)
	w.c.exponential = func() float64 { return 0 }
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if err := w.c.Close(ctx); err != nil {
			t.Error(err)
		}
		if n := w.c.held.Load(); n != 0 {
			t.Errorf("%d bytes still held by fills", n)
		}
	})
	return w
}

func (w *world) request(path string, lines ...string) *Request {
	q := &Request{Method: []byte("GET"), Scheme: "https", Host: []byte("example.com"), Policy: w.policy}
	p, query, has := strings.Cut(path, "?")
	q.Path, q.Query, q.HasQuery = []byte(p), []byte(query), has
	q.Fields = list(lines...)
	return q
}

func (w *world) get(path string, now time.Time, lines ...string) answer {
	return w.do(w.request(path, lines...), now)
}

// do takes one request through the journey.
func (w *world) do(q *Request, now time.Time) answer {
	for {
		res := w.c.Lookup(q, now)
		switch res.Verdict {
		case Hit, Stale:
			if res.Refresh {
				w.c.Refresh(q, &res, func(q *Request, res *Result) (*Fill, error) {
					var own response
					f, err := w.fetch(q, res, now, &own)
					if err == nil && f.State() == Uncacheable {
						own.body.Close()
					}
					return f, err
				})
			}
			return w.fromObject(q, &res, res.Object, now)
		case Follow:
			return w.fromFill(q, &res, res.Fill, now)
		case Refuse:
			return answer{status: 504, verdict: Refuse, reason: res.Reason}
		case Alone:
			return w.alone(q, &res, now)
		}
		var own response
		f, turn, err := w.c.Lead(q, &res, func() (*Fill, error) { return w.fetch(q, &res, now, &own) })
		switch turn {
		case Led:
			return w.led(q, &res, f, err, &own, now)
		case Joined:
			if f.Reason() == FillShared {
				return answer{status: f.Head().Status(), verdict: res.Verdict, turn: Joined, reason: FillShared}
			}
			a := w.fromFill(q, &res, f, now)
			a.turn = Joined
			return a
		case OnYourOwn:
			return w.alone(q, &res, now)
		}
	}
}

func (w *world) fetch(q *Request, res *Result, now time.Time, own *response) (*Fill, error) {
	w.asked.Add(1)
	fetch := q.Fields.Clone()
	if !res.Raw {
		fetch = fetch[:0:0]
		for _, f := range q.Fields {
			if !rfc9111.ConditionalField(f.Name) && !field.EqualFold(f.Name, "Range") {
				fetch = append(fetch, f)
			}
		}
	}
	if !res.Raw {
		res.AppendConditions(&fetch, q.Fields)
	}
	*own = w.origin(q, fetch)
	switch {
	case own.err != nil:
		if ok, reason := q.OnFailure(res, rfc9111.FailureDown, now); ok {
			return w.c.ServeStale(q, res, reason), nil
		}
		return nil, own.err
	case res.Completing() && (own.head.Status == 206 || own.head.Status == 416):
		if head, body, ok := w.c.Complete(res, own.head, own.body, now); ok {
			if f := w.c.Begin(q, res, head, body, now, now); f.State() != Uncacheable {
				return f, nil
			}
		}
		own.body.Close()
		return w.fetch(q, res, now, own)
	case own.head.Status == 304 && res.Validating():
		return w.c.Freshen(q, res, own.head, now, now), nil
	case rfc9111.FailureOf(own.head.Status):
		if ok, reason := q.OnFailure(res, rfc9111.FailureStatus, now); ok {
			own.body.Close()
			return w.c.ServeStale(q, res, reason), nil
		}
	}
	return w.c.Begin(q, res, own.head, own.body, now, now), nil
}

func (w *world) alone(q *Request, res *Result, now time.Time) answer {
	var own response
	f, err := w.fetch(q, res, now, &own)
	a := w.led(q, res, f, err, &own, now)
	a.verdict = Alone
	return a
}

func (w *world) led(q *Request, res *Result, f *Fill, err error, own *response, now time.Time) answer {
	if err != nil {
		return answer{status: 502, err: err, verdict: res.Verdict}
	}
	if f.State() != Uncacheable {
		return w.fromFill(q, res, f, now)
	}
	if o := f.Object(); o.Exists() {
		return w.fromObject(q, res, o, now)
	}
	b, err := io.ReadAll(own.body)
	own.body.Close()
	return answer{status: own.head.Status, fields: own.head.Fields, body: string(b), err: err,
		verdict: res.Verdict, reason: f.Reason()}
}

func (w *world) fromFill(q *Request, res *Result, f *Fill, now time.Time) answer {
	if o := f.Object(); o.Exists() {
		a := w.fromObject(q, res, o, now)
		a.reason = f.Reason()
		return a
	}
	r := f.Reader(nil)
	defer r.Close()
	h := f.Head()
	status, held := h.Status(), rfc9111.Span{}
	if rg, ok := f.Range(q.Fields, now); ok && !q.head() {
		whence, _ := f.Held()
		status, held = 206, rg.Span
		r.Only(rg.Offset-whence.Offset, rg.Length)
	} else if h.Partial() {
		held, _ = f.Held()
	}
	var b bytes.Buffer
	_, err := r.WriteTo(&b)
	return answer{status: status, held: held, fields: h.Fields(nil), body: b.String(), err: err, verdict: res.Verdict,
		reason: f.Reason(), age: h.Age(now)}
}

func (w *world) fromObject(q *Request, res *Result, o Object, now time.Time) answer {
	a := answer{status: o.Status(), fields: o.Fields(nil), verdict: res.Verdict, reason: res.Reason, age: o.Age(now)}
	if o.Condition(q.Fields, now) == rfc9111.NotModified {
		a.status = 304
		return a
	}
	body, held := o.Body(), o.Held()
	r := o.Range(q.Fields, now)
	if o.Partial() && !r.Within(held) {
		r = rfc9111.Range{Kind: rfc9111.Part, Span: held}
	}
	switch r.Kind {
	case rfc9111.Part:
		a.status, a.held, body = 206, r.Span, body[r.Offset-held.Offset:r.End()-held.Offset]
	case rfc9111.Unsatisfiable:
		a.status, body = 416, nil
	}
	if !q.head() {
		a.body = string(body)
	}
	return a
}

// numbered is an origin whose bodies count its answers.
func numbered(lines ...string) func(*Request, field.List) response {
	var n atomic.Int64
	return func(*Request, field.List) response {
		return ok200("body "+strconv.FormatInt(n.Add(1), 10), lines...)
	}
}

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func date(t time.Time) string { return string(rfc9111.AppendDate(nil, t)) }

func (a answer) String() string {
	return fmt.Sprintf("%s %d %q (%s) err=%v", a.verdict, a.status, a.body, a.reason, a.err)
}

var errDown = errors.New("connection refused")
