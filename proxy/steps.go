package proxy

import (
	"fmt"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/route"
)

// The journey, in the order in which a request can meet its states. Each function decides one thing, notes why,
// and names the next state; transitions.go lists the legal moves.
//
//	recv      what the door refused is answered; who is asking?
//	route     which route takes it?
//	admit     deny list, and limits that count every request
//	dispatch  redirect, fixed answer, tunnel, cache or straight to the origin?
//	lookup    is it stored, or being fetched by somebody?
//	follow    read along with another request's fill
//	permit    limits that count what reaches the origin
//	fetch     ask the origin: for everybody, if elected, or for this client
//	tunnel    switch protocols and connect both ends
//	deliver   make the answer from what came
//	synth     make an answer of our own
//
// Follow, fetch and tunnel can wait for somebody else (waits, in edge.go), and permit where a rate limit is exact; all others
// answer from what is here.

// stepRecv takes the request in: what the door refused is answered, the client is identified.
func stepRecv(x *Exchange) State {
	o := &x.Out
	o.Proto, o.Peer, o.Client = "HTTP/1.1", x.Peer.Addr(), x.Peer.Addr()
	o.Scheme = "http"
	if x.TLS {
		o.Scheme = "https"
	}
	if x.Refusal != nil {
		o.RequestID, o.Fault = x.newID(), FaultClient
		x.verdict = verdict{status: x.Refusal.Status, reason: Reason(x.Refusal.Reason), detail: x.Refusal.Detail, close: true}
		o.Err = x.Refusal.Detail
		x.note(StateRecv, x.verdict.reason, "")
		return StateSynth
	}
	q := x.Req
	if q.Minor == 0 {
		o.Proto = "HTTP/1.0"
	}
	o.Method, o.Target = q.Method, q.Target
	x.gen.Clients.Identify(&x.id, x.Peer.Addr(), o.Scheme, q.Fields)
	o.Client, o.Scheme = x.id.Client, x.id.Scheme
	x.host = q.Host
	if x.id.Host != nil {
		x.host = x.id.Host
	}
	x.lowerHost()
	o.Host = x.host
	var seen headers.Seen
	if x.Before != nil {
		x.gen.Clients.ReceiveFrom(&x.Before.received, q.Section, &q.Fields, x.id.Trusted, &seen)
	} else {
		x.gen.Clients.Receive(&q.Fields, x.id.Trusted, &seen)
	}
	o.UserAgent, o.Referer, o.RequestID = seen.UserAgent, seen.Referer, seen.RequestID
	if o.RequestID == nil {
		o.RequestID = x.newID()
	}
	switch {
	case string(q.Method) == "CONNECT":
		x.Res.Close = true
		return x.refuse(StateRecv, 405, ReasonConnect, "This gateway is no forward proxy.")
	case string(q.Method) == "TRACE":
		return x.refuse(StateRecv, 405, ReasonTrace, "")
	case x.gen.Clients.Looping(seen.Loops):
		return x.refuse(StateRecv, 508, ReasonLoop, "The request has passed through this gateway before.")
	}
	x.note(StateRecv, "", "")
	return StateRoute
}

// stepRoute finds the route.
func stepRoute(x *Exchange) State {
	q := x.Req
	r, miss := x.gen.Table.Match(x.Out.Scheme, x.host, q.Path, q.Method, q.Fields)
	switch miss {
	case route.Matched:
		x.plan = &x.gen.Plans[r.Index]
		x.Out.Route = r.Name
		x.note(StateRoute, "", r.Name)
		return StateAdmit
	case route.UnknownHost:
		return x.refuse(StateRoute, 421, Reason(miss), "This gateway does not serve that host.")
	case route.WrongMethod:
		s := x.refuse(StateRoute, 405, Reason(miss), "")
		x.verdict.allow = string(x.gen.Table.AppendAllow(nil, x.Out.Scheme, x.host, q.Path, q.Fields))
		return s
	case route.AmbiguousPath:
		return x.refuse(StateRoute, 400, Reason(miss), "The path can be read in more than one way.")
	}
	return x.refuse(StateRoute, 404, Reason(miss), "Nothing is served under this address.")
}

