package proxy

//go:generate go test . -run Current -update

import "github.com/tzero-edge/tzero/internal/http1"

// Explanation says what one reason means.
type Explanation struct {
	Reason  Reason
	From    string // who gives it: door, routing, cache, origin, journey
	Meaning string
}

// Explanations lists every reason with its meaning, in the order of [Reasons].
func Explanations() []Explanation {
	door := map[Reason]http1.Reason{}
	for _, r := range http1.Reasons() {
		door[Reason(r.Word)] = r
	}
	var all []Explanation
	for _, r := range Reasons() {
		if d, ok := door[r]; ok {
			all = append(all, Explanation{r, "door", d.Meaning + " " + d.Section + "."})
			continue
		}
		m := meanings[r]
		all = append(all, Explanation{r, m.from, m.text})
	}
	return all
}

// meanings explains what is not the door's.
var meanings = map[Reason]struct{ from, text string }{
	"unknown-host":       {"routing", "No route names the host: 421."},
	"no-route":           {"routing", "The host is known, the path has no route: 404."},
	"method-not-allowed": {"routing", "The path has routes for other methods only: 405."},
	"ambiguous-path":     {"routing", "The path can be read in two ways that lead to different routes: 400. In the cache: it is not looked up."},

	"shared":        {"cache", "Another node had stored it: this one took it from the tier that they share."},
	"purged":        {"cache", "It was purged."},
	"purged-soft":   {"cache", "It was purged softly: it is used while a new one is fetched."},
	"cut-off":       {"cache", "This node is cut off from the others and may have missed a purge: the origin is asked."},
	"too-many-tags": {"cache", "It has more tags, or longer ones, than can be kept to purge it by: it is not stored."},

	"denied":      {"limits", "The client's address is on the deny list: 403."},
	"rate-limit":  {"limits", "More requests than a rate limit of the route permits: 429. The journey names the policy."},
	"limit-away":  {"limits", "An exact rate limit with on_failure: refuse, while Redis does not answer: 503."},
	"would-limit": {"limits", "A rate limit in dry run would have refused the request; it goes on."},

	"route-never":       {"cache", "The route stores nothing."},
	"method":            {"cache", "Neither GET nor HEAD."},
	"request-body":      {"cache", "GET with content means what the origin likes."},
	"precondition":      {"cache", "If-Match or If-Unmodified-Since: the origin's to judge."},
	"private-cookie":    {"cache", "The request has one of the route's private cookies."},
	"authorization":     {"cache", "The request is authorized, and the answer is not for such (RFC 9111 §3.5)."},
	"range":             {"cache", "A part was asked for: given from what is stored, or asked of the origin."},
	"head":              {"cache", "HEAD of something that is not stored."},
	"request-no-store":  {"cache", "The client wants nothing kept."},
	"uncacheable":       {"cache", "An answer of this kind proved uncacheable moments ago: nobody waits for it."},
	"too-large":         {"cache", "Larger than max_object."},
	"lease-limit":       {"cache", "Two leaders failed this request: it goes alone."},
	"not-shared":        {"cache", "The leader's answer is nobody else's."},
	"only-if-cached":    {"cache", "Nothing is stored, and the client wants nothing else: 504."},
	"fill-memory":       {"cache", "Too many bytes are in fills at this moment."},
	"shutting-down":     {"cache", "The cache is being closed."},
	"close-delimited":   {"cache", "Only the end of the connection ends the content: nothing proves that it is whole."},
	"uri-miss":          {"cache", "Nothing is stored under this key."},
	"vary-miss":         {"cache", "Stored, for other selecting fields."},
	"partly-stored":     {"cache", "Stored in part: the rest is asked for, or the whole."},
	"leader-failed":     {"cache", "The leader came back without an answer: look again."},
	"variant-differs":   {"cache", "The leader's answer is another variant: look again."},
	"body-truncated":    {"cache", "The content ended early."},
	"body-error":        {"cache", "Reading the content failed."},
	"error-shared":      {"cache", "An error, handed to those who waited for it and not stored."},
	"invalidated":       {"cache", "The key was invalidated while the fill ran."},
	"status-interim":    {"cache", "An interim status is never stored."},
	"status-partial":    {"cache", "No whole, and no part that says which one it is (RFC 9111 §3.3)."},
	"status":            {"cache", "Nothing permits to store this status."},
	"must-understand":   {"cache", "must-understand with a status that tzero does not know (RFC 9111 §5.2.2.3)."},
	"no-store":          {"cache", "The origin said no-store."},
	"private":           {"cache", "The origin said private."},
	"vary-any":          {"cache", "Vary: * (RFC 9111 §4.1)."},
	"vary-many":         {"cache", "More selecting fields than are worth keeping apart."},
	"set-cookie":        {"cache", "The answer sets a cookie, and the route does not store such."},
	"encoding":          {"cache", "Selected by a coding that requests are not told apart by."},
	"event-stream":      {"cache", "Endless by nature."},
	"cookie":            {"cache", "The request had cookies, and nothing says that they do not matter."},
	"no-freshness":      {"cache", "Neither a lifetime nor a validator."},
	"stale-on-arrival":  {"cache", "Older than its lifetime when it came."},
	"stale":             {"cache", "Stored, and older than its lifetime."},
	"no-cache":          {"cache", "The origin wants to be asked every time."},
	"request-no-cache":  {"cache", "The client wants the origin to be asked."},
	"request-max-age":   {"cache", "Stored, and too old for the client."},
	"request-min-fresh": {"cache", "Stored, and not fresh for as long as the client wants."},
	"request-max-stale": {"cache", "Stale, and the client takes it."},

	"stale-while-revalidate": {"cache", "Stale, and permitted while a new one is fetched (RFC 5861 §3)."},
	"stale-if-error":         {"cache", "Stale, because the origin fails (RFC 5861 §4)."},
	"stale-origin-down":      {"cache", "Stale, because the origin cannot be reached (RFC 9111 §4.2.4)."},

	"connect-failed":     {"origin", "No connection: refused, unreachable, name not found. 502."},
	"connect-timeout":    {"origin", "No connection in time: 504."},
	"tls-failed":         {"origin", "The TLS handshake failed: 502."},
	"queue-full":         {"origin", "Too many requests wait for a connection already: 503."},
	"queue-timeout":      {"origin", "Waited too long for a connection: 503."},
	"first-byte-timeout": {"origin", "No answer in time: 504."},
	"send-timeout":       {"origin", "The origin stopped taking the request's content: 504."},
	"total-timeout":      {"origin", "The whole exchange took too long: 504."},
	"reset":              {"origin", "The connection ended before the answer's head was complete: 502."},
	"truncated":          {"origin", "The connection ended in the middle of the answer's content."},
	"bad-response":       {"origin", "What came is not HTTP, or no answer to what was asked: 502."},
	"canceled":           {"origin", "The client went away."},
	"unclean-request":    {"origin", "The request would not have been one clean head; nothing was sent: 502."},

	ReasonConnect:     {"journey", "CONNECT: tzero is no forward proxy. 405."},
	ReasonTrace:       {"journey", "TRACE would show what tzero adds: 405."},
	ReasonLoop:        {"journey", "The request has passed through this gateway before: 508."},
	ReasonHeaderTime:  {"journey", "The header section did not arrive in time: 408."},
	ReasonBodyTime:    {"journey", "Content stopped arriving: from the client 408, from the origin an answer that breaks off."},
	ReasonRedirect:    {"journey", "The route answers with a redirect."},
	ReasonFixed:       {"journey", "The route spells the answer out."},
	ReasonUpgrade:     {"journey", "A tunnel was asked for."},
	ReasonTunnels:     {"journey", "No more tunnels: 503."},
	ReasonPanic:       {"journey", "A fault of the gateway: 500. Its log has the details."},
	ReasonNotModified: {"journey", "The client has it already: 304."},
	ReasonBadRange:    {"journey", "There is no such part: 416."},
	ReasonValidated:   {"journey", "The origin said 304: what is stored is good."},
	ReasonLeader:      {"journey", "Elected to fetch for all who wait."},
	ReasonFollower:    {"journey", "Reads along with another request's fill."},
	ReasonAgain:       {"journey", "The leader failed: one successor is elected."},
	ReasonDry:         {"journey", "tzero explain: the origin is not asked."},
}
