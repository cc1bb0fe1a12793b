package headers

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// forward runs Identify and ToOrigin as the journey does.
func forward(p *Policy, peer string, in field.List, f *Forward) field.List {
	var id Identity
	p.Identify(&id, netip.MustParseAddr(peer), "https", in)
	f.Identity = &id
	if f.Host == nil {
		f.Host = []byte("shop.example")
	}
	if f.Version == "" {
		f.Version = "1.1"
	}
	var out field.List
	p.ToOrigin(&out, in, f)
	return out
}

const ownFull = `Forwarded: for=8.8.8.8;host=shop.example;proto=https
X-Forwarded-For: 8.8.8.8
X-Forwarded-Proto: https
X-Forwarded-Host: shop.example
Via: 1.1 tzero
CDN-Loop: tzero
`

func TestToOrigin(t *testing.T) {
	p := policy(t, nil)
	check := func(name, peer string, f Forward, in []string, want string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			if got := show(forward(p, peer, lines(in...), &f)); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	in := func(list ...string) []string { return list }
	check("a browser's request", "8.8.8.8", Forward{}, in("Host: shop.example", "User-Agent: x", "Accept: */*", "Cookie: a=b", "Connection: keep-alive"),
		"User-Agent: x\nAccept: */*\nCookie: a=b\n"+ownFull)
	check("hop-by-hop", "8.8.8.8", Forward{}, in("Connection: close, X-Mine, Upgrade", "X-Mine: 1", "X-Other: 2", "Keep-Alive: 5", "Proxy-Connection: x",
		"Proxy-Authorization: x", "TE: gzip", "Trailer: x", "Transfer-Encoding: chunked", "Upgrade: h2c", "HTTP2-Settings: x", "Proxy: evil", "Expect: 100-continue", "Content-Length: 3"),
		"X-Other: 2\n"+ownFull)
	check("TE", "8.8.8.8", Forward{}, in("TE: gzip;q=0.5, Trailers", "te: trailers"), ownFull)
	check("hop-by-hop abuse", "8.8.8.8", Forward{}, in("Connection: Cookie, authorization, Host, Content-Type, X-Forwarded-For, Forwarded, CDN-Loop, Via, Cache-Control, Sec-Fetch-Site",
		"Cookie: a", "Authorization: b", "Content-Type: c", "Cache-Control: d", "Sec-Fetch-Site: e"),
		"Cookie: a\nAuthorization: b\nContent-Type: c\nCache-Control: d\nSec-Fetch-Site: e\n"+ownFull)
	check("forged headers", "8.8.8.8", Forward{}, in("X_Variant: a", "X-Variant: a", "x-variant-arm: a", "X-Visitor-Id: a", "X-Tzero-Foo: a", "Tzero-Debug: a",
		"X-Forwarded-Host: a", "X-Forwarded-Server: a", "X-Forwarded-Prefix: a", "X-Forwarded-For: 1.1.1.1", "Forwarded: for=1.1.1.1", "X-Original-URL: a", "X-Rewrite-URL: a",
		"X-HTTP-Method-Override: a", "X-HTTP-Method: a", "X-Method-Override: a", "X-Original-Host: a", "X-Host: a", "Front-End-Https: a", "X-Real-IP: a",
		"True-Client-IP: a", "CF-Connecting-IP: a", "Client-IP: a", "X-Middleware-Subrequest: a", "X-Accel-Mapping: a", "Surrogate-Capability: a", "X-Request-Id: a"), ownFull)
	check("malformed lines", "8.8.8.8", Forward{}, in("A B: 1", "A\x00: 1", "C: 1\r\nX-Variant:2", "D\u00e9: 1", ": 1"), ownFull)
	check("behind a trusted proxy", "10.0.0.1", Forward{RequestID: []byte("id-1")},
		in("X-Forwarded-For: 1.1.1.1, 9.9.9.9, 10.0.0.2", "X-Forwarded-Proto: http", "Via: 2 cdn", "CDN-Loop: cdn"),
		"Via: 2 cdn\nCDN-Loop: cdn\nForwarded: for=9.9.9.9;host=shop.example;proto=http, for=10.0.0.2, for=10.0.0.1\nX-Forwarded-For: 9.9.9.9, 10.0.0.2, 10.0.0.1\n"+
			"X-Forwarded-Proto: http\nX-Forwarded-Host: shop.example\nX-Request-Id: id-1\nVia: 1.1 tzero\nCDN-Loop: tzero\n")
	check("IPv6 and a port", "2001:db8::1", Forward{Host: []byte("shop.example:8443")}, nil,
		"Forwarded: for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=https\nX-Forwarded-For: 2001:db8::1\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop.example:8443\nVia: 1.1 tzero\nCDN-Loop: tzero\n")
	check("HTTP/2 cookies", "8.8.8.8", Forward{Version: "2"}, in("cookie: a=1", "x: y", "cookie: b=2", "cookie:"),
		"cookie: a=1; b=2\nx: y\n"+strings.Replace(ownFull, "Via: 1.1", "Via: 2", 1))
	check("for everybody", "8.8.8.8", Forward{Mode: Shared}, in("Cookie: a", "Authorization: b", "Referer: c", "From: d", "Accept: e", "RSC: 1"),
		"Accept: e\nRSC: 1\nForwarded: host=shop.example;proto=https\nX-Forwarded-Proto: https\nX-Forwarded-Host: shop.example\nVia: 1.1 tzero\nCDN-Loop: tzero\n")
	check("third party", "8.8.8.8", Forward{Mode: ThirdParty, RequestID: []byte("a"), Random: &[24]byte{1}},
		in("Cookie: a", "Authorization: b", "Referer: c", "Origin: d", "X-Mine: e", "Sec-Fetch-Site: f", "traceparent: g", "Via: 1.1 office", "CDN-Loop: x",
			"Accept: 1", "Accept-Language: 2", "Content-Type: 3", "If-None-Match: 4", "Range: 5", "User-Agent: 6", "Cache-Control: 7"),
		"CDN-Loop: x\nAccept: 1\nAccept-Language: 2\nContent-Type: 3\nIf-None-Match: 4\nRange: 5\nUser-Agent: 6\nCache-Control: 7\nVia: 1.1 tzero\nCDN-Loop: tzero\n")
	check("a fill", "8.8.8.8", Forward{Unconditional: true, AcceptEncoding: []byte("br, gzip")},
		in("If-None-Match: a", "If-Modified-Since: b", "Range: c", "If-Range: d", "Accept-Encoding: x;q=1", "If-Match: e"), "Accept-Encoding: br, gzip\n"+ownFull)
	check("no coding", "8.8.8.8", Forward{AcceptEncoding: []byte{}}, in("Accept-Encoding: gzip"), ownFull)

	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	check("trace kept", "8.8.8.8", Forward{Random: &[24]byte{1}}, in("traceparent: "+trace, "tracestate: a=b"), "traceparent: "+trace+"\ntracestate: a=b\n"+ownFull)
	made := strings.Replace(ownFull, "Via", "traceparent: 00-ab000000000000000000000000000000-0100000000000000-01\nVia", 1)
	check("trace made", "8.8.8.8", Forward{Random: &[24]byte{0xab}, Sampled: true}, in("traceparent: nonsense", "tracestate: a=b"), made)
	check("two traces", "8.8.8.8", Forward{Random: &[24]byte{0xab}, Sampled: true}, in("traceparent: "+trace, "traceparent: "+trace), made)
	check("no trace wanted", "8.8.8.8", Forward{}, in("traceparent: nonsense"), ownFull)

	changes, problems := ChangeConfig{Set: map[string]string{"user-agent": "t", "X-New": "n"}, Add: map[string]string{"Accept": "more"}, Remove: []string{"REFERER"}}.Compile(Request)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	check("changes", "8.8.8.8", Forward{Changes: changes}, in("User-Agent: a", "Accept: b", "User-Agent: c", "Referer: d"),
		"user-agent: t\nAccept: b\n"+ownFull+"X-New: n\nAccept: more\n")
}

func TestReceive(t *testing.T) {
	p := policy(t, nil)
	const in = "Host: a|Connection: X-Mine, Cookie, rsc|X-Mine: 1|RSC: 1|Cookie: b|X_Y: 1|X-Original-URL: /admin|TE: trailers, x|X-Request-Id: id|Forwarded: for=1.1.1.1|Accept: c|X-Variant: d|Upgrade: websocket|traceparent: e"
	for trusted, want := range map[bool]string{
		false: "Host: a\nCookie: b\nAccept: c\ntraceparent: e\n",
		true:  "Host: a\nCookie: b\nX-Request-Id: id\nAccept: c\ntraceparent: e\n",
	} {
		l := lines(strings.Split(in, "|")...)
		var seen Seen
		p.Receive(&l, trusted, &seen)
		if got := show(l); got != want {
			t.Errorf("trusted %v: got\n%swant\n%s", trusted, got, want)
		}
	}
}

func TestToClient(t *testing.T) {
	p := policy(t, nil)
	changes, _ := ChangeConfig{Set: map[string]string{"Server": "t"}, Remove: []string{"x-powered-by"}}.Compile(Response)
	in := lines("Date: a", "Connection: close, X-Hop, Set-Cookie, cache-control, ETag", "X-Hop: b", "Set-Cookie: c", "Set-Cookie: d", "Cache-Control: e", "ETag: f",
		"Transfer-Encoding: chunked", "Content-Length: 3", "Keep-Alive: g", "Trailer: h", "Upgrade: i", "Proxy-Authenticate: j", "Proxy-Status: k", "X-Tzero-Secret: l",
		"Tzero-Cache-Control: m", "X-Variant: n", "X-Visitor-Id: o", "X_Odd: p", "Bad Name: q", "Split: r\r\nSet-Cookie: s", "Server: u", "X-Powered-By: v", "Via: 1.1 inner", "TE: w")
	want := "Date: a\nSet-Cookie: c\nSet-Cookie: d\nCache-Control: e\nETag: f\nProxy-Status: k\nX_Odd: p\nServer: t\nVia: 1.1 inner\nVia: 1.0 tzero\n"
	var out field.List
	p.ToClient(&out, in, &Reply{Version: "1.0", Changes: changes})
	if got := show(out); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	var trailers field.List
	p.Trailers(&trailers, lines("Server-Timing: a", "X-Checksum: b", "Content-Length: 1", "Set-Cookie: c", "Host: d", "Transfer-Encoding: e", "X_Y: f", "Authorization: g", "Cache-Control: h", "X-Forwarded-For: i"))
	if got := show(trailers); got != "Server-Timing: a\nX-Checksum: b\n" {
		t.Errorf("trailers:\n%s", got)
	}
}

func TestLoops(t *testing.T) {
	p := policy(t, nil)
	in := lines("CDN-Loop: TZERO; v=\"a, tzero\", other", "cdn-loop: tzero,tzeroo")
	count := func() int {
		l, seen := in.Clone(), Seen{}
		p.Receive(&l, false, &seen)
		return seen.Loops
	}
	if n := count(); n != 2 || p.Looping(n) {
		t.Errorf("got %d", n)
	}
	in.AddString("CDN-Loop", "tzero")
	if !p.Looping(count()) {
		t.Error("three times is not noticed")
	}
}

func TestRequestID(t *testing.T) {
	p := policy(t, nil)
	id := func(trusted bool, in ...string) []byte {
		l, seen := lines(in...), Seen{}
		p.Receive(&l, trusted, &seen)
		return seen.RequestID
	}
	for in, want := range map[string]string{"X-Request-Id: 0af7-XY_z": "0af7-XY_z", "X-Request-Id: a b": "", "X-Request-Id: a|X-Request-Id: b": "",
		"X-Request-Id: a b|X-Request-Id: b": "", "X-Request-Id: " + strings.Repeat("a", 129): "", "X-Request-Id: <b>": "", "A: b": ""} {
		if got := string(id(true, strings.Split(in, "|")...)); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
	if id(false, "X-Request-Id: a") != nil {
		t.Error("believed a stranger")
	}
}

// TestLookup: every name is found however it is written, and no other.
func TestLookup(t *testing.T) {
	for _, k := range names.names[1:] {
		for _, name := range []string{k.name, strings.ToUpper(k.name), strings.ToUpper(k.name[:1]) + k.name[1:]} {
			if got := lookup([]byte(name)); got.name != k.name {
				t.Errorf("%s: found %q", name, got.name)
			}
		}
		for _, name := range []string{k.name + "x", "q" + k.name[1:], k.name[:len(k.name)-1] + "\x0d"} {
			if got := lookup([]byte(name)); got.exact && got.name != name {
				t.Errorf("%s: found %q", name, got.name)
			}
		}
	}
	for _, k := range slices.Concat(names.names[1:], slices.Concat(families[:]...)) {
		for _, name := range []string{k.name, strings.ToUpper(k.name), k.name + "x", k.name + strings.Repeat("x", 40)} {
			if got := lookup([]byte(name)); got.acts() && !actors.may([]byte(name)) || got.changes() && !rewritten.may([]byte(name)) {
				t.Errorf("%s is not looked up", name)
			}
		}
	}
	for name, want := range map[string]string{"X-Forwarded-Zone": "x-forwarded-", "SEC-x": "sec-", "x-forwarded": "x-forwarded", "z": "", "": ""} {
		if got := lookup([]byte(name)); got.name != want {
			t.Errorf("%s: found %q", name, got.name)
		}
	}
}

func TestValidTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for v, want := range map[string]bool{
		good: true, "cc" + good[2:]: true, "cc" + good[2:] + "-what": true, "cc" + good[2:] + "what": false, good + "-x": false, "ff" + good[2:]: false,
		strings.ToUpper(good): false, good[:54]: false, "": false, "00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false, strings.Replace(good, "-", "_", 1): false,
	} {
		if ValidTraceparent([]byte(v)) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
}

func TestChangesAreChecked(t *testing.T) {
	check := func(name string, side Side, path, reason string, c ChangeConfig) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			problems := c.Validate(side)
			if reason == "" {
				if len(problems) > 0 {
					t.Error(problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Path != path || !strings.Contains(problems[0].Reason, reason) {
				t.Errorf("got %v, want %s: …%s…", problems, path, reason)
			}
		})
	}
	set := func(name, value string) ChangeConfig { return ChangeConfig{Set: map[string]string{name: value}} }
	check("plain", Request, "", "", set("X-App", "a b"))
	check("cookies", Response, "", "", ChangeConfig{Add: map[string]string{"Set-Cookie": "a=b"}})
	check("name", Request, "set.a b", "not a header name", set("a b", "c"))
	check("line end", Request, "set.A", "control characters", set("A", "b\r\nC: d"))
	check("underscore", Request, "set.A_B", "underscore", set("A_B", "c"))
	check("host", Request, "set.Host", "origin's configuration", set("Host", "c"))
	check("framing", Response, "set.Content-Length", "framing", set("Content-Length", "3"))
	check("connection", Request, "remove[0]", "framing", ChangeConfig{Remove: []string{"connection"}})
	check("coding", Response, "remove[0]", "body", ChangeConfig{Remove: []string{"Content-Encoding"}})
	check("internal", Request, "add.X-Variant", "tzero's own", ChangeConfig{Add: map[string]string{"X-Variant": "a"}})
	check("circles", Request, "remove[0]", "circles", ChangeConfig{Remove: []string{"Via"}})
	check("twice", Request, "set.a", "same header", ChangeConfig{Set: map[string]string{"A": "1", "a": "2"}})
	if c, problems := (ChangeConfig{}).Compile(Request); c != nil || problems != nil {
		t.Error("an empty list is not nothing")
	}
}

func TestRebuildAllocatesNothing(t *testing.T) {
	p := policy(t, nil)
	in := lines("Host: shop.example", "User-Agent: Mozilla/5.0", "Accept: text/html", "Accept-Language: en", "Accept-Encoding: gzip, br", "Cookie: a=b; c=d",
		"Connection: keep-alive", "Sec-Fetch-Site: none", "Upgrade-Insecure-Requests: 1", "X-Forwarded-For: 9.9.9.9, 2001:db8:ffff::1", `Forwarded: for="[2001:db8::1]"`, "X-Forwarded-Proto: https")
	peer := netip.MustParseAddr("10.0.0.1")
	var id Identity
	f := Forward{Identity: &id, Host: []byte("shop.example"), Version: "1.1", RequestID: []byte("0123456789abcdef"), Random: &[24]byte{1, 2, 3}}
	dst, back := make(field.List, 0, 64), make(field.List, 0, 64)
	work, seen := make(field.List, 0, 64), Seen{}
	answer := lines("Date: a", "Content-Type: b", "Cache-Control: c", "Connection: keep-alive", "Set-Cookie: d")
	if n := testing.AllocsPerRun(100, func() {
		dst, back, f.Scratch = dst[:0], back[:0], f.Scratch[:0]
		p.Identify(&id, peer, "https", in)
		work = append(work[:0], in...)
		p.Receive(&work, true, &seen)
		p.ToOrigin(&dst, in, &f)
		p.ToClient(&back, answer, &Reply{Version: "1.1"})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// forbidden are names that no origin may ever see from a client.
var forbidden = []string{"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "content-length", "host", "expect", "proxy-authorization",
	"x-real-ip", "x-original-url", "x-rewrite-url", "x-http-method-override", "x-forwarded-server", "x-forwarded-prefix", "x-variant", "x-visitor-id", "tzero-a", "x-tzero-b", "true-client-ip"}

// ours are names of which exactly tzero's own line may exist.
var ours = []string{"forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}

func TestNothingForbiddenPasses(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	p := policy(t, nil)
	names := append(append([]string{"Cookie", "Authorization", "Accept", "X-Mine", "cookie", "TE", "traceparent", "X_A", "A B", "", "\x00", "X-Mine\r\n", "via", "cdn-loop", "X-Request-Id"}, forbidden...), ours...)
	values := []string{"", "a", "a\r\nX-Variant: b", "x\x00", "trailers", "X-Mine, Cookie, via", "for=1.1.1.1", "1.1.1.1, 2.2.2.2", "\x7f", "é", "tzero"}
	for range 20000 {
		var in field.List
		for range r.IntN(12) {
			name := names[r.IntN(len(names))]
			if r.IntN(3) == 0 {
				name = strings.ToUpper(name)
			}
			in.AddString(name, values[r.IntN(len(values))])
		}
		mode := Mode(r.IntN(3))
		f := Forward{Mode: mode, Host: []byte(values[r.IntN(len(values))]), RequestID: []byte(values[r.IntN(len(values))]), Random: &[24]byte{9}}
		out := forward(p, []string{"8.8.8.8", "10.0.0.1"}[r.IntN(2)], in, &f)
		checkSection(t, in, out, mode)
		var back field.List
		p.ToClient(&back, in, &Reply{Version: "1.1"})
		checkBytes(t, in, back, true)
		cleaned := in.Clone()
		var seen Seen
		p.Receive(&cleaned, false, &seen)
		checkBytes(t, in, cleaned, false)
		again := forward(p, "8.8.8.8", cleaned, &Forward{Mode: mode})
		checkSection(t, in, again, mode)
		if got := forward(p, "8.8.8.8", cleaned, &Forward{Mode: mode, Received: true}); show(got) != show(again) {
			t.Fatalf("%q received became\n%sbut checked again\n%s", in, show(got), show(again))
		}
	}
}

func checkSection(t *testing.T, in, out field.List, mode Mode) {
	t.Helper()
	checkBytes(t, in, out, false)
	for _, n := range forbidden {
		if out.Has(n) {
			t.Fatalf("%q became\n%s", in, show(out))
		}
	}
	for _, n := range ours {
		if out.Count(n) > 1 {
			t.Fatalf("%q twice in\n%s", n, show(out))
		}
	}
	if mode != Full && (out.Has("cookie") || out.Has("authorization") || out.Has("x-forwarded-for") || bytes.Contains(out.Get("forwarded"), []byte("for="))) {
		t.Fatalf("the visitor shows in\n%s", show(out))
	}
}

func checkBytes(t *testing.T, in, out field.List, response bool) {
	t.Helper()
	for _, f := range out {
		if !isToken(f.Name) || !response && bytes.IndexByte(f.Name, '_') >= 0 || bytes.ContainsAny(f.Value, "\r\n\x00\x7f") {
			t.Fatalf("%q became\n%q", in, show(out))
		}
	}
}

func BenchmarkToOrigin(b *testing.B) {
	p := policy(b, nil)
	in := lines("Host: shop.example", "User-Agent: Mozilla/5.0", "Accept: text/html", "Accept-Language: en", "Accept-Encoding: gzip, br", "Cookie: a=b; c=d",
		"Connection: keep-alive", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Upgrade-Insecure-Requests: 1", "Referer: https://x/")
	var id Identity
	f := Forward{Identity: &id, Host: []byte("shop.example"), Version: "1.1", RequestID: []byte("0123456789abcdef"), Received: true}
	dst, received := make(field.List, 0, 64), make(field.List, 0, 64)
	var seen Seen
	b.ReportAllocs()
	for b.Loop() {
		dst, f.Scratch, received = dst[:0], f.Scratch[:0], append(received[:0], in...)
		p.Identify(&id, netip.AddrFrom4([4]byte{8, 8, 8, 8}), "https", in)
		p.Receive(&received, id.Trusted, &seen)
		p.ToOrigin(&dst, received, &f)
	}
}

func BenchmarkEndToEnd(b *testing.B) {
	p := policy(b, nil)
	in := lines("Server: app", "Date: Mon, 02 Jan 2023 15:04:05 GMT", "Content-Type: text/html; charset=utf-8", "Content-Length: 1024",
		"X-Content-Type-Options: nosniff", "Cache-Control: private, no-store", "Connection: keep-alive")
	dst := make(field.List, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		dst = dst[:0]
		p.EndToEnd(&dst, in)
	}
}

func BenchmarkReceive(b *testing.B) {
	p := policy(b, nil)
	in := lines("Host: shop.example", "User-Agent: Mozilla/5.0", "Accept: text/html", "Accept-Language: en", "Accept-Encoding: gzip, br", "Cookie: a=b; c=d",
		"Connection: keep-alive", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Upgrade-Insecure-Requests: 1", "Referer: https://x/")
	work, seen := make(field.List, 0, 64), Seen{}
	b.ReportAllocs()
	for b.Loop() {
		work = append(work[:0], in...)
		p.Receive(&work, false, &seen)
	}
}

func BenchmarkToClient(b *testing.B) {
	p := policy(b, nil)
	answer := lines("Date: a", "Content-Type: b", "Cache-Control: c", "Connection: keep-alive", "Set-Cookie: d", "ETag: e", "Vary: f")
	back := make(field.List, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		back = back[:0]
		p.ToClient(&back, answer, &Reply{Version: "1.1"})
	}
}

// FuzzFairValue holds the test of eight bytes at a time to the plain one.
func FuzzFairValue(f *testing.F) {
	for _, s := range []string{"", "abcdefgh", "abcdefg\x00", "\x7fbcdefgh", "a\tcdefgh", "éééé\x1f", "\x80\xff\x9f\x20\x21\x7e\x80\x80\r"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		want := bytes.IndexFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
		if fairValue(v) != want {
			t.Fatalf("%q: %v", v, !want)
		}
	})
}
