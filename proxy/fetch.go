package proxy

import (
	"bytes"
	"errors"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy/origin"
)

// describe tells the cache what the request is about, on the terms of a route. Reset has cleared the rest.
func (x *Exchange) describe(p *Plan) {
	q, w := x.Req, &x.want
	w.Method, w.Scheme, w.Host = q.Method, x.Out.Scheme, x.host
	w.Path, w.Query, w.HasQuery, w.HasBody = q.Path, q.Query, q.HasQuery, x.Body != nil
	w.Fields = q.Fields
	if m := x.memory(); m != nil {
		w.Known = &m.found
	}
	p.terms(w)
}

// terms puts a request to the cache on the terms of the plan's route.
func (p *Plan) terms(w *cache.Request) {
	w.Policy, w.Variant = p.Cache, nil
	if p.Route.HeaderBound {
		// Two routes that share a host and a path and differ by a header must not share objects.
		w.Variant = []byte(p.Route.Name)
	}
}

const brokeOff = "The app behind this gateway broke off its answer."

// maxLookups bounds how often a request asks the cache: once, and once more when its leader failed.
const maxLookups = 2

func (x *Exchange) fetchForAll() State {
	if !x.permitted && !x.joins() {
		return x.lookOrRefuse()
	}
	fill, turn, err := x.edge.cache.Lead(&x.want, &x.look, func() (*cache.Fill, error) {
		if !x.permitted {
			return nil, errNotPermitted
		}
		return x.lead(&x.want, &x.look)
	})
	if !x.permitted && (turn == cache.Led || turn == cache.OnYourOwn || turn == cache.LookAgain) {
		return x.lookOrRefuse() // whom it was to join is gone
	}
	switch turn {
	case cache.Led:
		return x.led(fill, err)
	case cache.Joined:
		x.spared()
		x.fill = fill
		x.note(StateFetch, ReasonFollower, "")
		return StateFollow
	case cache.FromShared:
		return x.foundShared()
	case cache.OnYourOwn:
		x.Out.Cache, x.Out.CacheReason = CacheBypass, Reason(x.look.Reason)
		x.note(StateFetch, x.Out.CacheReason, "")
		return x.fetchAlone()
	}
	var failed *origin.Error
	if errors.As(err, &failed) && x.lookups >= maxLookups {
		// The leader and its successor failed. To let everybody try for himself would be a stampede
		// towards an origin that is down.
		return x.failure(StateFetch, failed)
	}
	x.note(StateFetch, ReasonAgain, "")
	if x.lookups >= 2*maxLookups {
		return x.fetchAlone()
	}
	return StateLookup
}

// lookOrRefuse is for a request that may not reach the origin and has nobody to join: what it asks for may be stored by now.
func (x *Exchange) lookOrRefuse() State {
	if x.lookups >= maxLookups {
		return x.decided(StateFetch, false, StateSynth)
	}
	x.note(StateFetch, ReasonAgain, "")
	x.receipt.Forgive()
	return StateLookup
}

// foundShared answers with what another node stored.
func (x *Exchange) foundShared() State {
	x.spared()
	x.object = x.look.Object
	x.Out.Cache, x.Out.CacheReason = CacheShared, Reason(cache.HitShared)
	if x.look.Verdict == cache.Stale {
		x.Out.Cache, x.Out.CacheReason = CacheStale, Reason(x.look.Reason)
	}
	x.note(StateFetch, x.Out.CacheReason, "shared")
	if x.look.Refresh {
		x.refreshLater()
	}
	return StateDeliver
}

// led continues with what this request, elected, brought home.
func (x *Exchange) led(fill *cache.Fill, err error) State {
	var failed *origin.Error
	switch {
	case errors.As(err, &failed):
		return x.failure(StateFetch, failed)
	case err != nil:
		panic(err) // a panic in lead, handed on by the cache: it costs this request
	}
	x.note(StateFetch, ReasonLeader, string(fill.Reason()))
	switch {
	case fill.Object().Exists() && x.Out.OriginStatus == 304:
		x.Out.Cache, x.Out.CacheReason = CacheRevalidated, ReasonValidated
		x.object = fill.Object()
	case x.Out.Cache == CacheStale:
		x.object = fill.Object()
	case fill.State() == cache.Uncacheable:
		x.Out.CacheReason = Reason(fill.Reason())
	case fill.State() == cache.Failed:
		// It broke off before a byte went to the client: an honest error is better than half a page.
		x.Out.Fault = FaultOrigin
		return x.refuse(StateFetch, 502, Reason(fill.Reason()), brokeOff)
	default:
		x.fill = fill
		x.Out.CacheReason = Reason(x.look.Reason)
	}
	return StateDeliver
}

// lead asks the origin on behalf of everybody who waits for q. It returns at the head of the response; an
// answer that nobody else may have stays in x.answer.
func (x *Exchange) lead(q *cache.Request, r *cache.Result) (*cache.Fill, error) {
	res, fill, failed := x.askForAll(q, r)
	switch {
	case failed != nil:
		return nil, failed
	case fill != nil:
		return fill, nil
	case r.Completing() && (res.Status == 206 || res.Status == 416 || res.Status == 304): // the last is no answer to If-Range
		if fill := x.complete(q, r, res); fill != nil {
			return fill, nil
		}
		return x.lead(q, r) // for the whole
	}
	return x.offer(q, r, res), nil
}

