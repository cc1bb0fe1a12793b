package cache

import (
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Request is what the cache needs to know about a request. The slices may point into the connection's
// buffers: they are read during the calls and never kept. A Request is reused by its owner and not safe for
// concurrent use; its scratch memory makes lookups free of allocation. Between two exchanges it is Reset.
type Request struct {
	Method   []byte
	Scheme   string
	Host     []byte
	Path     []byte // raw
	Query    []byte // raw, without "?"
	HasQuery bool
	HasBody  bool
	Fields   field.List // end-to-end request fields; the gateway's own cookies removed
	Policy   *Policy    // the route's; required
	Variant  []byte     // part of the key on routes with variants

	// Known is where Lookup leaves what it finds in Fields, so that it need not look again: for the caller's next request
	// that has the very same. nil: nowhere.
	Known *Findings

	// Route puts a request that this one's write concerns, itself among them, on the terms of the route that a GET of
	// it has: its Policy and Variant. false where that stores nothing. nil: all are of this route.
	Route func(*Request) bool

	keyBuf  []byte // primary key, then the selecting suffix
	other   []byte // a key that is not the request's own
	primary int    // length of the primary key in keyBuf
	hash    uint64 // of the primary key
	leases  int    // how often this request stood for election
	facts   facts
}

// facts are what the cache looks at in the request's fields, gathered in one pass by Lookup.
type facts struct {
	cookie, authorization, precondition, ranged bool
	selects                                     bool // a range, or a condition that 304 may answer
	directives                                  rfc9111.Directives
}

// Findings is what was found in a request's fields. It is valid for as long as a request has the same; the zero value
// is none. It points to nothing of the request.
type Findings struct {
	facts facts
	made  bool
}

// clone drops the field lists, which point into the connection's buffers and mean nothing in requests.
func (f facts) clone() facts {
	f.directives.NoCacheNames, f.directives.PrivateNames = nil, nil
	return f
}

// gather finds the facts, or takes those that are known.
func (q *Request) gather() {
	switch k := q.Known; {
	case k == nil:
		q.look()
	case k.made:
		q.facts = k.facts
	default:
		q.look()
		k.facts, k.made = q.facts.clone(), true
	}
}

func (q *Request) look() {
	q.facts = facts{}
	control, pragma := false, false
	for i := range q.Fields {
		switch name := q.Fields[i].Name; len(name) {
		case len("Range"):
			q.facts.ranged = q.facts.ranged || field.EqualFold(name, "Range")
			q.facts.selects = q.facts.selects || q.facts.ranged
		case len("Cookie"):
			q.facts.cookie = q.facts.cookie || field.EqualFold(name, "Cookie")
			pragma = pragma || field.EqualFold(name, "Pragma")
		case len("If-Match"):
			q.facts.precondition = q.facts.precondition || field.EqualFold(name, "If-Match")
		case len("If-Modified-Since"):
			q.facts.selects = q.facts.selects || field.EqualFold(name, "If-Modified-Since")
		case len("If-Unmodified-Since"):
			q.facts.precondition = q.facts.precondition || field.EqualFold(name, "If-Unmodified-Since")
		case len("Authorization"):
			q.facts.authorization = q.facts.authorization || field.EqualFold(name, "Authorization")
			control = control || field.EqualFold(name, "Cache-Control")
			q.facts.selects = q.facts.selects || field.EqualFold(name, "If-None-Match")
		}
	}
	if control || pragma {
		q.facts.directives = rfc9111.RequestDirectives(q.Fields)
	}
}

// Selects reports whether the client may be content with less than the whole response: it names a range, or what it
// has already (If-None-Match, If-Modified-Since). Lookup finds out.
func (q *Request) Selects() bool { return q.facts.selects }

// Reset forgets everything but the scratch memory.
func (q *Request) Reset() {
	keyBuf, other := q.keyBuf[:0], q.other[:0]
	*q = Request{} // in place: a literal with the two would be copied
	q.keyBuf, q.other = keyBuf, other
}

// Clone returns a copy that shares no memory with q, for work that outlives the exchange.
func (q *Request) Clone() *Request {
	bytes := func(b []byte) []byte { return append([]byte(nil), b...) }
	return &Request{
		Method: bytes(q.Method), Scheme: q.Scheme, Host: bytes(q.Host), Path: bytes(q.Path),
		Query: bytes(q.Query), HasQuery: q.HasQuery, HasBody: q.HasBody, Fields: q.Fields.Clone(),
		Policy: q.Policy, Variant: bytes(q.Variant),
		keyBuf: bytes(q.keyBuf), primary: q.primary, hash: q.hash, facts: q.facts.clone(),
	}
}

func (q *Request) head() bool { return string(q.Method) == "HEAD" }

func (q *Request) primaryKey() []byte { return q.keyBuf[:q.primary] }

func (q *Request) buildKey(c *Cache) {
	p := key.Parts{
		Scheme: q.Scheme, Host: q.Host, Path: q.Path, Query: q.Query, HasQuery: q.HasQuery, Variant: q.Variant,
	}
	q.keyBuf = key.Append(q.keyBuf[:0], &p, q.Policy.query)
	q.primary = len(q.keyBuf)
	q.hash = key.Hash(c.seed, q.keyBuf)
}

// withSuffix returns the full key under a vary record; without one, the primary key.
func (q *Request) withSuffix(record Object) []byte {
	q.keyBuf = q.keyBuf[:q.primary]
	if record.Exists() {
		q.keyBuf = appendSuffix(q.keyBuf, record, q, nil)
	}
	return q.keyBuf
}

// class is the request's credential class: what an answer may have depended on without saying so.
type class uint8

const (
	withCookies class = 1 << iota
	withAuthorization
)

func (q *Request) class() class {
	var c class
	if q.facts.cookie && !q.Policy.StripsCredentials() {
		c |= withCookies
	}
	if q.facts.authorization {
		c |= withAuthorization
	}
	return c
}

// Verdict says what to do with a request.
type Verdict uint8

// The verdicts.
const (
	// Hit: answer with Result.Object.
	Hit Verdict = iota
	// Stale: answer with Result.Object although it is stale; when Result.Refresh is set, also call
	// Cache.Refresh.
	Stale
	// Follow: answer from Result.Fill.Reader, while it arrives.
	Follow
	// Miss: call Cache.Lead. What is fetched is a GET of Policy.AppendTarget's target, without the client's
	// conditions and range, with what Result.AppendConditions says in their place, without credentials when
	// Policy.StripsCredentials.
	Miss
	// Alone: fetch without a lease. With Result.Raw the client's request travels as it came, and its answer
	// back; otherwise it is fetched like a Miss and offered to Cache.Begin all the same. The client's
	// If-None-Match and If-Modified-Since may travel along where there is no Object to validate: a 304 is the
	// client's then.
	Alone
	// Refuse: the client wants a stored response or none (only-if-cached): 504.
	Refuse
)

var verdictNames = [...]string{"hit", "stale", "follow", "miss", "alone", "refuse"}

func (v Verdict) String() string { return verdictNames[v] }

// Result is what Lookup found.
type Result struct {
	Verdict Verdict
	Reason  Reason        // why not simply a hit; empty for hits
	Object  Object        // see Verdict
	Fill    *Fill         // of Follow
	Age     time.Duration // of Object, for the Age field
	Left    time.Duration // freshness left of Object; negative when stale (the ttl of Cache-Status)
	Refresh bool          // of Stale: a new response should be fetched in the background
	Raw     bool          // of Alone: nothing of the answer is stored
	Partial bool          // of Miss and Alone: what is fetched is the client's range
	Part    Object        // of Miss: what is held of the whole already; see Completing

	parts  bool   // of Partial: some parts are stored
	stale  bool   // of Follow: what the fill will take the place of is stored
	equal  bool   // Object was asked for in other words, which the origin or the route takes for the same; see equal.go
	record Object // the vary record under the primary key, if one is known
	began  time.Time
	epoch  uint64 // the last purge that was known before the origin was asked

	background bool   // nobody waits for the answer
	early      bool   // what is stored is fresh still
	seen       string // what lies in the shared tier; see Found
	rooted     bool   // the shared tier has something under the primary key
	anew       bool   // the vary record here may be from before a write: a new one is due
	lease      Lease  // for the Fill
}

// Validating reports whether the fetch should carry the object's validators.
func (r *Result) Validating() bool {
	return !r.Raw && !r.equal && r.Object.Exists() && r.Object.CanValidate() && (r.Verdict == Miss || r.Verdict == Alone)
}

// OnFailure decides whether Result.Object may stand in when the origin failed (RFC 9111 §4.2.4, RFC 5861),
// with the Reason to give.
func (q *Request) OnFailure(r *Result, f rfc9111.Failure, now time.Time) (bool, Reason) {
	if !r.Object.Exists() {
		return false, MissURI
	}
	s := r.Object.stored(now)
	return rfc9111.ReuseOnFailure(&s, &q.facts.directives, f, q.Policy.rules.IfDown)
}
