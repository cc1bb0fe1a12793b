package proxy

import (
	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/route"
)

// The journey's own reasons; the others are the door's (http1.Reasons), the routing table's, the cache's
// (cache.Reasons) and the origin's (origin.Kinds).
const (
	ReasonConnect      Reason = "connect"        // CONNECT: no forward proxy
	ReasonTrace        Reason = "trace"          // TRACE: would show what tzero adds
	ReasonLoop         Reason = "loop"           // been here before
	ReasonBodyTooLarge Reason = "body-too-large" // the route's limit
	ReasonHeaderTime   Reason = "header-timeout" // the head did not arrive in time
	ReasonBodyTime     Reason = "body-timeout"   // the content did not arrive in time
	ReasonRedirect     Reason = "redirect"       // the route answers with a redirect
	ReasonFixed        Reason = "fixed"          // the route spells the answer out
	ReasonUpgrade      Reason = "upgrade"        // a tunnel was asked for
	ReasonTunnels      Reason = "tunnel-limit"   // no more tunnels
	ReasonPanic        Reason = "panic"          // a fault of the gateway
	ReasonNotModified  Reason = "not-modified"   // the client has it already
	ReasonRange        Reason = "range"          // a part was asked for and given
	ReasonBadRange     Reason = "bad-range"      // a part was asked for that there is not
	ReasonValidated    Reason = "validated"      // the origin said 304: what is stored is good
	ReasonLeader       Reason = "leader"         // elected to fetch for all who wait
	ReasonFollower     Reason = "follower"       // reads along with a fill
	ReasonAgain        Reason = "again"          // the leader failed: one successor is elected
	ReasonDry          Reason = "dry-run"        // explain: the origin is not asked
	ReasonDenied       Reason = "denied"         // the client's address is on the deny list
	ReasonRateLimit    Reason = "rate-limit"     // a rate limit of the route
	ReasonLimitAway    Reason = "limit-away"     // an exact rate limit that cannot be asked
	ReasonWouldLimit   Reason = "would-limit"    // a rate limit in dry run
)

func ownReasons() []Reason {
	return []Reason{
		ReasonConnect, ReasonTrace, ReasonLoop, ReasonBodyTooLarge, ReasonHeaderTime, ReasonBodyTime, ReasonRedirect, ReasonFixed,
		ReasonUpgrade, ReasonTunnels, ReasonPanic, ReasonNotModified, ReasonRange, ReasonBadRange,
		ReasonValidated, ReasonLeader, ReasonFollower, ReasonAgain, ReasonDry, ReasonDenied, ReasonRateLimit, ReasonLimitAway, ReasonWouldLimit,
	}
}

// Reasons lists every reason that a step of the journey can give, each once.
func Reasons() []Reason {
	var all []Reason
	seen := map[Reason]bool{"": true, "none": true}
	add := func(r Reason) {
		if !seen[r] {
			seen[r] = true
			all = append(all, r)
		}
	}
	for _, r := range http1.Reasons() {
		add(Reason(r.Word))
	}
	for _, r := range []route.MissReason{route.UnknownHost, route.NoRoute, route.WrongMethod, route.AmbiguousPath} {
		add(Reason(r))
	}
	for _, r := range cache.Reasons() {
		add(Reason(r))
	}
	for _, k := range origin.Kinds() {
		add(Reason(k.String()))
	}
	for _, r := range ownReasons() {
		add(r)
	}
	return all
}
