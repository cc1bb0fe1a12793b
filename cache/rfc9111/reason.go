// Package rfc9111 is the arithmetic of HTTP caching: what may be stored, for how long it is fresh, how old
// it is, which request it answers and how it is validated (RFC 9111, with RFC 9110's validators and ranges
// and RFC 5861's windows). Everything is pure: the time is an argument, nothing is kept. Sections without
// another number are RFC 9111's.
//
// tzero is a shared cache. Where it is stricter than the RFC, or bends it on an operator's word, the
// function says so.
package rfc9111

// Reason is one enumerated word for a decision. Package cache lists all of them in one place.
type Reason string

// Why a response may not be stored.
const (
	Storable          Reason = ""             // it may
	NotMethod         Reason = "method"       // not a GET (§3; responses to HEAD and POST are not kept)
	NotRequestBody    Reason = "request-body" // GET with content means what the origin likes
	NotRequestNoStore Reason = "request-no-store"
	NotStatusInterim  Reason = "status-interim"  // 1xx
	NotStatusPartial  Reason = "status-partial"  // 206, 304 (§3.3)
	NotStatus         Reason = "status"          // forbidden for this status, or an error nobody asked to keep
	NotUnderstood     Reason = "must-understand" // §5.2.2.3 with a status that we do not know
	NotNoStore        Reason = "no-store"
	NotPrivate        Reason = "private"
	NotAuthorization  Reason = "authorization" // §3.5
	NotVaryAny        Reason = "vary-any"      // §4.1
	NotVaryMany       Reason = "vary-many"     // more selecting fields than are worth keeping apart
	NotSetCookie      Reason = "set-cookie"    // not by the RFC: tzero's default
	NotCoding         Reason = "encoding"      // selected by a coding that requests are not told apart by
	NotEventStream    Reason = "event-stream"  // endless by nature
	NotCookie         Reason = "cookie"        // the request had cookies and nothing says that they do not matter
	NotImplicit       Reason = "no-freshness"  // neither freshness nor a validator
	NotStaleOnArrival Reason = "stale-on-arrival"
)

// Why a stored response is not simply reused.
const (
	Fresh           Reason = ""
	StaleExpired    Reason = "stale"            // older than its lifetime
	StaleNoCache    Reason = "no-cache"         // the origin wants to be asked every time
	StaleReload     Reason = "request-no-cache" // the client wants the origin to be asked
	StaleMaxAge     Reason = "request-max-age"  // too old for the client
	StaleMinFresh   Reason = "request-min-fresh"
	StaleMaxStale   Reason = "request-max-stale"      // stale, and the client takes it
	StaleRevalidate Reason = "stale-while-revalidate" // stale, and the origin permits it meanwhile
	StaleError      Reason = "stale-if-error"         // stale, because the origin fails
	StaleDown       Reason = "stale-origin-down"      // stale, because the origin cannot be reached
)
