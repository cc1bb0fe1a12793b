package route

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/tzero-edge/tzero/internal/field"
)

// rule is one host and one path of a route: what the table orders and matches.
type rule struct {
	route   *Route
	scheme  string // "" for any
	host    hostPattern
	path    pattern
	methods methodSet
	conds   []condition
}

// compare is the one definition of which rule goes first; docs in the package comment. Where two rules
// can match no request in common, its answer is for the reader's eyes only.
func compare(a, b *rule) int {
	return cmp.Or(
		-cmp.Compare(len(a.scheme), len(b.scheme)), // bound to a scheme before not
		cmp.Compare(a.host.class, b.host.class),
		-cmp.Compare(a.host.depth(), b.host.depth()), // *.a.example.com before *.example.com
		strings.Compare(a.host.name, b.host.name),
		comparePath(&a.path, &b.path),
		compareMethods(&a.methods, &b.methods),
		-cmp.Compare(len(a.conds), len(b.conds)),
		-cmp.Compare(strength(a.conds), strength(b.conds)),
		cmp.Compare(a.route.Index, b.route.Index),
	)
}

func comparePath(a, b *pattern) int {
	return cmp.Or(
		cmp.Compare(a.class, b.class),
		-cmp.Compare(len(a.lit), len(b.lit)),
		strings.Compare(a.lit, b.lit),
		-cmp.Compare(a.literals, b.literals),
		cmp.Compare(a.deep, b.deep),
		cmp.Compare(a.stars, b.stars),
	)
}

// compareMethods puts rules with methods before those without, fewer methods before more.
func compareMethods(a, b *methodSet) int {
	return cmp.Compare(a.width(), b.width())
}

func (h hostPattern) depth() int {
	if h.class == hostWild {
		return len(h.name)
	}
	return 0
}

// methodSet holds the methods of a rule; the zero value takes every method.
type methodSet struct {
	bits  uint16
	other []string // methods without a bit
}

// knownMethods are those with a bit. GET implies HEAD (RFC 9110 §9.3.2: it is GET without the body).
var knownMethods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "PURGE", "QUERY"}

const bitGET, bitHEAD = 1, 2

func newMethodSet(names []string) methodSet {
	var s methodSet
	for _, n := range names {
		switch b := methodBit([]byte(n)); {
		case b == bitGET:
			s.bits |= bitGET | bitHEAD
		case b != 0:
			s.bits |= b
		case !slices.Contains(s.other, n):
			s.other = append(s.other, n)
		}
	}
	slices.Sort(s.other)
	return s
}

func methodBit(m []byte) uint16 {
	for i, name := range knownMethods {
		if string(m) == name {
			return 1 << i
		}
	}
	return 0
}

func (s *methodSet) all() bool { return s.bits == 0 && len(s.other) == 0 }

// width counts the methods taken; every method counts as more than any list.
func (s *methodSet) width() int {
	if s.all() {
		return 1 << 20
	}
	return bits.OnesCount16(s.bits) + len(s.other)
}

func (s *methodSet) takes(bit uint16, method []byte) bool {
	if s.all() || s.bits&bit != 0 {
		return true
	}
	if bit == 0 {
		for _, o := range s.other {
			if string(method) == o {
				return true
			}
		}
	}
	return false
}

// names lists the methods, the known ones in their usual order.
func (s *methodSet) names() []string {
	var out []string
	for i, n := range knownMethods {
		if s.bits&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return append(out, s.other...)
}

// unique lists the names without repetition.
func (s *methodSet) unique() []string {
	slices.Sort(s.other)
	s.other = slices.Compact(s.other)
	return s.names()
}

// condition is one compiled header condition.
type condition struct {
	name  string
	op    condOp
	value string
}

type condOp uint8

const (
	condPresent condOp = iota
	condPrefix
	condEquals
)

func newConditions(list []HeaderMatch) []condition {
	var out []condition
	for _, h := range list {
		c := condition{name: strings.ToLower(h.Name)}
		switch {
		case h.Equals != "":
			c.op, c.value = condEquals, h.Equals
		case h.Prefix != "":
			c.op, c.value = condPrefix, h.Prefix
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b condition) int { return strings.Compare(a.name, b.name) })
	return out
}

// strength breaks ties between as many conditions: equality is stronger than any prefix, a longer
// prefix stronger than a shorter one, and mere presence the weakest.
func strength(conds []condition) int {
	n := 0
	for _, c := range conds {
		switch c.op {
		case condEquals:
			n += 1 << 20
		case condPrefix:
			n += 1 + len(c.value)
		}
	}
	return n
}

func (c *condition) holds(fields field.List) bool {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) != len(c.name) || !field.EqualFold(f.Name, c.name) {
			continue
		}
		switch {
		case c.op == condPresent,
			c.op == condEquals && string(f.Value) == c.value,
			c.op == condPrefix && hasPrefix(f.Value, c.value):
			return true
		}
	}
	return false
}

func (c condition) String() string {
	switch c.op {
	case condEquals:
		return c.name + ": " + c.value
	case condPrefix:
		return c.name + ": " + c.value + "*"
	}
	return c.name
}

// implies reports whether every request for which c holds satisfies d too.
func (c condition) implies(d condition) bool {
	if c.name != d.name {
		return false
	}
	switch d.op {
	case condPresent:
		return true
	case condPrefix:
		return c.op != condPresent && strings.HasPrefix(c.value, d.value)
	}
	return c.op == condEquals && c.value == d.value
}
