package malformed

// Expect is what the RFC asks of a server for one case.
type Expect string

const (
	// Refuse: the RFC says MUST reject, or the message cannot be delimited. An error status, the connection closed, not
	// one byte at the origin.
	Refuse Expect = "refuse"
	// Cut is Refuse for an offence inside a body, see Case.Streams: never a complete request (RFC 9112 §8).
	Cut Expect = "cut"
	// Should: the message breaks the grammar, but the RFC says SHOULD or leaves a choice (replace by SP, drop the line,
	// accept LF). Either a refusal as above or a clean form at the origin. With Options.House it is judged as Refuse,
	// because tzero promises to refuse whatever is malformed.
	Should Expect = "should"
	// Either: a legal message that a server may decline. If it is forwarded, then in a clean form.
	Either Expect = "either"
	// Accept: a legal message which the origin must receive as described by Want.
	Accept Expect = "accept"
)

// Case is one row of the table.
type Case struct {
	Class, Name, Section string
	Where                string // file:line, for messages
	ID                   string // unique and of fixed width, part of nearly every target: ties origin connections to cases
	Raw                  []byte
	Expect               Expect
	Statuses             []int // error statuses allowed; none: any 4xx, 501 or 505
	Closes               bool  // even when accepted, the connection ends after the answer (RFC 9112 §9.6, §6.1)
	Streams              bool  // the head is well-formed: a clean beginning may be at the origin before the offence is met
	HalfClose            bool  // the client ends its sending side after the case; nothing is pipelined behind it
	Want                 Want
}

// Want is what the origin must have received when a case is forwarded.
type Want struct {
	Method, Target string   // default: the first two words sent
	Fields         []Header // these values, lines of one name joined by ", "; Host is compared without its port
	Absent         []string // no field of this name
	Drops          []string // as Absent, but a promise of tzero's and not of an RFC: judged with Options.House only
	Never          []string // this text in no value: a promise of tzero's too
	Body           string
	AnyBody        bool // the body is not compared: the RFC lets a server ignore or discard it
}

// Header is one expected field.
type Header struct{ Name, Value string }

// Next is the request pipelined behind the case, in the same write. Behind a request that has to be refused its target
// says "smuggled", wherever it then turns up.
func (c *Case) Next() string {
	if c.HalfClose {
		return ""
	}
	return "GET " + c.NextTarget() + " HTTP/1.1\r\nHost: t.test\r\nConnection: close\r\n\r\n"
}

// NextTarget is the target of Next.
func (c *Case) NextTarget() string {
	if c.Expect == Refuse || c.Expect == Cut || c.Closes {
		return "/smuggled-" + c.ID
	}
	return "/next-" + c.ID
}

// Mandatory says whether forwarding the case at all is wrong.
func (c *Case) Mandatory(house bool) bool {
	return c.Expect == Refuse || c.Expect == Cut || (house && c.Expect == Should)
}

// Allows says whether an error status is one the case may be refused with. Other 5xx tell of a request that was tried.
func (c *Case) Allows(status int) bool {
	for _, s := range c.Statuses {
		if s == status {
			return true
		}
	}
	return len(c.Statuses) == 0 && (status/100 == 4 || status == 501 || status == 505)
}
