package ratelimit

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var began = time.Unix(1_800_000_000, 0)

// bench is a limiter with a configuration and a clock.
type rig struct {
	t   *testing.T
	l   *Limiter
	set *Set
	now time.Time
	r   Receipt
}

func newRig(t *testing.T, c Config) *rig {
	g := &rig{t: t, l: New(99, began), now: began}
	g.use(c)
	return g
}

func (g *rig) use(c Config) {
	g.t.Helper()
	if c.Keys == 0 {
		c.Keys = 1000
	}
	set, ps := g.l.Compile(c)
	if len(ps) > 0 {
		g.t.Fatal(ps)
	}
	g.set = set
}

func policy(rate string, change func(*PolicyConfig)) PolicyConfig {
	p := DefaultPolicy()
	if err := p.Rate.UnmarshalText([]byte(rate)); err != nil {
		panic(err)
	}
	if change != nil {
		change(&p)
	}
	return p
}

func named(p PolicyConfig) Config { return Config{Policies: map[string]PolicyConfig{"p": p}} }

// ask sends a request under the policies and reports whether it passes.
func (g *rig) ask(names string, a Asker) bool {
	g.t.Helper()
	c, err := g.set.Chain(strings.Fields(names))
	if err != nil {
		g.t.Fatal(err)
	}
	g.r.Reset()
	ok := g.set.Ask(c.All, &a, g.now, &g.r) && g.set.Ask(c.Origin, &a, g.now, &g.r)
	g.r.Count()
	return ok
}

// passes counts how many of n requests pass.
func (g *rig) passes(n int, a Asker) int {
	passed := 0
	for range n {
		if g.ask("p", a) {
			passed++
		}
	}
	return passed
}

func from(addr string, lines ...string) Asker {
	a := Asker{Address: netip.MustParseAddr(addr), Route: "r"}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		a.Fields.AddString(name, value)
	}
	return a
}

func TestByAddress(t *testing.T) {
	g := newRig(t, named(policy("5/1m", nil)))
	for _, c := range []struct {
		addr string
		want int
	}{{"192.0.2.1", 5}, {"192.0.2.2", 5}, {"::ffff:192.0.2.1", 0}, {"2001:db8::1", 5}, {"2001:db8::ffff:2", 0}, {"2001:db8:0:1::1", 5}} {
		if n := g.passes(10, from(c.addr)); n != c.want {
			t.Errorf("%s: %d of 10 passed, not %d", c.addr, n, c.want)
		}
	}
	g.now = g.now.Add(12 * time.Second)
	if n := g.passes(10, from("192.0.2.1")); n != 1 {
		t.Errorf("12 s later %d passed, not 1", n)
	}
}

// TestSite has a client use every /64 of a /48: it gets 32 times as much, and no more.
func TestSite(t *testing.T) {
	g := newRig(t, named(policy("5/1m", nil)))
	passed := 0
	for i := range 200 {
		passed += g.passes(5, from(fmt.Sprintf("2001:db8:7:%x::1", i)))
	}
	if passed != 32*5 {
		t.Errorf("%d of 1000 passed, not 160", passed)
	}
	if n := g.passes(10, from("2001:db8:8::1")); n != 5 {
		t.Error("a neighbour is refused", n)
	}
	if g.ask("p", from("2001:db8:7:ffff::1")) {
		t.Error("one more of the site passed")
	}
	if w := g.r.Wait(); w <= 0 || w > 12*time.Second/32 {
		t.Error("the site waits", w)
	}
}