// stepAdmit applies what holds for all requests of the route, whoever answers them.
func stepAdmit(x *Exchange) State {
	limit := x.plan.BodyLimit
	if x.Body != nil && limit > 0 {
		if x.Req.Length > limit {
			return x.refuse(StateAdmit, 413, ReasonBodyTooLarge, "The request's content is larger than this route takes.")
		}
		x.Body.SetLimit(limit)
	}
	if x.Body != nil && x.plan.BodyTime > 0 {
		x.Body.SetTimeout(x.plan.BodyTime)
	}
	if x.gen.Limits.Denies(x.id.Client) {
		x.Out.Fault = FaultClient
		return x.refuse(StateAdmit, 403, ReasonDenied, "This address may not use the site.")
	}
	return x.within(StateAdmit, x.plan.Limits.All, StateDispatch)
}

// stepDispatch goes by the route's kind.
func stepDispatch(x *Exchange) State {
	switch x.plan.Route.Kind {
	case route.KindRedirect:
		loc := x.plan.Route.AppendLocation(nil, x.Out.Scheme, x.host, x.Req.Path, x.Req.Query, x.Req.HasQuery)
		x.verdict = verdict{status: x.plan.Route.RedirectStatus(), reason: ReasonRedirect, location: string(loc)}
		x.note(StateDispatch, ReasonRedirect, "")
		return StateSynth
	case route.KindRespond:
		x.verdict = verdict{status: x.plan.Route.Config.Respond.Status, reason: ReasonFixed, fixed: x.plan.Fixed}
		x.note(StateDispatch, ReasonFixed, "")
		return StateSynth
	}
	if x.upgrades() {
		x.note(StateDispatch, ReasonUpgrade, "")
		return x.towards(StateTunnel)
	}
	m, form := string(x.Req.Method), x.Req.Form
	if (m == "GET" || m == "HEAD") && (form == http1.OriginForm || form == http1.AbsoluteForm) {
		x.note(StateDispatch, "", "")
		return StateLookup
	}
	x.Out.Cache, x.Out.CacheReason = CacheBypass, Reason(cache.BypassMethod)
	x.note(StateDispatch, x.Out.CacheReason, "")
	return x.towards(StateFetch)
}

// stepLookup asks the cache.
func stepLookup(x *Exchange) State {
	if x.lookups++; x.lookups == 1 {
		x.describe(x.plan)
	}
	x.look = x.edge.cache.Lookup(&x.want, x.now())
	o := &x.Out
	o.CacheReason = Reason(x.look.Reason)
	note := x.look.Verdict.String()
	switch x.look.Verdict {
	case cache.Hit:
		o.Cache, x.object = CacheHit, x.look.Object
		x.note(StateLookup, o.CacheReason, note)
		if x.look.Refresh && !x.dry { // it ends soon
			x.refreshLater()
		}
		return StateDeliver
	case cache.Stale:
		o.Cache, x.object = CacheStale, x.look.Object
		x.note(StateLookup, o.CacheReason, note)
		if x.look.Refresh && !x.dry {
			x.refreshLater()
		}
		return StateDeliver
	case cache.Follow:
		x.fill = x.look.Fill
		x.note(StateLookup, o.CacheReason, note)
		return StateFollow
	case cache.Refuse:
		return x.refuse(StateLookup, 504, o.CacheReason, "Nothing is stored for this request, and it asked for nothing else.")
	case cache.Alone:
		o.Cache = CacheBypass
	default:
		o.Cache = CacheMiss
	}
	x.note(StateLookup, o.CacheReason, note)
	return x.towards(StateFetch)
}

