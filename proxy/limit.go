package proxy

import (
	"fmt"

	"github.com/tzero-edge/tzero/ratelimit"
)

// quotaExceeded is the problem type of a refusal by a rate limit (draft-ietf-httpapi-ratelimit-headers-10 §7.1).
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// towards sends a request to the origin by way of its permission.
func (x *Exchange) towards(s State) State {
	x.onward = s
	return StatePermit
}

// within charges the request to policies, and leads to next where they permit it.
func (x *Exchange) within(s State, policies []*ratelimit.Policy, next State) State {
	if len(policies) == 0 {
		x.note(s, "", "")
		return next
	}
	r := &x.receipt
	who := ratelimit.Asker{Address: x.id.Client, Route: x.plan.Route.Name, Fields: x.Req.Fields}
	if !x.gen.Limits.Ask(policies, &who, x.now(), r) {
		p, retry := r.Refused(), ratelimit.RetryAfter(r.Wait(), x.edge.random())
		x.Out.Fault = FaultClient
		x.verdict = verdict{
			status: 429, reason: ReasonRateLimit, detail: "Too many requests in a short time. Please try again in " + inWords(retry) + ".",
			html: p.Page, problem: quotaExceeded, violated: []string{p.Name}, retry: retry,
		}
		x.note(s, ReasonRateLimit, p.Name)
		return StateSynth
	}
	if p := r.Would(); p != nil {
		x.note(s, ReasonWouldLimit, p.Name)
	} else {
		x.note(s, "", "")
	}
	return next
}

// inWords writes seconds as people say them, never shorter than they are.
func inWords(seconds int) string {
	for _, u := range []struct {
		name string
		long int
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}} {
		if n := (seconds + u.long - 1) / u.long; seconds > 2*u.long {
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	if seconds == 1 {
		return "a second"
	}
	return fmt.Sprintf("%d seconds", seconds)
}

// spared gives back what was charged for the origin, which did not hear of the request after all.
func (x *Exchange) spared() {
	if x.permitted {
		x.permitted = false
		x.gen.Limits.GiveBack(&x.receipt)
	}
}

// showLimits tells the client what it may still do.
func (x *Exchange) showLimits() {
	at := len(x.scratch)
	x.scratch = x.receipt.AppendPolicy(x.scratch)
	end := len(x.scratch)
	x.scratch = x.receipt.AppendState(x.scratch)
	x.Res.Fields.Add(nameRateLimitPolicy, x.scratch[at:end:end])
	x.Res.Fields.Add(nameRateLimit, x.scratch[end:len(x.scratch):len(x.scratch)])
}

var (
	nameRateLimit       = []byte("RateLimit")
	nameRateLimitPolicy = []byte("RateLimit-Policy")
)