// complete makes a whole of what is held and what came. nil where that cannot be: then nothing is held any more.
func (x *Exchange) complete(q *cache.Request, r *cache.Result, res *origin.Response) *cache.Fill {
	body := &fillBody{res: *res} // it outlives this exchange
	head, whole, ok := x.edge.cache.Complete(r, x.head(res), body, x.came)
	if ok {
		if fill := x.edge.cache.Begin(q, r, head, whole, x.asked, x.came); fill.State() != cache.Uncacheable {
			return fill
		}
	}
	_ = body.Close()
	return nil
}

// askForAll asks the origin for what everybody may have, if it proves so. Where a stale object stands in for a failure,
// that is the Fill.
func (x *Exchange) askForAll(q *cache.Request, r *cache.Result) (*origin.Response, *cache.Fill, *origin.Error) {
	x.query(forAll)
	res, failed := x.send()
	if failed != nil {
		if ok, reason := q.OnFailure(r, rfc9111.FailureDown, x.came); ok {
			return nil, x.standIn(q, r, reason, failed), nil
		}
		return nil, nil, failed
	}
	if rfc9111.FailureOf(res.Status) {
		if ok, reason := q.OnFailure(r, rfc9111.FailureStatus, x.came); ok {
			_ = res.Close()
			return nil, x.standIn(q, r, reason, nil), nil
		}
	}
	x.gen.Clients.EndToEnd(&x.ends, res.Fields)
	x.withhold(&x.ends)
	return res, nil, nil
}

// head is the answer as the cache judges it.
func (x *Exchange) head(res *origin.Response) cache.Head {
	h := cache.Head{Status: res.Status, Fields: x.ends, Length: res.Length, UntilClose: res.CloseDelimited}
	for i := range res.Fields {
		if f := res.Fields[i]; x.want.Policy.Own(f.Name) {
			h.Own = append(h.Own, f)
		}
	}
	return h
}

// offer gives an answer to the cache. One that it does not take stays in x.answer.
func (x *Exchange) offer(q *cache.Request, r *cache.Result, res *origin.Response) *cache.Fill {
	if namesFields(res.Fields) {
		x.own = x.ends.Clone()
	}
	if res.Status == 304 && r.Validating() {
		fill := x.edge.cache.Freshen(q, r, x.head(res), x.asked, x.came)
		_ = res.Close()
		return fill
	}
	body := &fillBody{res: *res} // it outlives this exchange
	fill := x.edge.cache.Begin(q, r, x.head(res), body, x.asked, x.came)
	if fill.State() == cache.Uncacheable {
		x.answer = &body.res
	}
	return fill
}

// withhold takes out what the origin said to this cache alone.
func (x *Exchange) withhold(fields *field.List) { x.plan.Cache.Withhold(fields) }

// namesFields reports whether Cache-Control, or what stands in for it, names fields that are not to be stored, as
// no-cache="Set-Cookie" does (RFC 9111 §5.2.2.4, §5.2.2.7). That speaks of what is kept: the one who asked gets them.
func namesFields(fields field.List) bool {
	for i := range fields {
		if bytes.Contains(fields[i].Value, []byte("=\"")) && bytes.HasSuffix(bytes.ToLower(fields[i].Name), []byte("cache-control")) {
			return true
		}
	}
	return false
}

// standIn answers with the stale object in the failed origin's place.
func (x *Exchange) standIn(q *cache.Request, r *cache.Result, reason cache.Reason, failed *origin.Error) *cache.Fill {
	o := &x.Out
	o.Cache, o.CacheReason, o.Fault = CacheStale, Reason(reason), FaultOrigin
	if failed != nil {
		o.Err = failed.Error()
	}
	return x.edge.cache.ServeStale(q, r, reason)
}

// fetchAlone asks the origin for this client. What may be stored all the same is offered to the cache.
func (x *Exchange) fetchAlone() State {
	offer := x.lookups > 0 && !x.look.Raw && (x.look.Partial || !conditional(x.Req))
	if offer {
		return x.fetchAndOffer()
	}
	x.query(forOne)
	res, failed := x.send()
	if failed != nil {
		return x.standInOr(failed)
	}
	x.answer = res
	x.note(StateFetch, "", "")
	if x.lookups > 0 && x.isHead() && x.look.Object.Exists() {
		x.gen.Clients.EndToEnd(&x.ends, res.Fields)
		x.withhold(&x.ends)
		x.edge.cache.Headed(&x.want, &x.look, x.head(res), x.asked, x.came)
	}
	if rfc9111.Invalidates(x.Req.Method, res.Status) {
		x.written(res)
	}
	return StateDeliver
}

