package headers

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// lines makes a section from "Name: value" strings.
func lines(list ...string) field.List {
	var out field.List
	for _, s := range list {
		name, value, _ := strings.Cut(s, ":")
		out.AddString(name, strings.TrimSpace(value))
	}
	return out
}

func show(l field.List) string {
	var b strings.Builder
	for _, f := range l {
		b.WriteString(string(f.Name) + ": " + string(f.Value) + "\n")
	}
	return b.String()
}

func policy(t testing.TB, change func(*Config)) *Policy {
	t.Helper()
	c := Default()
	c.TrustedProxies = []string{"10.0.0.0/8", "2001:db8:ffff::/48", "loopback"}
	if change != nil {
		change(&c)
	}
	p, problems := New(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func TestIdentify(t *testing.T) {
	auto := policy(t, nil)
	strictly := policy(t, func(c *Config) { c.ClientFrom = FromForwarded })
	hosts := policy(t, func(c *Config) { c.ForwardedHost = true })
	check := func(name string, p *Policy, peer, want string, in ...string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			var id Identity
			p.Identify(&id, netip.MustParseAddr(peer), "http", lines(in...))
			got := id.Client.String() + " " + id.Scheme + " " + id.Source.String()
			if id.Host != nil {
				got += " host=" + string(id.Host)
			}
			if id.Disagree {
				got += " disagree"
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	check("nobody trusted", policy(t, func(c *Config) { c.TrustedProxies = nil }), "10.0.0.1", "10.0.0.1 http peer", "X-Forwarded-For: 9.9.9.9")
	check("peer not trusted", auto, "8.8.8.8", "8.8.8.8 http peer", "X-Forwarded-For: 9.9.9.9", "Forwarded: for=9.9.9.9", "X-Forwarded-Proto: https")
	check("one address", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9")
	check("mapped peer", auto, "::ffff:10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9")
	check("right-most untrusted", auto, "10.0.0.1", "8.8.8.8 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9, 8.8.8.8 ,10.0.0.2")
	check("over several lines", auto, "10.0.0.1", "8.8.8.8 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "A: b", "x-forwarded-for: 8.8.8.8", "X-Forwarded-For: 10.0.0.2,")
	check("all trusted: the furthest", auto, "10.0.0.1", "10.0.0.3 http x-forwarded-for", "X-Forwarded-For: 10.0.0.3, 10.0.0.2")
	check("IPv4 with port", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9:1234")
	check("IPv6 bare", auto, "::1", "2001:db8::1 http x-forwarded-for", "X-Forwarded-For: 2001:db8::1")
	check("IPv6 with port", auto, "::1", "2001:db8::1 http x-forwarded-for", "X-Forwarded-For: [2001:db8::1]:443")
	check("mapped address", auto, "::1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: ::ffff:9.9.9.9")
	check("garbage ends the walk", auto, "10.0.0.1", "10.0.0.2 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9, <script>, 10.0.0.2")
	check("garbage at once", auto, "10.0.0.1", "10.0.0.1 http peer", "X-Forwarded-For: 9.9.9.9, unknown")
	check("zone", auto, "10.0.0.1", "10.0.0.1 http peer", "X-Forwarded-For: fe80::1%eth0")
	check("leading zeros", auto, "10.0.0.1", "10.0.0.1 http peer", "X-Forwarded-For: 010.0.0.9")
	check("long chain of trusted", auto, "10.0.0.1", "10.0.0.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9"+strings.Repeat(", 10.0.0.9", 40))

	check("proto", auto, "10.0.0.1", "9.9.9.9 https x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: HTTPS")
	check("proto alone", auto, "10.0.0.1", "10.0.0.1 https peer", "X-Forwarded-Proto: https")
	check("proto of the client's hop", auto, "10.0.0.1", "9.9.9.9 https x-forwarded-for", "X-Forwarded-For: 1.1.1.1, 9.9.9.9, 10.0.0.2", "X-Forwarded-Proto: http, https, http")
	check("proto of a websocket", auto, "10.0.0.1", "9.9.9.9 https x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: wss")
	check("proto forged in front", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https, http")
	check("proto unknown", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: gopher")
	check("host not taken", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Host: evil.example")
	check("host taken", hosts, "10.0.0.1", "9.9.9.9 http x-forwarded-for host=shop.example:8080", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Host: shop.example:8080")
	check("host malformed", hosts, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Host: a/b")

	check("Forwarded", auto, "10.0.0.1", "9.9.9.9 https forwarded", "Forwarded: for=9.9.9.9;proto=https;by=10.0.0.1")
	check("Forwarded, IPv6", auto, "10.0.0.1", "2001:db8::1 http forwarded", `Forwarded: For="[2001:db8::1]:4711"`)
	check("Forwarded, IPv6 without quotes", auto, "10.0.0.1", "10.0.0.1 http peer", `Forwarded: for=[2001:db8::1]`)
	check("Forwarded, IPv6 without brackets", auto, "10.0.0.1", "10.0.0.1 http peer", `Forwarded: for="2001:db8::1"`)
	check("Forwarded, port", auto, "10.0.0.1", "9.9.9.9 http forwarded", `Forwarded: for="9.9.9.9:80"`)
	check("Forwarded, hidden port", auto, "10.0.0.1", "9.9.9.9 http forwarded", `Forwarded: for="9.9.9.9:_x"`)
	check("Forwarded, right-most", auto, "10.0.0.1", "9.9.9.9 http forwarded", "Forwarded: for=1.1.1.1", `Forwarded: for=9.9.9.9, for="10.0.0.2"`)
	check("Forwarded, proto of the client's hop", auto, "10.0.0.1", "9.9.9.9 https forwarded", "Forwarded: for=9.9.9.9;proto=https, for=10.0.0.2;proto=http")
	check("Forwarded, unknown", auto, "10.0.0.1", "10.0.0.2 https forwarded", "Forwarded: for=9.9.9.9, for=unknown;proto=https, for=10.0.0.2")
	check("Forwarded, obfuscated", auto, "10.0.0.1", "10.0.0.1 http peer", "Forwarded: for=9.9.9.9, for=_gazonk")
	check("Forwarded, a parameter twice", auto, "10.0.0.1", "10.0.0.1 http peer", "Forwarded: for=9.9.9.9;for=8.8.8.8")
	check("Forwarded, comma in quotes", auto, "10.0.0.1", "9.9.9.9 http forwarded", `Forwarded: for=9.9.9.9;ext="a, for=1.1.1.1"`)
	check("Forwarded, dangling quote of a client", auto, "10.0.0.1", "9.9.9.9 http forwarded", `Forwarded: for="1.1.1.1, for=9.9.9.9`)
	check("Forwarded, space after semicolon", auto, "10.0.0.1", "9.9.9.9 https forwarded", "Forwarded: for=9.9.9.9; proto=https")
	check("Forwarded, space around equals", auto, "10.0.0.1", "10.0.0.1 http peer", "Forwarded: for = 9.9.9.9")
	check("Forwarded, backslash", auto, "10.0.0.1", "10.0.0.1 http peer", `Forwarded: for="9.9.9.\9"`)
	check("Forwarded, host", hosts, "10.0.0.1", "9.9.9.9 http forwarded host=shop.example:8080", `Forwarded: for=9.9.9.9;host="shop.example:8080"`)

	check("both, the same", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for", "X-Forwarded-For: 9.9.9.9", "Forwarded: for=9.9.9.9")
	check("both, different", auto, "10.0.0.1", "9.9.9.9 http x-forwarded-for disagree", "X-Forwarded-For: 9.9.9.9", "Forwarded: for=8.8.8.8")
	check("both, different, Forwarded wanted", strictly, "10.0.0.1", "8.8.8.8 http forwarded disagree", "X-Forwarded-For: 9.9.9.9", "Forwarded: for=8.8.8.8")
	check("Forwarded wanted and missing", strictly, "10.0.0.1", "10.0.0.1 http peer", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https")
}

func TestTrust(t *testing.T) {
	for text, reason := range map[string]string{
		"0.0.0.0/0": "trusts everybody", "::/0": "trusts everybody", "10.0.0.1/8": "write 10.0.0.0/8",
	} {
		if _, err := newTrust([]string{text}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for path, c := range map[string]Config{
		"trusted_proxies[1]": {TrustedProxies: []string{"private", "x"}, ClientFrom: "auto", LoopID: "a", MaxLoops: 1},
		"client_from":        {ClientFrom: "xff", LoopID: "a", MaxLoops: 1},
		"loop_id":            {ClientFrom: "auto", LoopID: "a b", MaxLoops: 1},
		"max_loops":          {ClientFrom: "auto", LoopID: "a"},
	} {
		if p, problems := New(c); p != nil || len(problems) != 1 || problems[0].Path != path {
			t.Errorf("%s: %v", path, problems)
		}
	}
	if problems := Default().Validate(); len(problems) > 0 {
		t.Error(problems)
	}
}

// FuzzAddr holds the byte parser to the standard library's.
func FuzzAddr(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:1.2.3.4", "::ffff:1.2.3.4", "1::2::3", "01.2.3.4", "1:2:3:4:5:6:7::", "::1.2.3.4.", "1:", ":1", "12345::", "1:2:3:4:5:6:7:1.2.3.4", "::2:3:4:5:6:7:8", "::1:2:3:4:5:6:7:8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseAddr([]byte(s))
		want, err := netip.ParseAddr(s)
		if err == nil && want.Zone() != "" {
			want, err = netip.ParseAddr("")
		}
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("%q: got %v %v, want %v %v", s, got, ok, want, err)
		}
	})
}

// FuzzForwarded: whatever a client put in front, what the trusted proxy appended decides.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{`for=1.1.1.1`, `for="`, `"`, `,,`, `for="[::1]";proto=https`, `for=a;;;by="\"`, `\`} {
		f.Add(s)
	}
	p := policy(f, nil)
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, s string) {
		var id Identity
		p.Identify(&id, peer, "http", field.List{{Name: []byte("Forwarded"), Value: []byte(s)}})
		if !id.Client.IsValid() || id.Scheme != "http" && id.Scheme != "https" {
			t.Fatalf("%q: %+v", s, id)
		}
		p.Identify(&id, peer, "http", field.List{{Name: []byte("Forwarded"), Value: []byte(s + ", for=9.9.9.9;proto=https")}})
		if id.Client != netip.MustParseAddr("9.9.9.9") || id.Scheme != "https" {
			t.Fatalf("%q in front changed the client to %v, %s", s, id.Client, id.Scheme)
		}
	})
}

// naiveClient walks X-Forwarded-For with the standard library.
func naiveClient(p *Policy, peer netip.Addr, value string) netip.Addr {
	client := peer
	members := strings.Split(value, ",")
	for i := len(members) - 1; i >= 0; i-- {
		m := strings.Trim(members[i], " \t")
		if m == "" {
			continue
		}
		a, err := netip.ParseAddr(m)
		if err != nil {
			ap, perr := netip.ParseAddrPort(m)
			if a = ap.Addr(); perr != nil {
				return client
			}
		}
		if client = a.Unmap(); !p.trust.Contains(client) {
			return client
		}
	}
	return client
}

// FuzzXForwardedFor: the same for X-Forwarded-For and X-Forwarded-Proto.
func FuzzXForwardedFor(f *testing.F) {
	for _, s := range []string{"1.1.1.1", "unknown", "[::1", "a, b", `"`, "1.1.1.1:99999", " ,", "1.1.1.1, 10.0.0.2:80 , 2001:db8:ffff::1,,"} {
		f.Add(s)
	}
	p := policy(f, nil)
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, s string) {
		var plain Identity
		p.Identify(&plain, peer, "http", field.List{{Name: []byte("X-Forwarded-For"), Value: []byte(s)}})
		if want := naiveClient(p, peer, s); plain.Client != want && !strings.ContainsAny(s, "[%_") && plain.n < maxHops {
			t.Fatalf("%q: got %v, want %v", s, plain.Client, want)
		}
		in := field.List{{Name: []byte("X-Forwarded-For"), Value: []byte(s + ",9.9.9.9")}, {Name: []byte("X-Forwarded-Proto"), Value: []byte(s + ",https")}}
		var id Identity
		p.Identify(&id, peer, "http", in)
		if id.Client != netip.MustParseAddr("9.9.9.9") || id.Scheme != "https" {
			t.Fatalf("%q in front changed the client to %v, %s", s, id.Client, id.Scheme)
		}
	})
}
