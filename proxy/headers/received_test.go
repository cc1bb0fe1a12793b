package headers

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// section is a field section as a Reader of package http1 gives it out: by its number.
type section struct {
	number uint32
	text   string
}

func (s section) list() field.List { return lines(strings.Split(s.text, "|")...) }

// wants is what Receive makes of a section that it has never seen.
func (s section) wants(p *Policy, trusted bool) (string, Seen) {
	l := s.list()
	var seen Seen
	p.Receive(&l, trusted, &seen)
	return show(l), seen
}

// check has m receive s, and returns the list for the test to spoil.
func (s section) check(t *testing.T, p *Policy, m *Received, trusted bool) field.List {
	t.Helper()
	l := s.list()
	seen := Seen{Loops: 99, Referer: []byte("of the request before")}
	p.ReceiveFrom(m, s.number, &l, trusted, &seen)
	want, wantSeen := s.wants(p, trusted)
	if got := show(l); got != want || !reflect.DeepEqual(seen, wantSeen) {
		t.Fatalf("section %d, trusted %v:\n%s%+v\nwant\n%s%+v", s.number, trusted, got, seen, want, wantSeen)
	}
	return l
}

var receivedTexts = []string{
	"Host: a|User-Agent: x|Accept: */*|Cookie: a=b",
	"Host: a|User-Agent: x|Accept: */*|Cookie: a=c",
	"Host: a|Connection: X-Mine, Cookie|X-Mine: 1|Cookie: b|X-Request-Id: id-1",
	"Host: a|X-Request-Id: id-1|X-Request-Id: id-2|Referer: r|Referer: s",
	"Host: a|CDN-Loop: tzero|CDN-Loop: other, tzero|X-Forwarded-For: 1.1.1.1|Forwarded: for=1.1.1.1",
	"Host: a|X_Y: 1|X-Original-URL: /admin|TE: x|X-Variant: d|traceparent: e",
	"Host: a",
}

// TestReceiveFromIsReceive: in whatever order a connection's sections come and repeat, by whichever policy they are
// judged, and whatever becomes of the lists: the result is that of Receive.
func TestReceiveFromIsReceive(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	policies := []*Policy{policy(t, nil), policy(t, func(c *Config) { c.LoopID = "other" })}
	for range 500 {
		var m Received
		trusted := rnd.IntN(2) == 0
		s, next := section{text: receivedTexts[0]}, uint32(0)
		p := policies[0]
		for range 40 {
			switch rnd.IntN(8) {
			case 0, 1: // other fields, and the Reader remembers them
				next++
				s = section{next, receivedTexts[rnd.IntN(len(receivedTexts))]}
			case 2:
				s = section{0, receivedTexts[rnd.IntN(len(receivedTexts))]}
			case 3:
				p = policies[rnd.IntN(2)]
			case 4:
				m.Forget()
			}
			l := s.check(t, p, &m, trusted)
			for i := range l { // the list is the request's own
				if rnd.IntN(2) == 0 {
					l[i] = field.Field{Name: []byte("X-Spoilt"), Value: []byte("1")}
				}
			}
		}
	}
}

func TestReceivedIsByOnePolicy(t *testing.T) {
	old, reloaded := policy(t, nil), policy(t, func(c *Config) { c.LoopID = "other" })
	s := section{7, receivedTexts[4]}
	var m Received
	for _, p := range []*Policy{old, old, reloaded, reloaded, old} {
		s.check(t, p, &m, false)
		if m.by != p || m.section != 7 {
			t.Errorf("section %d is remembered", m.section)
		}
	}
	if a, b := loopsOf(old, s), loopsOf(reloaded, s); a == b {
		t.Fatal("both policies count the same loops: this proves nothing")
	}
}

func loopsOf(p *Policy, s section) int {
	_, seen := s.wants(p, false)
	return seen.Loops
}

func TestForgetLetsGo(t *testing.T) {
	p := policy(t, nil)
	var m Received
	section{3, receivedTexts[0]}.check(t, p, &m, false)
	room := cap(m.fields)
	m.Forget()
	if m.by != nil || m.section != 0 || !reflect.DeepEqual(m.seen, Seen{}) || len(m.fields) != 0 || cap(m.fields) != room {
		t.Errorf("left: %+v", m)
	}
	for _, f := range m.fields[:room] {
		if f.Name != nil || f.Value != nil {
			t.Errorf("a line is left: %s: %s", f.Name, f.Value)
		}
	}
	section{3, receivedTexts[1]}.check(t, p, &m, false) // another client's third
	section{0, receivedTexts[2]}.check(t, p, &m, false)
	section{3, receivedTexts[1]}.check(t, p, &m, false)
}

func TestReceiveFromAllocatesNothing(t *testing.T) {
	p := policy(t, nil)
	var m Received
	in := section{text: receivedTexts[0]}.list()
	l := make(field.List, 0, len(in))
	var seen Seen
	for name, number := range map[string]func(n uint32) uint32{
		"repeated":     func(uint32) uint32 { return 1 },
		"always other": func(n uint32) uint32 { return n },
		"unknown":      func(uint32) uint32 { return 0 },
	} {
		n := uint32(1)
		if allocs := testing.AllocsPerRun(100, func() {
			n++
			l = append(l[:0], in...)
			p.ReceiveFrom(&m, number(n), &l, false, &seen)
		}); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
