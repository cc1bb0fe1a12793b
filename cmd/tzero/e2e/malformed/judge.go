package malformed

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one way to fail a case.
type Fault string

const (
	Dangerous        Fault = "dangerous bytes forwarded"
	Smuggled         Fault = "smuggled request at the origin"
	SmuggledAnswered Fault = "answered behind a refusal"
	WronglyAccepted  Fault = "wrongly accepted"
	WronglyRefused   Fault = "wrongly refused"
	Altered          Fault = "forwarded as something else"
	LeftOpen         Fault = "connection left open"
	OddRefusal       Fault = "refused in an unexpected way"
)

// Faults in the order of the totals.
func Faults() []Fault {
	return []Fault{Dangerous, Smuggled, SmuggledAnswered, WronglyAccepted, WronglyRefused, Altered, LeftOpen, OddRefusal}
}

// Has says whether a case failed in this way.
func (r *Result) Has(f Fault) bool { return slices.Contains(r.Faults, f) }

func (r *Result) fault(f Fault, detail string) {
	if !r.Has(f) {
		r.Faults = append(r.Faults, f)
	}
	if r.Detail == "" {
		r.Detail = detail
	}
}

// Refused is an error status of the gateway's own making, or a connection closed without an answer.
func (r *Result) Refused() bool {
	return len(r.Client.Statuses) == 0 || r.Client.Statuses[0] == 0 || r.Client.Statuses[0] >= 400
}

// judge fills Faults from both ends.
func (r *Result) judge(opt Options) {
	for _, o := range r.Origin {
		if len(o.Dangers) > 0 {
			r.fault(Dangerous, strings.Join(o.Dangers, ", "))
		}
		if o.Hidden {
			r.fault(Smuggled, "a request behind what cannot be delimited")
		}
		for _, q := range o.Requests {
			hidden := strings.Contains(q.Target, "smuggled") && q.Target != r.Case.NextTarget()
			if hidden || (q.Target == r.Case.NextTarget() && r.Case.Mandatory(opt.House) && r.Refused()) {
				r.fault(Smuggled, q.Target+" at the origin")
			}
		}
	}
	c := r.Case
	switch {
	case c.Mandatory(opt.House):
		r.judgeRefusal(true)
	case c.Expect == Accept:
		r.judgeForwarded(opt)
	case r.Refused() && (r.forwarded() == nil || c.Streams && !r.whole()):
		r.judgeRefusal(c.Expect == Should)
	default:
		r.judgeForwarded(opt)
	}
}

// whole reports whether a complete request reached the origin.
func (r *Result) whole() bool {
	return slices.ContainsFunc(r.Origin, func(o Reading) bool {
		return slices.ContainsFunc(o.Requests, func(q Request) bool { return q.Complete })
	})
}

// judgeRefusal: nothing at the origin, an error status, and when the message was malformed nothing after it
// (RFC 9112 §2.2: respond with 400 and close the connection).
func (r *Result) judgeRefusal(final bool) {
	c, st := r.Case, r.Client.Statuses
	for _, o := range r.Origin {
		whole := slices.ContainsFunc(o.Requests, func(q Request) bool { return q.Complete })
		if final && (whole || !c.Streams) {
			r.fault(WronglyAccepted, "something of it reached the origin")
		}
	}
	if !r.Refused() {
		r.fault(WronglyAccepted, fmt.Sprintf("answered %d", st[0]))
		return
	}
	switch {
	case len(st) == 0 && c.HalfClose: // nobody is left to read an answer
	case len(st) == 0 && !r.Client.Closed:
		r.fault(OddRefusal, "no answer")
	case len(st) == 0 && c.Streams && len(r.Origin) > 0: // cut off in the middle: closing is the answer
	case len(st) == 0:
		r.fault(OddRefusal, "closed without an answer")
	case !c.Allows(st[0]):
		r.fault(OddRefusal, fmt.Sprintf("status %d", st[0]))
	}
	if final && len(st) > 1 {
		r.fault(SmuggledAnswered, fmt.Sprintf("answered %v", st))
	}
	if final && !r.Client.Closed && !c.HalfClose {
		r.fault(LeftOpen, "the connection stayed open")
	}
}

// judgeForwarded: the origin received what was sent, and the next request on the connection was served or, where the
// connection has to end, was not.
func (r *Result) judgeForwarded(opt Options) {
	c, st := r.Case, r.Client.Statuses
	got := r.forwarded()
	asOld := len(st) > 0 && st[0] == 0 && c.Expect != Accept // answered without a status line, as HTTP/0.9
	if len(st) == 0 || (st[0] == 0 && !asOld) || st[0] >= 300 {
		f := WronglyRefused
		if c.Expect != Accept {
			f = OddRefusal
		}
		r.fault(f, fmt.Sprintf("answered %v", st))
		return
	}
	if got == nil {
		if c.Expect == Accept {
			r.fault(WronglyRefused, "not at the origin")
		}
		return
	}
	if d := c.Want.differs(got, opt.House); d != "" {
		r.fault(Altered, d)
	}
	if c.HalfClose {
		return
	}
	next := len(st) > 1 // its Connection: close ends the connection
	if !r.Client.Closed && (next || c.Closes || c.Expect == Accept) {
		r.fault(LeftOpen, "the connection stayed open")
	}
	switch {
	case c.Closes && next:
		r.fault(Altered, "a request behind the last one of the connection was answered")
	case !c.Closes && !next && c.Expect == Accept:
		r.fault(WronglyRefused, "the next request was not answered")
	}
}

// forwarded is the first request at the origin that is not the pipelined one.
func (r *Result) forwarded() *Request {
	for _, o := range r.Origin {
		for i := range o.Requests {
			if o.Requests[i].Target != r.Case.NextTarget() {
				return &o.Requests[i]
			}
		}
	}
	return nil
}

// differs says how a request at the origin is not the one wanted, or "".
func (w *Want) differs(q *Request, house bool) string {
	switch {
	case q.Method != w.Method:
		return fmt.Sprintf("method %q", q.Method)
	case q.Target != w.Target:
		return fmt.Sprintf("target %q", q.Target)
	case !q.Complete:
		return "incomplete"
	case !w.AnyBody && q.Body != w.Body:
		return fmt.Sprintf("body %.24q", q.Body)
	}
	for _, f := range w.Fields {
		if v, _ := q.value(f.Name); v != f.Value && !(strings.EqualFold(f.Name, "Host") && sameHost(v, f.Value)) {
			return fmt.Sprintf("%s: %.32q", f.Name, v)
		}
	}
	absent := w.Absent
	if house {
		absent = slices.Concat(absent, w.Drops)
	}
	for _, name := range absent {
		if v, has := q.value(name); has {
			return fmt.Sprintf("still %s: %.24q", name, v)
		}
	}
	for _, f := range q.Fields {
		if house && slices.ContainsFunc(w.Never, func(text string) bool { return strings.Contains(f.Value, text) }) {
			return fmt.Sprintf("%s: %.24q", f.Name, f.Value)
		}
	}
	return ""
}

// value joins all lines of a name as RFC 9110 §5.3 does.
func (q *Request) value(name string) (string, bool) {
	var values []string
	for _, f := range q.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, ", "), len(values) > 0
}

// sameHost ignores case and the port, which a gateway may leave out or add.
func sameHost(a, b string) bool {
	cut := func(s string) string {
		if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
			s = s[:i]
		}
		return s
	}
	return strings.EqualFold(cut(a), cut(b))
}
