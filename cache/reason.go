package cache

import "github.com/tzero-edge/tzero/cache/rfc9111"

// Reason is the one word for why the cache decided as it did. Cache-Status, metrics, the decision log and
// the tests share these words; Reasons lists all of them. The empty Reason means that there was nothing to
// explain: a fresh object answered, a response was stored.
type Reason = rfc9111.Reason

// Why a request does not use the cache, or not a stored object. The reasons of package rfc9111 (for not
// storing, for validating, for serving stale) are Reasons too.
const (
	BypassRoute         Reason = "route-never"      // the route stores nothing
	BypassMethod        Reason = "method"           // neither GET nor HEAD
	BypassRequestBody   Reason = "request-body"     // GET with content
	BypassPath          Reason = "ambiguous-path"   // dot segments, encoded delimiters: read differently by different readers
	BypassPrecondition  Reason = "precondition"     // If-Match, If-Unmodified-Since: the origin's to judge
	BypassPrivateCookie Reason = "private-cookie"   // one of the route's private cookies
	BypassAuthorization Reason = "authorization"    // the request is authorized, the object is not for such
	BypassRange         Reason = "range"            // a part of something that is not stored
	BypassHead          Reason = "head"             // HEAD of something that is not stored
	BypassNoStore       Reason = "request-no-store" // the client wants nothing kept
	BypassUncacheable   Reason = "uncacheable"      // an answer of this kind proved uncacheable moments ago
	BypassTooLarge      Reason = "too-large"        // larger than max_object, found out moments ago
	BypassLeases        Reason = "lease-limit"      // two leaders failed this request: it goes alone
	BypassNotShared     Reason = "not-shared"       // the fill's answer is nobody else's
	BypassOnlyIfCached  Reason = "only-if-cached"   // nothing stored, and the client wants nothing else (504)
	BypassMemory        Reason = "fill-memory"      // too many bytes in fills at this moment
	BypassClosing       Reason = "shutting-down"    // the cache is being closed
	BypassUntilClose    Reason = "close-delimited"  // nothing proves that the body is whole
	HitShared           Reason = "shared"           // another node had stored it
	MissURI             Reason = "uri-miss"         // nothing stored under this key
	MissVary            Reason = "vary-miss"        // stored, for other selecting fields
	MissPart            Reason = "partly-stored"    // stored in part: the rest is asked for
	MissFailed          Reason = "leader-failed"    // the leader had no answer: look again
	MissOther           Reason = "variant-differs"  // the leader's answer is another variant: look again
	FillTruncated       Reason = "body-truncated"   // the body ended early
	FillError           Reason = "body-error"       // reading the body failed
	FillHeadTooLarge    Reason = "head-too-large"   // the header section does not fit an object
	FillShared          Reason = "error-shared"     // an error, handed to those who waited and not stored
	FillInvalidated     Reason = "invalidated"      // the key was invalidated while the fill ran
	FillTags            Reason = "too-many-tags"    // more tags than could be kept to purge it by, or longer ones
	MissPurged          Reason = "purged"           // it was purged
	StalePurged         Reason = "purged-soft"      // it was purged softly: used while a new one is fetched
	StaleCutOff         Reason = "cut-off"          // purges by other nodes may have been missed: the origin is asked
)

// Reasons lists every Reason that this package and rfc9111 can give, each once.
func Reasons() []Reason {
	return []Reason{
		BypassRoute, BypassMethod, BypassRequestBody, BypassPath, BypassPrecondition, BypassPrivateCookie,
		BypassAuthorization, BypassRange, BypassHead, BypassNoStore, BypassUncacheable, BypassTooLarge,
		BypassLeases, BypassNotShared, BypassOnlyIfCached, BypassMemory, BypassClosing, BypassUntilClose,
		MissURI, MissVary, MissPart, MissFailed, MissOther,
		FillTruncated, FillError, FillHeadTooLarge, FillShared, FillInvalidated, FillTags,
		HitShared, MissPurged, StalePurged, StaleCutOff,

		rfc9111.NotStatusInterim, rfc9111.NotStatusPartial, rfc9111.NotStatus, rfc9111.NotUnderstood,
		rfc9111.NotNoStore, rfc9111.NotPrivate, rfc9111.NotVaryAny, rfc9111.NotVaryMany,
		rfc9111.NotSetCookie, rfc9111.NotCoding, rfc9111.NotEventStream, rfc9111.NotCookie,
		rfc9111.NotImplicit, rfc9111.NotStaleOnArrival,

		rfc9111.StaleExpired, rfc9111.StaleNoCache, rfc9111.StaleReload, rfc9111.StaleMaxAge,
		rfc9111.StaleMinFresh, rfc9111.StaleMaxStale, rfc9111.StaleRevalidate, rfc9111.StaleError,
		rfc9111.StaleDown,
	}
}
