package rfc9111

import (
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// Stored is what reuse depends on, at one moment.
type Stored struct {
	Age        time.Duration // current_age
	Resident   time.Duration // since the response was received or validated
	Lifetime   time.Duration
	WhileStale time.Duration
	IfError    time.Duration
	Traits     Trait
}

// Use says what may be done with a stored response.
type Use uint8

// The uses.
const (
	UseFresh    Use = iota // answer with it
	UseStale               // answer with it although it is stale
	UseRefresh             // answer with it although it is stale, and fetch a new one in the background
	UseValidate            // ask the origin first
)

// RequestDirectives reads what a request says about caching. Pragma: no-cache counts only where there is no
// Cache-Control (§5.4).
func RequestDirectives(fields field.List) Directives {
	d := Parse(fields, "Cache-Control")
	if d.Flags == 0 && !fields.Has("Cache-Control") && fields.HasToken("Pragma", "no-cache") {
		d.Flags = NoCache
	}
	return d
}

// CurrentAge is current_age (§4.2.3) of a response received with initial age at received. A clock that was
// set back does not make it younger than it came.
func CurrentAge(initial time.Duration, received, now time.Time) time.Duration {
	return AgeAfter(initial, now.Sub(received))
}

// AgeAfter is CurrentAge where it is known how long the response has been here.
func AgeAfter(initial, resident time.Duration) time.Duration {
	return min(initial+max(0, resident), maxDelta)
}

// Reuse decides whether a stored response answers a request (§4.2, §5.2.1). A client's wish for a newer
// response is honoured when ours is older than reload: request directives are advisory, and a crowd that
// holds the reload key must not reach the origin at its own pace. A negative reload ignores such wishes.
func Reuse(s *Stored, d *Directives, reload time.Duration) (Use, Reason) {
	if s.Traits&TraitNoCache != 0 {
		return UseValidate, StaleNoCache
	}
	left := s.Lifetime - s.Age
	if reload >= 0 && s.Resident >= reload {
		switch {
		case d.Any(NoCache):
			return UseValidate, StaleReload
		case d.Any(MaxAge) && s.Age > time.Duration(d.MaxAge)*time.Second && !d.Any(MaxStale):
			return UseValidate, StaleMaxAge
		case d.Any(MinFresh) && left < time.Duration(d.MinFresh)*time.Second:
			return UseValidate, StaleMinFresh
		}
	}
	if left > 0 {
		return UseFresh, Fresh
	}
	if s.Traits&TraitRevalidate != 0 {
		return UseValidate, StaleExpired
	}
	if -left < s.WhileStale {
		return UseRefresh, StaleRevalidate
	}
	if d.Any(MaxStale) && s.Traits&TraitSMaxAge == 0 && -left <= time.Duration(d.MaxStale)*time.Second {
		return UseStale, StaleMaxStale
	}
	return UseValidate, StaleExpired
}

// Failure says how the origin failed.
type Failure uint8

// The failures.
const (
	FailureStatus Failure = iota // it answered 500, 502, 503 or 504 (RFC 5861 §4)
	FailureDown                  // it could not be reached, or broke off before an answer (§4.2.4)
)

// ReuseOnFailure decides whether a stale response may stand in for a failed origin. down is how long a
// response that says nothing about it may do so when the origin is unreachable. The request's own
// stale-if-error counts as well (RFC 5861 §4).
func ReuseOnFailure(s *Stored, d *Directives, f Failure, down time.Duration) (bool, Reason) {
	if s.Traits&(TraitNoCache|TraitRevalidate) != 0 {
		return false, StaleExpired
	}
	over := s.Age - s.Lifetime
	window := s.IfError
	if d.Any(StaleIfError) && s.Traits&TraitSMaxAge == 0 {
		window = max(window, time.Duration(d.StaleIfError)*time.Second)
	}
	if over < window {
		return true, StaleError
	}
	if f == FailureDown && s.Traits&TraitSMaxAge == 0 && over < down {
		return true, StaleDown
	}
	return false, StaleExpired
}

// Invalidates reports whether an answer to a method makes what is stored for its target void (§4.4): any
// method that is not known to be safe (RFC 9110 §9.2.1), when it did not fail.
func Invalidates(method []byte, status int) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return false
	}
	return status >= 200 && status < 400
}

// FailureOf reports whether a status is one of those that stale-if-error covers.
func FailureOf(status int) bool {
	return status == 500 || status == 502 || status == 503 || status == 504
}
