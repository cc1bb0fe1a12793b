package rfc9111

import (
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

const maxDelta = MaxDelta * time.Second

// InitialAge is corrected_initial_age (§4.2.3). A response whose Age cannot be read is taken as older than
// anything: §5.1 would let us ignore the field, but a cache that cannot tell its age must not call it fresh.
func InitialAge(fields field.List, date, asked, now time.Time) time.Duration {
	apparent := max(0, now.Sub(date))
	value, ok := AgeValue(fields)
	if !ok {
		return maxDelta
	}
	corrected := value + max(0, now.Sub(asked))
	return min(max(apparent, corrected), maxDelta)
}

// AgeValue reads the Age field; none is 0. On one line the first member of a list counts (§5.1). Several
// lines, or a member repeated, are the trace of two caches that each wrote their own: not readable.
func AgeValue(fields field.List) (time.Duration, bool) {
	var line []byte
	lines := 0
	for v := range fields.All("Age") {
		line = v
		lines++
	}
	if lines == 0 {
		return 0, true
	}
	if lines > 1 {
		return 0, false
	}
	first, rest := cutMember(line)
	for len(rest) > 0 {
		var next []byte
		next, rest = cutMember(rest)
		if string(next) == string(first) {
			return 0, false
		}
	}
	n, ok := Seconds(first)
	return time.Duration(n) * time.Second, ok && n < MaxDelta
}

func cutMember(b []byte) (member, rest []byte) {
	rest = skipToComma(b)
	member = field.TrimOWS(b[:len(b)-len(rest)])
	if len(rest) > 0 {
		rest = rest[1:]
	}
	return member, rest
}

// lifetime sets freshness_lifetime: s-maxage, max-age, Expires minus Date, a heuristic (§4.2.1, §4.2.2); then
// the operator's TTL and the caps, which count from the arrival and not from the response's birth.
func (a *Assessment) lifetime(req *Request, resp *Response, rules *Rules) {
	explicit := true
	d := &a.Directives
	switch {
	case d.Any(SMaxAge):
		a.Lifetime = time.Duration(d.SMaxAge) * time.Second
	case d.Any(MaxAge):
		a.Lifetime = time.Duration(d.MaxAge) * time.Second
	case !a.targeted && resp.Fields.Has("Expires"):
		a.Lifetime = expires(resp.Fields, a.Date)
	default:
		explicit = false
		a.heuristic(req, resp, rules)
	}
	switch {
	case rules.Mode == TTL && operatorStatus(resp.Status):
		a.Lifetime = a.InitialAge + rules.TTL
		a.Traits |= TraitOperator | TraitForAuthorized
		a.Traits &^= TraitHeuristic
		if rules.Override != OverrideFreshness {
			a.Traits &^= TraitNoCache | TraitRevalidate | TraitSMaxAge
		}
	case resp.Status >= 500:
		a.cap(rules.ServerErrorMax)
	case !explicit && resp.Status >= 400:
		a.cap(rules.NegativeTTL)
	case resp.html() && rules.HTMLMax > 0:
		a.cap(rules.HTMLMax)
	}
}

// cap lets the response live at most d from its arrival.
func (a *Assessment) cap(d time.Duration) { a.Lifetime = min(a.Lifetime, a.InitialAge+d) }

// heuristic gives a tenth of the time since the last modification (§4.2.2), where the status allows it. Never
// for requests with a query or with cookies: what nobody declared public may be about somebody.
func (a *Assessment) heuristic(req *Request, resp *Response, rules *Rules) {
	if !heuristicStatus(resp.Status) && !a.Directives.Any(Public) {
		return
	}
	if req.HasQuery || req.Cookie {
		return
	}
	if resp.Status >= 400 && a.LastModified.IsZero() {
		a.Lifetime = a.InitialAge + rules.NegativeTTL
	}
	if !a.LastModified.IsZero() && a.Date.After(a.LastModified) {
		a.Lifetime = min(a.Date.Sub(a.LastModified)/10, rules.HeuristicMax)
	}
	a.Traits |= TraitHeuristic
}

// expires is Expires minus Date; an invalid or contradictory Expires has passed already (§5.3).
func expires(fields field.List, date time.Time) time.Duration {
	var at time.Time
	for v := range fields.All("Expires") {
		t, ok := ParseDate(v, date)
		if !ok || (!at.IsZero() && !t.Equal(at)) {
			return 0
		}
		at = t
	}
	return min(max(0, at.Sub(date)), maxDelta)
}

// windows sets how long the response may serve stale (RFC 5861). Whoever writes s-maxage together with
// stale-while-revalidate or stale-if-error means both, although s-maxage alone implies proxy-revalidate:
// the explicit window wins, as in every content delivery network. must-revalidate and proxy-revalidate
// written out forbid it, and no-cache does.
func (a *Assessment) windows(rules *Rules) {
	if a.Traits&(TraitNoCache|TraitRevalidate) != 0 {
		return
	}
	d := &a.Directives
	if a.Traits&TraitSMaxAge == 0 && a.Lifetime > 0 {
		a.WhileStale, a.IfError = rules.WhileStale, rules.IfError
	}
	if d.Any(StaleWhileRevalidate) {
		a.WhileStale = time.Duration(d.StaleWhileRevalidate) * time.Second
	}
	if d.Any(StaleIfError) {
		a.IfError = time.Duration(d.StaleIfError) * time.Second
	}
}

// shareable marks a response that requests which waited for it may have too. The delay of this very answer
// does not count: whoever waited was asking all the time. A response that must be validated before every
// use is nobody else's.
func (a *Assessment) shareable(resp *Response) {
	received, ok := AgeValue(resp.Fields)
	if a.Traits&TraitNoCache == 0 && ok && received < a.Lifetime+a.WhileStale {
		a.Traits |= TraitShareable
	}
}