// fetchAndOffer asks for this client what others may have, if it proves so against expectation.
func (x *Exchange) fetchAndOffer() State {
	res, fill, failed := x.askForAll(&x.want, &x.look)
	switch {
	case failed != nil:
		return x.failure(StateFetch, failed)
	case fill != nil:
		return x.led(fill, nil)
	case res.Status != 304 || !x.look.Validating():
		head := x.head(res)
		if reason := x.edge.cache.Declines(&x.want, &x.look, &head, x.came); reason != "" {
			x.answer = res
			x.Out.CacheReason = Reason(reason)
			x.note(StateFetch, ReasonLeader, string(reason))
			return StateDeliver
		}
	}
	return x.led(x.offer(&x.want, &x.look, res), nil)
}

// standInOr answers with a stale object where there is one and it may be used, else with the failure.
func (x *Exchange) standInOr(failed *origin.Error) State {
	if x.lookups > 0 {
		if ok, reason := x.want.OnFailure(&x.look, rfc9111.FailureDown, x.now()); ok {
			x.object = x.look.Object
			o := &x.Out
			o.Cache, o.CacheReason, o.Fault, o.Err = CacheStale, Reason(reason), FaultOrigin, failed.Error()
			x.note(StateFetch, o.CacheReason, "")
			return StateDeliver
		}
	}
	return x.failure(StateFetch, failed)
}

// written tells the cache of an unsafe request that succeeded: what is stored for its target is void, and so is what
// its answer names as Location and Content-Location (RFC 9111 §4.4). The keys are those that a GET would have:
// writes may have a route of their own. The answer to a POST may be stored there.
func (x *Exchange) written(res *origin.Response) {
	q := x.Req
	x.describe(x.plan)
	x.want.Route = x.getRoute
	if !x.getRoute(&x.want) || !x.want.Policy.StoresPosts() || string(q.Method) != "POST" || conditional(q) {
		x.edge.cache.Written(&x.want, x.id.Client, res.Fields, x.came)
		return
	}
	x.gen.Clients.EndToEnd(&x.ends, res.Fields)
	x.withhold(&x.ends)
	body := &fillBody{res: *res}
	x.fill = x.edge.cache.Posted(&x.want, x.id.Client, x.head(res), body, x.asked, x.came)
	x.answer = &body.res
	if x.fill != nil {
		x.answer = nil
	}
}

// getRoute puts a request to the cache on the terms of the route that a GET of it has; false where there is none, or it
// stores nothing.
func (x *Exchange) getRoute(w *cache.Request) bool {
	r, _ := x.gen.Table.Match(w.Scheme, w.Host, w.Path, methodGet, x.Req.Fields)
	if r == nil || !x.gen.Plans[r.Index].Cache.Stores() {
		return false
	}
	x.gen.Plans[r.Index].terms(w)
	return true
}

var methodGet = []byte("GET")

// conditional reports whether the client asked for less than the whole.
func conditional(q *http1.Request) bool {
	for i := range q.Fields {
		if rfc9111.ConditionalField(q.Fields[i].Name) || field.EqualFold(q.Fields[i].Name, "Range") {
			return true
		}
	}
	return false
}

// refreshLater has the stale object renewed in the background, on the same road, by an exchange of its own.
func (x *Exchange) refreshLater() {
	x.edge.cache.Refresh(&x.want, &x.look, x.background())
}

// background returns the function that fetches for a refresh. It works on copies: this exchange is over
// long before.
func (x *Exchange) background() func(*cache.Request, *cache.Result) (*cache.Fill, error) {
	edge, gen, plan, id, tls := x.edge, x.gen, x.plan, x.id, x.TLS
	requestID := append([]byte(nil), x.Out.RequestID...)
	return func(q *cache.Request, r *cache.Result) (*cache.Fill, error) {
		req := &http1.Request{Method: q.Method, Path: q.Path, Query: q.Query, HasQuery: q.HasQuery, Minor: 1, Fields: q.Fields}
		b := &Exchange{Req: req, TLS: tls, Carrier: nobody{}, Started: time.Now()}
		b.edge, b.gen, b.plan, b.id, b.host = edge, gen, plan, id, q.Host
		b.Out.RequestID, b.Out.Scheme = requestID, q.Scheme
		b.want, b.look = *q, *r
		fill, err := b.lead(q, r)
		if b.answer != nil {
			_ = b.answer.Close()
		}
		return fill, err
	}
}

// nobody carries exchanges that no client waits for.
type nobody struct{ Carrier }

func (nobody) Interim(int, field.List) error { return nil }
func (nobody) Gone() <-chan struct{}         { return nil }

// fillBody is an origin's response as the cache reads it.
type fillBody struct{ res origin.Response }

func (b *fillBody) Read(p []byte) (int, error) { return b.res.Body.Read(p) }
func (b *fillBody) Ready() bool                { return b.res.Body.Ready() }
func (b *fillBody) Done() bool                 { return b.res.Body.Done() }
func (b *fillBody) Close() error               { return b.res.Close() }

// Abort makes a waiting Read return; the cache calls it for fills that nobody reads any more.
func (b *fillBody) Abort() { b.res.Body.Abort() }
