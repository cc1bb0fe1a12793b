package cache

import (
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// CacheStatus is one member of the Cache-Status field (RFC 9211).
type CacheStatus struct {
	Hit       bool          // answered without asking the origin
	HasTTL    bool          // TTL counts
	TTL       time.Duration // freshness left; negative when stale
	Forward   string        // why the origin was asked: a parameter of Forward…; empty with Hit
	Status    int           // what the origin answered, where that differs from our answer; else 0
	Stored    bool          // the answer was stored
	Collapsed bool          // another request's answer was used
	Detail    Reason
}

// The values of fwd (RFC 9211 §2.2).
const (
	ForwardBypass    = "bypass"
	ForwardMethod    = "method"
	ForwardURIMiss   = "uri-miss"
	ForwardVaryMiss  = "vary-miss"
	ForwardRequest   = "request"
	ForwardStale     = "stale"
	ForwardPartial   = "partial"
	cacheStatusTzero = "tzero"
)

// ForwardOf names the fwd value of a result that was sent to the origin.
func ForwardOf(r *Result) string {
	switch r.Reason {
	case BypassMethod:
		return ForwardMethod
	case MissVary:
		return ForwardVaryMiss
	case rfc9111.StaleReload, rfc9111.StaleMaxAge, rfc9111.StaleMinFresh, BypassNoStore:
		return ForwardRequest
	case rfc9111.StaleExpired, rfc9111.StaleNoCache, rfc9111.StaleRevalidate, StalePurged, StaleCutOff:
		return ForwardStale
	case MissPart:
		return ForwardPartial
	case "", MissURI, MissPurged, MissFailed, MissOther, BypassRange, BypassHead, BypassUncacheable, BypassTooLarge, BypassLeases, BypassNotShared:
		return r.selected()
	}
	return ForwardBypass
}

// selected names the fwd value for what was stored when the reason speaks of something else.
func (r *Result) selected() string {
	switch {
	case r.stale, r.Object.Exists() && !r.equal:
		return ForwardStale
	case r.parts:
		return ForwardPartial
	case r.record.Exists():
		return ForwardVaryMiss
	}
	return ForwardURIMiss
}

// Append appends the member: `tzero; hit; ttl=30`, `tzero; fwd=uri-miss; stored; detail=…`.
func (s *CacheStatus) Append(dst []byte) []byte {
	dst = append(dst, cacheStatusTzero...)
	switch {
	case s.Hit:
		dst = append(dst, "; hit"...)
	case s.Forward != "":
		dst = append(dst, "; fwd="...)
		dst = append(dst, s.Forward...)
		if s.Status != 0 {
			dst = append(dst, "; fwd-status="...)
			dst = strconv.AppendInt(dst, int64(s.Status), 10)
		}
	}
	if s.HasTTL {
		dst = append(dst, "; ttl="...)
		dst = strconv.AppendInt(dst, floorSeconds(s.TTL), 10)
	}
	if s.Stored {
		dst = append(dst, "; stored"...)
	}
	if s.Collapsed {
		dst = append(dst, "; collapsed"...)
	}
	if s.Detail != "" {
		dst = append(dst, "; detail="...)
		dst = append(dst, s.Detail...)
	}
	return dst
}

// floorSeconds rounds down, so that what is stale by half a second does not look fresh.
func floorSeconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d < 0 && d%time.Second != 0 {
		n--
	}
	return n
}
