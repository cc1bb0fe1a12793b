package ratelimit

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

var ruledAt = time.UnixMilli(1_800_000_000_000)

func rule(t testing.TB, l *Limiter, at time.Time, text string) {
	t.Helper()
	o, err := ReadOrder([]byte(text))
	if err == nil {
		err = l.Rule(o, at)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func denies(s *Set, a string) bool { return s.Denies(netip.MustParseAddr(a)) }

func TestRulings(t *testing.T) {
	l := New(1, time.Now())
	s, problems := l.Compile(Config{Keys: 1000, Deny: []string{"192.0.2.0/24"}, Allow: []string{"198.51.100.7"}})
	if problems != nil {
		t.Fatal(problems)
	}
	want := func(denied string, others ...string) {
		t.Helper()
		for _, a := range append(others, strings.Fields(denied)...) {
			if got := denies(s, a); got != strings.Contains(denied, a) {
				t.Errorf("%s denied: %t", a, got)
			}
		}
	}
	want("192.0.2.1 192.0.2.9", "198.51.100.7", "198.51.100.8", "2001:db8::1")
	rule(t, l, ruledAt, `{"deny": ["198.51.100.0/24", "2001:db8::/48"], "allow": ["192.0.2.9"], "for": "10m", "why": "a test"}`)
	want("192.0.2.1 198.51.100.7 198.51.100.8 2001:db8::1 ::ffff:198.51.100.8", "192.0.2.9", "198.51.101.7", "2001:db8:1::1")
	rule(t, l, ruledAt, `{"allow": ["198.51.100.8/29"], "for": "1m"}`)
	want("198.51.100.7 198.51.100.16", "198.51.100.8", "198.51.100.15")
	rule(t, l, ruledAt, `{"lift": ["198.51.100.0/24"]}`)
	want("", "198.51.100.7", "198.51.100.16", "198.51.100.8")
	if n := len(l.Rulings(false, ruledAt)); n != 3 {
		t.Errorf("%d rulings", n)
	}
	l.Expire(ruledAt.Add(time.Minute))
	l.Expire(ruledAt.Add(10 * time.Minute))
	want("192.0.2.1 192.0.2.9", "2001:db8::1", "198.51.100.7")
	if n := len(l.Rulings(true, ruledAt)); n != 0 || l.rulings.view.Load() != nil {
		t.Errorf("%d rulings outlive their time", n)
	}
	if n := testing.AllocsPerRun(100, func() { denies(s, "192.0.2.9") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                                          "nobody",
		`{"deny": ["x"]}`:                             "cannot deny",
		`{"deny": ["10.0.0.0/7"]}`:                    "mistake",
		`{"deny": ["0.0.0.0/0"]}`:                     "mistake",
		`{"allow": ["2001::/8"]}`:                     "bits beyond",
		`{"allow": ["2000::/8"]}`:                     "mistake",
		`{"deny": ["192.0.2.1"], "for": "32d"}`:       "for",
		`{"deny": ["192.0.2.1"], "for": "-1s"}`:       "for",
		`{"deny": ["192.0.2.1"], "why": "\u001b[2J"}`: "do not print",
		`{"deny": ["192.0.2.1"], "why": "` + strings.Repeat("x", 201) + `"}`: "200 bytes",
		`{"deny": ["192.0.2.1"], "allow": ["192.0.2.1"]}`:                    "twice",
		`{"deny": ["192.0.2.1"]} {}`:                                         "follows",
		`{"ban": ["192.0.2.1"]}`:                                             "unknown field",
	} {
		if _, err := ReadOrder([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	l := New(1, time.Now())
	if err := l.Rule(Order{Deny: []string{"192.0.2.1"}, Lift: []string{"192.0.2.2"}}, ruledAt); err == nil || len(l.Rulings(true, ruledAt)) != 0 {
		t.Error("half of an order holds", err)
	}
}

// Gateways learn rulings in any order, and agree.
func TestRulingsConverge(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 50 {
		gateways := []*Limiter{New(1, ruledAt), New(1, ruledAt), New(1, ruledAt)}
		for i := range 60 {
			l := gateways[r.IntN(3)]
			o := Order{For: conf.Duration(time.Duration(1+r.IntN(100)) * time.Minute)}
			list := []*[]string{&o.Deny, &o.Allow, &o.Lift}[r.IntN(3)]
			*list = []string{netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))}).String()}
			_ = l.Rule(o, ruledAt.Add(time.Duration(r.IntN(i+1))*time.Second)) // clocks that differ; nothing may be there to lift
			from, to := gateways[r.IntN(3)], gateways[r.IntN(3)]
			to.Learn(from.Rulings(true, ruledAt), r.IntN(2) == 0, ruledAt)
		}
		for range 2 {
			for _, from := range gateways {
				for _, to := range gateways {
					to.Learn(from.Rulings(true, ruledAt), true, ruledAt)
				}
			}
		}
		for _, l := range gateways[1:] {
			if a, b := gateways[0].Rulings(true, ruledAt), l.Rulings(true, ruledAt); !reflect.DeepEqual(a, b) {
				t.Fatalf("they differ:\n%v\n%v", a, b)
			}
		}
	}
}

// What cannot be is not learned, and what comes last holds even where it was decided by a clock that is behind.
func TestWhatIsLearned(t *testing.T) {
	l := New(1, ruledAt)
	good := Ruling{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Verb: Deny, Until: ruledAt.Add(time.Hour), Changed: ruledAt.Add(time.Minute)}
	bad := []Ruling{{}, good, good, good, good, good}
	bad[1].Verb, bad[2].Prefix = "eat", netip.MustParsePrefix("0.0.0.0/0")
	bad[3].Until, bad[4].Changed, bad[5].Prefix = ruledAt.Add(90*24*time.Hour), ruledAt.Add(48*time.Hour), netip.MustParsePrefix("192.0.2.1/24")
	if l.Learn(bad, true, ruledAt) || l.rulings.view.Load() != nil {
		t.Error("what is no ruling is learned")
	}
	if !l.Learn([]Ruling{good}, true, ruledAt) || len(l.Unsent(9)) != 0 {
		t.Error("a ruling is not learned, or told back")
	}
	rule(t, l, ruledAt, `{"lift": ["192.0.2.0/24"]}`)
	lifted := l.Unsent(9)
	if len(lifted) != 1 || !lifted[0].after(&good) || l.about(netip.MustParseAddr("192.0.2.1")) != "" {
		t.Error("what is lifted by a clock that is behind comes back", lifted)
	}
	l.Sent(lifted)
	l.Learn([]Ruling{good}, true, ruledAt)
	if len(l.Unsent(9)) != 1 {
		t.Error("what the others lack is not told")
	}
}

func FuzzReadOrder(f *testing.F) {
	f.Add([]byte(`{"deny": ["192.0.2.1", "2001:db8::/32"], "for": "1h", "why": "x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ReadOrder(b)
		if err != nil || len(o.Lift) > 0 {
			return
		}
		l := New(1, ruledAt)
		if err := l.Rule(o, ruledAt); err != nil {
			t.Fatalf("%s is read and refused: %v", b, err)
		}
		text, _ := json.Marshal(l.Rulings(true, ruledAt))
		var back []Ruling
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		other := New(1, ruledAt)
		other.Learn(back, true, ruledAt)
		if len(other.Rulings(true, ruledAt)) != len(back) {
			t.Fatalf("%s does not travel", b)
		}
	})
}