func TestKeys(t *testing.T) {
	by := func(words ...string) Config {
		return named(policy("3/1m", func(p *PolicyConfig) { p.By = words }))
	}
	a, b := from("192.0.2.1"), from("192.0.2.2")
	elsewhere := a
	elsewhere.Route = "other"
	key := from("192.0.2.1", "X-Api-Key: one")
	sameKey := from("192.0.2.2", "x-api-key: one")
	session := from("192.0.2.1", "Cookie: a=1; sid=s1; sidx=2")
	sameSession := from("192.0.2.2", "Cookie: b=sid=s3", "Cookie: sid=s1")
	long := from("192.0.2.1", "X-Api-Key: "+strings.Repeat("x", 5000))
	for _, c := range []struct {
		name          string
		config        Config
		first, second Asker
		shared        bool
	}{
		{"everyone", by("everyone"), a, b, true},
		{"route, the same", by("route"), a, b, true},
		{"route, another", by("route"), a, elsewhere, false},
		{"address and route", by("address", "route"), a, elsewhere, false},
		{"header, the same", by("header:X-Api-Key"), key, sameKey, true},
		{"header, none: the address", by("header:X-Api-Key"), a, b, false},
		{"header, none, one address", by("header:X-Api-Key"), a, elsewhere, true},
		{"header and none", by("header:X-Api-Key"), a, key, false},
		{"header, long", by("header:X-Api-Key"), long, key, false},
		{"header with address", by("header:X-Api-Key", "address"), key, sameKey, false},
		{"cookie", by("cookie:sid"), session, sameSession, true},
		{"cookie, none", by("cookie:other"), session, sameSession, false},
	} {
		g := newRig(t, c.config)
		n, m := g.passes(5, c.first), g.passes(5, c.second)
		if want := map[bool]int{true: 0, false: 3}[c.shared]; n != 3 || m != want {
			t.Errorf("%s: %d passed, then %d", c.name, n, m)
		}
	}
}

func TestSeveral(t *testing.T) {
	c := Config{Policies: map[string]PolicyConfig{
		"second": policy("2/1s", nil),
		"minute": policy("3/1m", nil),
		"all":    policy("9/1m", func(p *PolicyConfig) { p.Count = CountAll }),
	}}
	g := newRig(t, c)
	a := from("192.0.2.1")
	const names = "minute all second"
	for i, want := range []bool{true, true, false} {
		if g.ask(names, a) != want {
			t.Fatal("request", i)
		}
	}
	if p := g.r.Refused(); p == nil || p.Name != "second" || g.r.Wait() != 500*time.Millisecond {
		t.Fatal("refused by", p, g.r.Wait())
	}
	if got := string(g.r.AppendState(nil)); got != `"all";r=6;t=7, "minute";r=1;t=20, "second";r=0;t=1` {
		t.Error(got)
	}
	if got := string(g.r.AppendPolicy(nil)); got != `"all";q=9;w=60, "minute";q=3;w=60, "second";q=2;w=1` {
		t.Error(got)
	}
	g.now = g.now.Add(time.Second)
	if !g.ask(names, a) {
		t.Error("what one policy refused was charged by another")
	}
	if g.ask(names, a) || g.r.Refused().Name != "minute" {
		t.Error("a fourth in the minute")
	}
}

func TestGiveBack(t *testing.T) {
	c := Config{Policies: map[string]PolicyConfig{
		"pages": policy("1/1m", nil),
		"all":   policy("5/1m", func(p *PolicyConfig) { p.Count = CountAll }),
	}}
	g := newRig(t, c)
	for i := range 5 {
		if !g.ask("pages all", from("2001:db8::1")) {
			t.Fatal("request", i, "although the origin was never reached")
		}
		g.set.GiveBack(&g.r)
		if got := string(g.r.AppendState(nil)); !strings.HasPrefix(got, `"all";r=`) || strings.Contains(got, "pages") {
			t.Fatal(got)
		}
	}
	if g.ask("pages all", from("2001:db8::1")) || g.r.Refused().Name != "all" {
		t.Error("a request that was made is not counted as made")
	}
}

func TestDryRun(t *testing.T) {
	g := newRig(t, named(policy("2/1m", func(p *PolicyConfig) { p.DryRun = true })))
	for i := range 5 {
		if !g.ask("p", from("2001:db8::1")) || (g.r.Would() != nil) != (i >= 2) || g.r.Charged() {
			t.Fatal("request", i, g.r.Would())
		}
	}
	if st := g.l.Stats(g.now).Policies[0]; st.Allowed != 2 || st.WouldLimit != 3 || st.Limited != 0 {
		t.Error(st)
	}
}

