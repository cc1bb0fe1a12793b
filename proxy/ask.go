package proxy

import (
	"errors"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/origin"
)

// purpose says for whom the origin is asked, which decides what the request may say.
type purpose uint8

const (
	forOne    purpose = iota // this client alone: the request as it came
	forAll                   // everybody who asks for the object, or the same range of it: the keyed target, the cache's conditions
	forTunnel                // an upgrade
)

// query prepares the request to the origin in x.ask.
func (x *Exchange) query(why purpose) {
	q, p := x.Req, x.plan
	if x.onInterim == nil {
		x.onInterim = x.interim
	}
	fw := headers.Forward{
		Identity: &x.id, Host: x.host, Version: version(q.Minor), RequestID: x.Out.RequestID,
		Changes: p.Request, Received: true, Scratch: x.scratch,
	}
	target := q.Target
	if q.Form == http1.AbsoluteForm {
		target = x.rawTarget()
	}
	if why == forAll {
		fw.Unconditional = true
		fw.AcceptEncoding = rfc9111.AppendAcceptEncoding(x.codings[:0], rfc9111.Accepted(q.Fields))
		if p.Cache.StripsCredentials() {
			fw.Mode = headers.Shared
		}
		x.target = p.Cache.AppendTarget(x.target[:0], &x.want)
		target = x.target
	}
	if p.ThirdParty {
		fw.Mode = headers.ThirdParty
	}
	x.fields = x.fields[:0]
	x.gen.Clients.ToOrigin(&x.fields, q.Fields, &fw)
	x.scratch = fw.Scratch
	if p.Cache.Surrogate() && why != forTunnel {
		x.fields.Add(nameSurrogateCapability, surrogateCapability)
	}
	if why == forAll {
		x.look.AppendConditions(&x.fields, q.Fields)
	}
	a := &x.ask
	*a = origin.Request{} // filled in place: a literal would be copied
	a.Method, a.Target, a.Host, a.Fields = q.Method, target, x.host, x.fields
	a.Timeouts, a.OnInterim = p.Timeouts, x.onInterim
	if why == forTunnel {
		a.Upgrade = q.Upgrade
	}
	if x.Body != nil {
		a.Body, a.Length, a.Trailer, a.StopBody = x.Body, q.Length, x.trailer, x.Body.Abort
		a.Expect100, a.OnContinue = q.Expect100, x.goOn
	}
	if why != forAll && safe(q.Method) {
		a.Done = x.Carrier.Gone()
	}
}

// rawTarget rebuilds the origin-form of an absolute-form target (RFC 9112 §3.2.1), byte for byte.
func (x *Exchange) rawTarget() []byte {
	x.target = append(x.target[:0], x.Req.Path...)
	if x.Req.HasQuery {
		x.target = append(append(x.target, '?'), x.Req.Query...)
	}
	return x.target
}

// send asks the origin and notes what came of it.
func (x *Exchange) send() (*origin.Response, *origin.Error) {
	o := &x.Out
	o.Origin = x.plan.OriginName
	x.asked = x.now()
	x.ask.Began = x.asked
	x.ends = x.ends[:0]
	res := &x.res
	err := x.plan.Pool.DoInto(x.edge.wanted, &x.ask, res)
	if err == nil {
		x.came = x.asked.Add(res.Took)
	} else {
		x.came = x.now()
	}
	o.OriginTime += x.came.Sub(x.asked)
	if err != nil {
		var e *origin.Error
		if !errors.As(err, &e) {
			e = &origin.Error{Kind: origin.Reset, Pool: x.plan.OriginName, Err: err}
		}
		o.TargetURL, o.Attempts = e.Target, o.Attempts+e.Attempts
		return nil, e
	}
	o.TargetURL, o.OriginStatus, o.Attempts = res.Target, res.Status, o.Attempts+res.Attempts
	return res, nil
}

// interim relays 1xx responses to the client: 103 above all.
func (x *Exchange) interim(status int, f field.List) {
	var out field.List
	x.gen.Clients.EndToEnd(&out, f)
	_ = x.Carrier.Interim(status, out) // a client that is gone shows when the answer is sent
}

// goOn tells the client that its content is wanted (RFC 9110 §10.1.1).
func (x *Exchange) goOn() { _ = x.Carrier.Interim(100, nil) }

func (x *Exchange) trailer() field.List {
	var out field.List
	x.gen.Clients.Trailers(&out, x.Body.Trailer())
	return out
}

// failure turns the origin's error into tzero's answer.
func (x *Exchange) failure(s State, e *origin.Error) State {
	o := &x.Out
	o.Err, o.Fault = e.Error(), FaultOrigin
	reason := Reason(e.Kind.String())
	var bad *http1.Malformed
	if e.Kind == origin.RequestBody && errors.As(e.Err, &bad) {
		o.Fault = FaultClient
		x.Res.Close = true
		return x.refuse(s, bad.Status, Reason(bad.Reason), bad.Detail)
	}
	switch e.Source() {
	case origin.SourceClient:
		o.Fault = FaultClient
		x.Res.Close = true
		return x.refuse(s, 400, reason, "")
	case origin.SourceGateway:
		o.Fault = FaultGateway
	}
	switch e.Kind {
	case origin.QueueFull, origin.QueueTimeout:
		next := x.refuse(s, 503, reason, "The app behind this gateway is busy; please try again in a moment.")
		x.verdict.retry = 1
		return next
	case origin.ConnectTimeout, origin.FirstByteTimeout, origin.TotalTimeout, origin.SendTimeout:
		return x.refuse(s, 504, reason, "The app behind this gateway did not answer in time.")
	}
	return x.refuse(s, 502, reason, "The app behind this gateway could not be reached or did not answer properly.")
}

func safe(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS":
		return true
	}
	return false
}

func version(minor int) string {
	if minor == 0 {
		return "1.0"
	}
	return "1.1"
}

var (
	nameSurrogateCapability = []byte("Surrogate-Capability")
	surrogateCapability     = []byte(rfc9111.SurrogateCapability)
)
