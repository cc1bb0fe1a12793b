package proxy

import (
	"bytes"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy/route"
)

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
		x.note(StateRecv, x.verdict.reason, "")
		return StateSynth
	}
	q := x.Req
	if q.Minor == 0 {
		o.Proto = "HTTP/1.0"
	}
	o.Method, o.Target = q.Method, q.Target
	o.UserAgent, o.Referer = q.Fields.Get("User-Agent"), q.Fields.Get("Referer")
	x.gen.Clients.Identify(&x.id, x.Peer.Addr(), o.Scheme, q.Fields)
	o.Client, o.Scheme = x.id.Client, x.id.Scheme
	x.host = q.Host
	if x.id.Host != nil {
		x.host = x.id.Host
	}
	x.lowerHost()
	o.Host = x.host
	o.RequestID = x.gen.Clients.RequestID(q.Fields, x.id.Trusted)
	if o.RequestID == nil {
		o.RequestID = x.newID()
	}
	switch {
	case string(q.Method) == "CONNECT":
		x.Res.Close = true
		return x.refuse(StateRecv, 405, ReasonConnect, "This gateway is no forward proxy.")
	case string(q.Method) == "TRACE":
		return x.refuse(StateRecv, 405, ReasonTrace, "")
	case x.gen.Clients.Looping(q.Fields):
		return x.refuse(StateRecv, 508, ReasonLoop, "The request has passed through this gateway before.")
	}
	x.gen.Clients.Clean(&q.Fields, x.id.Trusted)
	x.note(StateRecv, "", "")
	return StateRoute
}

// lowerHost writes the host in lower case, which means the same (RFC 9110 §4.2.3): what is keyed is what is
// forwarded, and an origin that compares the bytes must not answer one spelling for all of them.
func (x *Exchange) lowerHost() {
	for i, c := range x.host {
		if 'A' <= c && c <= 'Z' {
			x.host = x.keepBytes(x.host)
			for j := i; j < len(x.host); j++ {
				if c := x.host[j]; 'A' <= c && c <= 'Z' {
					x.host[j] = c + ('a' - 'A')
				}
			}
			return
		}
	}
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
	x.note(StateAdmit, "", "")
	return StateDispatch
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
		return StateTunnel
	}
	m, form := string(x.Req.Method), x.Req.Form
	if (m == "GET" || m == "HEAD") && (form == http1.OriginForm || form == http1.AbsoluteForm) {
		x.note(StateDispatch, "", "")
		return StateLookup
	}
	x.Out.Cache, x.Out.CacheReason = CacheBypass, Reason(cache.BypassMethod)
	x.note(StateDispatch, x.Out.CacheReason, "")
	return StateFetch
}

// upgrades reports whether the client asks for a tunnel that tzero offers. h2c is not among them: such a
// request is answered as HTTP/1.1, as RFC 9110 §7.8 permits.
func (x *Exchange) upgrades() bool {
	return x.Req.Upgrade != nil && x.Body == nil && string(x.Req.Method) == "GET" &&
		!field.List{{Name: []byte("Upgrade"), Value: x.Req.Upgrade}}.HasToken("Upgrade", "h2c") && !bytes.HasPrefix(x.Req.Upgrade, []byte("h2"))
}