func TestLists(t *testing.T) {
	c := named(policy("1/1m", nil))
	c.Allow, c.Deny = []string{"192.0.2.0/24", "2001:db8::/32"}, []string{"0.0.0.0/0", "2001:db8:bad::/48"}
	g := newRig(t, c)
	if n := g.passes(9, from("192.0.2.7")); n != 9 {
		t.Error("an allowed address is limited", n)
	}
	for addr, want := range map[string]bool{"192.0.2.7": false, "198.51.100.1": true, "::ffff:198.51.100.1": true, "2001:db8:bad::1": false, "2001:db9::1": false} {
		if g.set.Denies(netip.MustParseAddr(addr)) != want {
			t.Error(addr)
		}
	}
	if n := g.l.Stats(g.now).Denied; n != 2 {
		t.Error(n)
	}
}

// TestReload changes the configuration: the allowances stay, under the policies' names.
func TestReload(t *testing.T) {
	g := newRig(t, named(policy("5/1m", nil)))
	a := from("192.0.2.1")
	g.passes(5, a)
	other := named(policy("5/1m", nil))
	other.Policies["a-new-one"] = policy("1/1s", nil) // before it in every order
	g.use(other)
	if g.ask("p", a) {
		t.Error("a reload forgave what was taken")
	}
	g.use(Config{})
	g.use(named(policy("10/1m", nil)))
	if n := g.passes(20, a); n != 5 && n != 7 { // 5 of 12 s each, where an interval is 6 s now: they weigh as 60 s of 60
		if n != 0 {
			t.Error(n)
		}
	}
	if st := g.l.Stats(g.now); len(st.Policies) != 2 || st.Policies[1].Name != "p" || st.Policies[1].Limited < 1 {
		t.Error(st)
	}
}

func TestSlots(t *testing.T) {
	l := New(1, began)
	for i := range 200 {
		c := Config{Keys: 1000, Policies: map[string]PolicyConfig{}}
		for j := range maxPolicies {
			c.Policies[fmt.Sprint("p", i, "-", j)] = policy("1/1s", nil)
		}
		set, ps := l.Compile(c)
		if len(ps) > 0 {
			t.Fatal(ps)
		}
		seen := map[uint8]bool{}
		for _, p := range set.policies {
			if seen[p.slot] || p.slot == 0 {
				t.Fatal("two policies have the slot", p.slot)
			}
			seen[p.slot] = true
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute} {
		seen := map[int]bool{}
		for random := range uint64(100) {
			s := RetryAfter(wait, random)
			if time.Duration(s)*time.Second < wait || s < 1 || time.Duration(s)*time.Second > wait+wait/5+3*time.Second {
				t.Fatal(wait, s)
			}
			seen[s] = true
		}
		if len(seen) < 2 {
			t.Error(wait, "is always answered alike")
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]string{"100/1m": "100/1m", "5/s": "5/1s", "10 / 250ms": "10/250ms", "1/d": "1/1d", "7/h": "7/1h"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != want {
			t.Error(text, r, err)
		}
	}
	for _, text := range []string{"", "100", "/s", "0/s", "-1/s", "1/0s", "1/-1s", "1/week", "1/", "9999999999999999999/s", "1/s/s"} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "100/1m") {
			t.Error(text, r, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{named(policy("1/s", func(p *PolicyConfig) { p.By = nil })), "policies.p.by: needs between 1 and 4 words"},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"adress"} })), `policies.p.by: "adress" is none of`},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"header"} })), "policies.p.by: \"header\": write"},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"header:a b"} })), "policies.p.by: \"header:a b\": write"},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"address:x"} })), "policies.p.by: \"address:x\": write"},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"route", "route"} })), "stands there twice"},
		{named(policy("1/s", func(p *PolicyConfig) { p.By = []string{"everyone", "route"} })), "everyone stands alone"},
		{named(policy("1/s", func(p *PolicyConfig) { p.Count = "some" })), "policies.p.count"},
		{named(policy("1/s", func(p *PolicyConfig) { p.Burst = -1 })), "policies.p.burst"},
		{named(policy("1/d", func(p *PolicyConfig) { p.Burst = 32 })), "policies.p.rate: a burst of 32"},
		{named(policy("10000000/s", nil)), "policies.p.rate: 10000000/1s is more than"},
		{named(PolicyConfig{By: []string{"address"}, Count: "all"}), "policies.p.rate: is missing"},
		{Config{Default: []string{"p"}}, `default[0]: no policy under rate_limits.policies is called "p"; there is none`},
		{Config{Deny: []string{"10.0.0.0/8", "x"}}, "deny[1]: "},
		{Config{Allow: []string{"x"}}, "allow[0]: "},
		{Config{Keys: 5}, "keys: must lie between"},
		{Config{Policies: map[string]PolicyConfig{"a b": policy("1/s", nil)}}, "policies.a b: a name has"},
	} {
		if c.config.Keys == 0 {
			c.config.Keys = 1000
		}
		ps := c.config.Validate()
		if len(ps) == 0 || !strings.Contains(ps[0].String(), c.want) {
			t.Errorf("%v, not %q", ps, c.want)
		}
	}
	if ps := Default().Validate(); len(ps) > 0 {
		t.Error(ps)
	}
}

