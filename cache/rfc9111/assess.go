package rfc9111

import (
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// Mode says whose word counts for freshness.
type Mode uint8

// The modes of a route.
const (
	Origin Mode = iota // the origin's; the default
	TTL                // the operator's
	Never              // nothing is stored
)

// Override says how much of the origin's Cache-Control an operator's TTL outweighs. Fetches for such a route
// carry no cookie and no authorization, so that even a "private" answer is everybody's.
type Override uint8

// The degrees.
const (
	OverridePrivate   Override = iota // lifetimes, no-cache and private; no-store is obeyed
	OverrideFreshness                 // lifetimes only
	OverrideAll                       // no-store as well
)

// Rules is what a route may change about the RFC's judgement. Zero durations switch the thing off.
type Rules struct {
	Mode           Mode
	TTL            time.Duration // of Mode TTL
	Override       Override
	StoreSetCookie bool          // purists: RFC 9111 knows no objection
	StoreStatus    []int         // of those that are not stored by default; see StoredByChoice
	Targets        []Target      // the fields that outweigh Cache-Control, in order (RFC 9213 §2.2)
	HeuristicMax   time.Duration // cap of §4.2.2
	HTMLMax        time.Duration // cap for HTML under Mode Origin
	NegativeTTL    time.Duration // for 4xx without explicit freshness
	ServerErrorMax time.Duration // cap for 5xx, explicit or not
	WhileStale     time.Duration // stale-while-revalidate where the origin says nothing
	IfError        time.Duration // stale-if-error where the origin says nothing
	IfDown         time.Duration // stale while the origin cannot be reached at all (§4.2.4)
}

// Request is what storing depends on. Its fields are not among it: by the time that the response is here, to go through
// them again would cost more than the judgement.
type Request struct {
	Method   []byte
	HasQuery bool
	HasBody  bool

	NoStore       bool // Cache-Control has no-store (§5.2.1.5)
	Authorization bool // such a field is there
	Cookie        bool // such a field is there
}

// Response is a response's head as received, without connection fields.
type Response struct {
	Status int
	Fields field.List
	Own    field.List // lines that speak to this cache alone; see Target.OneHop
}

// Trait is a lasting property of a stored response.
type Trait uint16

// The traits.
const (
	TraitNoCache       Trait = 1 << iota // validate before every reuse (§5.2.2.4)
	TraitRevalidate                      // never stale: must-revalidate, proxy-revalidate (§5.2.2.2, §5.2.2.8)
	TraitSMaxAge                         // s-maxage implies proxy-revalidate (§5.2.2.10)
	TraitForAuthorized                   // may answer requests with Authorization (§3.5)
	TraitHeuristic                       // nobody declared the lifetime
	TraitImmutable                       // RFC 8246
	TraitNoTransform                     // §5.2.2.6
	TraitOperator                        // the operator's TTL
	TraitShareable                       // was fresh when it came: collapsed requests may have it
)

// Assessment is the judgement on one response.
type Assessment struct {
	Reason       Reason // Storable, or why not
	Traits       Trait
	InitialAge   time.Duration // corrected_initial_age (§4.2.3)
	Lifetime     time.Duration // freshness_lifetime (§4.2.1), counted from the response's birth like the age
	WhileStale   time.Duration // stale-while-revalidate window behind the lifetime
	IfError      time.Duration // stale-if-error window behind the lifetime
	Date         time.Time     // date_value; the arrival where the response has none
	LastModified time.Time     // zero without a valid one
	Directives   Directives

	targeted bool // the directives are a targeted field's: Cache-Control and Expires do not count
}

// Assess judges a response to req that was asked for at asked and whose head arrived at now.
func Assess(req *Request, resp *Response, rules *Rules, asked, now time.Time) Assessment {
	a := Assessment{Date: now}
	a.govern(resp, rules.Targets)
	if t, ok := ParseDate(resp.Fields.Get("Date"), now); ok {
		a.Date = t
	}
	a.LastModified, _ = ParseDate(resp.Fields.Get("Last-Modified"), now)
	a.InitialAge = InitialAge(resp.Fields, a.Date, asked, now)
	a.traits()
	if a.Reason = a.forbidden(req, resp, rules); a.Reason != Storable {
		return a
	}
	a.lifetime(req, resp, rules)
	a.windows(rules)
	a.shareable(resp)
	a.Reason = a.worthKeeping(req, resp, rules)
	return a
}

// Forbids is the part of Assess that needs no arithmetic: why a response must not be stored whatever its
// freshness, or Storable.
func Forbids(req *Request, resp *Response, rules *Rules) Reason {
	var a Assessment
	a.govern(resp, rules.Targets)
	a.traits()
	return a.forbidden(req, resp, rules)
}

// Explicit reports whether a response declares for how long it is fresh (§4.2.1).
func Explicit(resp *Response, rules *Rules) bool {
	var a Assessment
	a.govern(resp, rules.Targets)
	return a.Directives.Any(MaxAge|SMaxAge) || !a.targeted && resp.Fields.Has("Expires")
}

func (a *Assessment) traits() {
	d := &a.Directives
	if d.Any(NoCache) {
		a.Traits |= TraitNoCache
	}
	if d.Any(MustRevalidate | ProxyRevalidate) {
		a.Traits |= TraitRevalidate
	}
	if d.Any(SMaxAge) {
		a.Traits |= TraitSMaxAge
	}
	if d.Any(Public | MustRevalidate | SMaxAge) {
		a.Traits |= TraitForAuthorized
	}
	if d.Any(Immutable) {
		a.Traits |= TraitImmutable
	}
	if d.Any(NoTransform) {
		a.Traits |= TraitNoTransform
	}
}

// forbidden is what must not be stored whatever its freshness (§3).
func (a *Assessment) forbidden(req *Request, resp *Response, rules *Rules) Reason {
	switch {
	case string(req.Method) != "GET":
		return NotMethod
	case req.HasBody:
		return NotRequestBody
	case resp.Status < 200:
		return NotStatusInterim
	case resp.Status == 206 || resp.Status == 304:
		return NotStatusPartial
	case neverStored(resp.Status, rules.StoreStatus):
		return NotStatus
	case rules.Mode != TTL && req.NoStore:
		return NotRequestNoStore
	case resp.eventStream():
		return NotEventStream
	}
	if r := a.declared(req, resp, rules); r != Storable {
		return r
	}
	return a.selected(resp, rules)
}

// declared is what the directives that govern the response forbid.
func (a *Assessment) declared(req *Request, resp *Response, rules *Rules) Reason {
	d := &a.Directives
	operator := rules.Mode == TTL && resp.Status < 400
	if d.Any(MustUnderstand) && !understood(resp.Status) {
		return NotUnderstood
	}
	// A status that we understand makes must-understand outweigh the no-store beside it (§5.2.2.3).
	if d.Any(NoStore) && !d.Any(MustUnderstand) && !(operator && rules.Override == OverrideAll) {
		return NotNoStore
	}
	if d.Any(Private) && !(operator && rules.Override != OverrideFreshness) {
		return NotPrivate
	}
	if req.Authorization && a.Traits&TraitForAuthorized == 0 {
		return NotAuthorization
	}
	return Storable
}

// selected is what the response says about whom it is for.
func (a *Assessment) selected(resp *Response, rules *Rules) Reason {
	vary := VaryOf(resp.Fields)
	switch {
	case vary.Any:
		return NotVaryAny
	case vary.Many:
		return NotVaryMany
	case vary.Has(acceptEncoding) && !vary.Coded && !codingsKnown(resp.Fields):
		return NotCoding
	}
	if rules.StoreSetCookie || a.Directives.Strips("Set-Cookie") {
		return Storable
	}
	if resp.Fields.Has("Set-Cookie") || resp.Fields.Has("Set-Cookie2") {
		return NotSetCookie
	}
	return Storable
}

// worthKeeping refuses what could never be used: a response that nobody declared fresh and that cannot be
// validated either.
func (a *Assessment) worthKeeping(req *Request, resp *Response, rules *Rules) Reason {
	if a.Traits&TraitNoCache == 0 && a.Lifetime+a.WhileStale > a.InitialAge {
		return Storable
	}
	explicit := a.Directives.Any(MaxAge|SMaxAge|Public|NoCache) || !a.targeted && resp.Fields.Has("Expires")
	switch {
	case resp.Status >= 400:
		return NotStatus
	case req.Cookie && rules.Mode != TTL:
		// Kept for validation only, it would still be one visitor's page in everybody's cache.
		return NotCookie
	case !resp.validatable():
		if explicit {
			return NotStaleOnArrival
		}
		return NotImplicit
	case !explicit && !heuristicStatus(resp.Status):
		return NotStatus
	}
	return Storable
}

func (r *Response) validatable() bool {
	return len(r.Fields.Get("ETag")) > 0 || len(r.Fields.Get("Last-Modified")) > 0
}

func (r *Response) eventStream() bool { return r.mediaType("text/event-stream") }

func (r *Response) html() bool {
	return r.mediaType("text/html") || r.mediaType("application/xhtml+xml")
}

func (r *Response) mediaType(want string) bool {
	v := r.Fields.Get("Content-Type")
	for i, c := range v {
		if c == ';' {
			v = v[:i]
			break
		}
	}
	return field.EqualFold(field.TrimOWS(v), want)
}

// Strips reports whether a field is named by no-cache="…" or private="…": the response may be stored, that
// field may not (§5.2.2.4, §5.2.2.7).
func (d *Directives) Strips(name string) bool {
	return listHas(d.NoCacheNames, name) || listHas(d.PrivateNames, name)
}

func listHas(list []byte, name string) bool {
	for len(list) > 0 {
		member := list
		if i := len(list) - len(skipToComma(list)); i < len(list) {
			member, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if field.EqualFold(field.TrimOWS(member), name) {
			return true
		}
	}
	return false
}
