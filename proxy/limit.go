package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/ratelimit"
)

// quotaExceeded is the problem type of a refusal by a rate limit (draft-ietf-httpapi-ratelimit-headers-10 §7.1).
const quotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// towards sends a request to the origin by way of its permission.
func (x *Exchange) towards(s State) State {
	x.onward = s
	return StatePermit
}

// within charges the request to policies that count all requests, and leads to next where they permit it.
func (x *Exchange) within(s State, policies []*ratelimit.Policy, next State) State {
	if len(policies) == 0 {
		x.note(s, "", "")
		return next
	}
	who := x.asker()
	return x.decided(s, x.gen.Limits.Ask(policies, &who, x.now(), &x.receipt), next)
}

// permit charges the request to what limits those that reach the origin. One that may not need not, if somebody else is
// asking for the same object: an office that opens the page together is one request. It goes to join that one.
func (x *Exchange) permit() State {
	limits := &x.plan.Limits
	if len(limits.Origin)+len(limits.Exact) == 0 {
		x.permitted = true
		x.note(StatePermit, "", "")
		return x.onward
	}
	who, r := x.asker(), &x.receipt
	x.permitted = x.gen.Limits.Ask(limits.Origin, &who, x.now(), r) && x.gen.Limits.AskExact(x.edge.wanted, limits.Exact, &who, x.now(), r)
	if !x.permitted && x.forAll() && !r.Away() && (x.lookups < maxLookups || x.edge.cache.Sought(&x.want, &x.look)) {
		x.note(StatePermit, ReasonRateLimit, r.Refused().Name)
		return x.onward
	}
	return x.decided(StatePermit, x.permitted, x.onward)
}

func (x *Exchange) asker() ratelimit.Asker {
	return ratelimit.Asker{Address: x.id.Client, Route: x.plan.Route.Name, Fields: x.Req.Fields}
}

// forAll reports that the request asks for something that everybody may have.
func (x *Exchange) forAll() bool {
	return x.onward == StateFetch && x.look.Verdict == cache.Miss && x.lookups > 0
}

// joins reports whether a request that may not reach the origin has somebody to join. Those who ask together are permitted
// and elected one after the other, so it looks twice.
func (x *Exchange) joins() bool {
	const moment = 2 * time.Millisecond
	if x.edge.cache.Sought(&x.want, &x.look) {
		return true
	}
	time.Sleep(moment)
	return x.edge.cache.Sought(&x.want, &x.look)
}

// errNotPermitted is what a request brings home that was to join another one's fetch, and found itself elected.
var errNotPermitted = errors.New("a rate limit keeps the request from the origin")

// decided leads on to next, or to the answer for a client that has to wait.
func (x *Exchange) decided(s State, permitted bool, next State) State {
	r := &x.receipt
	if !permitted && r.Away() {
		x.Out.Fault = FaultGateway
		next := x.refuse(s, 503, ReasonLimitAway, "This cannot be answered just now. Please try again in a moment.")
		x.verdict.retry = ratelimit.RetryAfter(0, x.edge.random())
		return next
	}
	if !permitted {
		r.Count()
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
		x.gen.Limits.GiveBack(&x.receipt)
	} else {
		x.receipt.Forgive()
	}
	x.permitted = false
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