func FuzzCookie(f *testing.F) {
	f.Add([]byte("a=1; sid=2;sid=3"), "sid")
	f.Add([]byte(";;=;sid"), "sid")
	f.Fuzz(func(t *testing.T, line []byte, name string) {
		v := cookie(line, name)
		if v != nil && name != "" && !strings.Contains(string(line), name+"="+string(v)) {
			t.Fatalf("%q has no %s=%q", line, name, v)
		}
	})
}

func FuzzRate(f *testing.F) {
	f.Add("100/1m")
	f.Fuzz(func(t *testing.T, s string) {
		var r, again Rate
		if r.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(r.String())); err != nil || again != r {
			t.Fatalf("%q is read as %v, which is read as %v: %v", s, r, again, err)
		}
		p := DefaultPolicy()
		p.Rate = r
		if ps := p.validate(); len(ps) == 0 {
			if q := p.quota(); q.Interval <= 0 || q.Burst < q.Interval {
				t.Fatalf("%v has the quota %+v", r, q)
			}
		}
	})
}

// asker keeps the compiler from making the limiter's arguments constants.
type asker interface {
	Ask([]*Policy, *Asker, time.Time, *Receipt) bool
}

func TestAllocatesNothing(t *testing.T) {
	c := Config{Policies: map[string]PolicyConfig{
		"a": policy("1000000/1m", nil),
		"b": policy("1000000/1m", func(p *PolicyConfig) { p.By = []string{"header:X-Key", "cookie:sid", "route"} }),
	}}
	g := newRig(t, c)
	chain, _ := g.set.Chain([]string{"a", "b"})
	a := from("2001:db8::1", "X-Key: abc", "Cookie: x=1; sid=4")
	var s asker = g.set
	var room [256]byte
	if n := testing.AllocsPerRun(1000, func() {
		g.r.Reset()
		s.Ask(chain.Origin, &a, g.now, &g.r)
		g.r.AppendState(g.r.AppendPolicy(room[:0]))
		g.set.GiveBack(&g.r)
	}); n != 0 {
		t.Error(n, "allocations a decision")
	}
}

func BenchmarkAsk(b *testing.B) {
	l := New(1, began)
	set, ps := l.Compile(Config{Keys: 1_000_000, Policies: map[string]PolicyConfig{"p": policy("1000000/1s", nil)}})
	if len(ps) > 0 {
		b.Fatal(ps)
	}
	chain, _ := set.Chain([]string{"p"})
	var r Receipt
	now := began
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		b.Run(addr, func(b *testing.B) {
			a := from(addr)
			b.ReportAllocs()
			for b.Loop() {
				r.Reset()
				now = now.Add(time.Microsecond)
				set.Ask(chain.Origin, &a, now, &r)
			}
		})
	}
}