// stepFollow reads along with a fill that another request began.
func stepFollow(x *Exchange) State {
	x.Out.Cache, x.Out.CacheReason = CacheCollapsed, ""
	if x.fill.State() == cache.Failed {
		x.fill = nil
		if x.lookups < maxLookups {
			x.note(StateFollow, ReasonAgain, "")
			return StateLookup
		}
		x.Out.Fault = FaultOrigin
		return x.refuse(StateFollow, 502, Reason(cache.FillError), brokeOff)
	}
	if x.fill.Reason() == cache.FillShared {
		// The error is everybody's, its page is the leader's: debug pages repeat what a visitor sent.
		status := x.fill.Head().Status()
		x.fill = nil
		x.Out.Fault = FaultOrigin
		return x.refuse(StateFollow, status, Reason(cache.FillShared), "The app behind this gateway failed.")
	}
	x.note(StateFollow, ReasonFollower, "")
	return StateDeliver
}

// stepPermit applies what limits the requests that reach the origin. One that asks a second time, because its leader
// failed, is counted once.
func stepPermit(x *Exchange) State {
	if x.permitted {
		return x.onward
	}
	return x.permit()
}

// stepFetch asks the origin: for everybody who misses the object, if this request is elected, or for this
// client alone.
func stepFetch(x *Exchange) State {
	if x.dry {
		x.Out.Origin = x.plan.OriginName
		return x.refuse(StateFetch, 200, ReasonDry, "")
	}
	if x.forAll() {
		return x.fetchForAll()
	}
	return x.fetchAlone()
}

// stepTunnel asks the origin to switch protocols and, if it does, connects both ends. The place is taken
// first, so that nobody is told 101 and then cut.
func stepTunnel(x *Exchange) State {
	slot, err := x.edge.tunnels.Reserve()
	if err != nil {
		next := x.refuse(StateTunnel, 503, ReasonTunnels, "Too many connections of this kind are open just now.")
		x.verdict.retry = 5
		return next
	}
	defer slot.Release()
	x.Out.Cache, x.Out.CacheReason = CacheNone, ReasonUpgrade
	if x.dry {
		return x.refuse(StateTunnel, 200, ReasonDry, "")
	}
	x.query(forTunnel)
	res, failed := x.send()
	if failed != nil {
		return x.failure(StateTunnel, failed)
	}
	x.answer = res
	if res.Status != 101 {
		x.note(StateTunnel, "", "the origin declined")
		return StateDeliver
	}
	x.note(StateTunnel, ReasonUpgrade, "")
	x.connect(slot)
	return StateFinish
}

// stepDeliver makes the answer from what the journey has brought: a stored object, a fill that is still
// arriving, or the origin's own answer.
func stepDeliver(x *Exchange) State {
	switch {
	case x.object.Exists():
		x.deliverObject(x.object)
	case x.fill != nil:
		x.deliverFill(x.fill)
	default:
		x.deliverAnswer()
	}
	x.dress()
	return StateFinish
}

// stepSynth is the only place where tzero invents a body.
func stepSynth(x *Exchange) State {
	v := &x.verdict
	r := &x.Res
	r.Status, r.Close = v.status, r.Close || v.close
	if v.fixed != nil {
		r.Fields = append(r.Fields, v.fixed.fields...)
		r.Bytes = v.fixed.body
	} else {
		contentType, body := page(v, x.wants(), x.Out.RequestID)
		r.Bytes = body
		x.add("Content-Type", contentType)
		x.add("Cache-Control", keepFor(v.status))
	}
	if v.allow != "" {
		x.add("Allow", v.allow)
	}
	if v.location != "" {
		x.add("Location", v.location)
	}
	if v.retry > 0 {
		x.add("Retry-After", fmt.Sprint(v.retry))
	}
	x.Out.CacheReason = v.reason
	r.Length = int64(len(r.Bytes))
	if x.isHead() || !allowsContent(v.status) {
		r.NoBody, r.Bytes = true, nil
	}
	x.dress()
	x.note(StateSynth, v.reason, "")
	return StateFinish
}
