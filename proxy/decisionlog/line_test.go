package decisionlog

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tzero-edge/tzero/proxy"
)

func outcome() (*proxy.Outcome, []proxy.Step) {
	o := &proxy.Outcome{
		Start:    time.Date(2025, 3, 4, 5, 6, 7, 89_000_000, time.FixedZone("", 3600)),
		Duration: 12_345_678 * time.Nanosecond, FirstByte: 2 * time.Millisecond, OriginTime: 1500 * time.Microsecond,
		RequestID: []byte("01J9ZK"), Generation: 7,
		Client: netip.MustParseAddr("203.0.113.77"), Proto: "HTTP/1.1", Method: []byte("GET"), Scheme: "https",
		Host: []byte("example.com"), Target: []byte("/p/1?utm=x&token=s3cret"),
		UserAgent: []byte("Mozilla/5.0"), Referer: []byte("https://u:pw@ref.example/a?q=private#top"),
		Route: "products", Status: 200, ContentType: []byte("text/html"),
		Cache: proxy.CacheMiss, CacheReason: "uri-miss",
		Origin: "app", TargetURL: "http://10.0.0.1:3000", OriginStatus: 200, Attempts: 1,
		BytesIn: 3, BytesOut: 1024,
	}
	steps := []proxy.Step{
		{State: proxy.StateRecv, Reason: "ok"},
		{State: proxy.StateRoute, Reason: "matched", Note: "products"},
		{State: proxy.StateFinish},
	}
	return o, steps
}

func TestJSONLine(t *testing.T) {
	o, steps := outcome()
	const want = `{"time":"2025-03-04T04:06:07.089Z","level":"INFO","msg":"request","id":"01J9ZK","generation":7,` +
		`"client":"203.0.113.0","proto":"HTTP/1.1","method":"GET","scheme":"https","host":"example.com","path":"/p/1",` +
		`"query":"utm=*&token=*","route":"products","steps":["recv:ok","route:matched (products)","finish"],` +
		`"cache":"miss","cache_reason":"uri-miss","origin":"app","target":"http://10.0.0.1:3000","origin_status":200,` +
		`"attempts":1,"origin_ms":1.500,"status":200,"bytes_in":3,"bytes_out":1024,"first_byte_ms":2.000,"ms":12.345,` +
		`"agent":"Mozilla/5.0","referer":"https://ref.example/a?q=*"}` + "\n"
	if got := string(appendLine(nil, false, privacy{}, o, steps)); got != want {
		t.Errorf("the line is\n%swant\n%s", got, want)
	}
}

func TestTextLine(t *testing.T) {
	o, steps := outcome()
	o.Fault, o.Err, o.Aborted, o.Status = proxy.FaultOrigin, `cannot read: "x"`, true, 502
	o.Referer, o.Host = nil, nil
	const want = `time=2025-03-04T04:06:07.089Z level=ERROR msg=request id=01J9ZK generation=7 client=203.0.113.0 ` +
		`proto=HTTP/1.1 method=GET scheme=https host="" path=/p/1 query="utm=*&token=*" route=products ` +
		`steps="recv:ok route:matched (products) finish" cache=miss cache_reason=uri-miss origin=app ` +
		`target=http://10.0.0.1:3000 origin_status=200 attempts=1 origin_ms=1.500 status=502 bytes_in=3 bytes_out=1024 ` +
		`first_byte_ms=2.000 ms=12.345 fault=origin error="cannot read: \"x\"" aborted=true agent=Mozilla/5.0` + "\n"
	if got := string(appendLine(nil, true, privacy{}, o, steps)); got != want {
		t.Errorf("the line is\n%swant\n%s", got, want)
	}
}

func TestQueries(t *testing.T) {
	render := func(mode queryMode, q string) string {
		l := line{privacy: privacy{query: mode}}
		l.query([]byte(q))
		return string(l.buf)
	}
	try := func(q, want string) {
		t.Helper()
		if got := render(queryRedacted, q); got != want {
			t.Errorf("%q is shown as %q, want %q", q, got, want)
		}
	}
	try("a=1", "a=*")
	try("a=1&b=2&&c", "a=*&b=*&&c")
	try("a==x&=y", "a=*&=*")
	try("a=1;b=2", "a=*")
	try("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "*")
	try(strings.Repeat("k", 100)+"=v", strings.Repeat("k", maxName)+"…=*")
	try(strings.Repeat("a=1&", 50), strings.Repeat("a=*&", maxNames)+"…")
	if got := render(queryFull, `a="1`); got != `a=\"1` {
		t.Errorf("the full query is %q", got)
	}
}

func TestTargets(t *testing.T) {
	try := func(target, path, query string) {
		t.Helper()
		if p, q := splitTarget([]byte(target)); string(p) != path || string(q) != query {
			t.Errorf("%q is split into %q and %q", target, p, q)
		}
	}
	try("/", "/", "")
	try("/a?b?c", "/a", "b?c")
	try("//x/y", "//x/y", "")
	try("http://u:p@h/a?b", "/a", "b")
	try("http://u:p@h", "", "")
	try("http://u:p@h?x=1", "", "x=1")
	try("*", "*", "")
	try("u:p@host:443", "host:443", "")
	try("", "", "")
}

func TestURLs(t *testing.T) {
	try := func(u, want string) {
		t.Helper()
		l := line{}
		url(&l, u)
		if got := string(l.buf); got != want {
			t.Errorf("%q is shown as %q, want %q", u, got, want)
		}
	}
	try("https://u:p@h:1/a/b?x=1#f", "https://h:1/a/b?x=*")
	try("https://u:p@h?x=1", "https://h?x=*")
	try("https://h#u:p@x/secret", "https://h")
	try("/only/path?y=2", "/only/path?y=*")
	try("about:blank", "about:blank")
	try("//u:p@h/x", "//h/x")
	try("", "")
}

func TestClients(t *testing.T) {
	try := func(mode addressMode, a, want string) {
		t.Helper()
		got, ok := privacy{address: mode}.client(netip.MustParseAddr(a))
		if want == "" && ok || want != "" && got.String() != want {
			t.Errorf("%s is shown as %s, %v", a, got, ok)
		}
	}
	try(addressTruncated, "198.51.100.200", "198.51.100.0")
	try(addressTruncated, "::ffff:198.51.100.200", "198.51.100.0")
	try(addressTruncated, "2001:db8:1:2:3:4:5:6", "2001:db8:1::")
	try(addressTruncated, "fe80::1%eth0", "fe80::")
	try(addressFull, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6")
	try(addressNone, "198.51.100.200", "")
	if _, ok := (privacy{}).client(netip.Addr{}); ok {
		t.Error("an unknown address is shown")
	}
}

func TestEscapes(t *testing.T) {
	try := func(s, want string) {
		t.Helper()
		if got := string(appendEscaped(nil, s)); got != want {
			t.Errorf("%q is escaped to %s, want %s", s, got, want)
		}
		if got := string(appendEscaped(nil, []byte(s))); got != want {
			t.Errorf("%q as bytes is escaped to %s, want %s", s, got, want)
		}
	}
	try("a\"b\\c", `a\"b\\c`)
	try("a\r\n{\"level\":\"x\"}", `a\r\n{\"level\":\"x\"}`)
	try("\x00\x1b[31m\x7f", `\u0000\u001b[31m\u007f`)
	try("\xff\xc3", `\ufffd\ufffd`)
	try("\u009b31m\u2028\u202e\ufeff\u200b", `\u009b31m\u2028\u202e\ufeff\u200b`)
	try("grüße 🎉", "grüße 🎉")
	try("\ufffd", "\ufffd")
}

func TestBounded(t *testing.T) {
	try := func(s string, n int, want string) {
		t.Helper()
		if got, _ := bounded(s, n); got != want {
			t.Errorf("%q cut to %d bytes is %q, want %q", s, n, got, want)
		}
	}
	try("abc", 3, "abc")
	try("abcd", 3, "abc")
	try("aé", 2, "a")
	try("a🎉", 4, "a")
	try("\xbf\xbf\xbf\xbf\xbf\xbf\xbf", 6, "\xbf\xbf")
}

// The longest line that anybody can cause fits into half of the smallest buffer.
func TestLongestLine(t *testing.T) {
	evil := bytes.Repeat([]byte{1}, 64<<10)
	o := &proxy.Outcome{
		Start: time.Unix(1<<40, 999999999), Duration: 1<<63 - 1, FirstByte: 1<<63 - 1, OriginTime: 1<<63 - 1,
		RequestID: evil, Generation: 1<<64 - 1, Client: netip.MustParseAddr("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
		Proto: string(evil), Method: evil, Scheme: string(evil), Host: evil, Target: append([]byte("/?"), evil...),
		UserAgent: evil, Referer: append([]byte("https://h/"), evil...), Route: string(evil), Status: -1 << 62,
		CacheReason: proxy.Reason(evil), Origin: string(evil), TargetURL: string(evil), BytesIn: -1 << 63, BytesOut: -1 << 63,
		Aborted: true, Fault: proxy.FaultGateway, Err: string(evil),
	}
	var steps []proxy.Step
	for range 1000 {
		steps = append(steps, proxy.Step{State: proxy.StateDispatch, Reason: proxy.Reason(evil), Note: string(evil)})
	}
	for _, text := range []bool{false, true} {
		for _, query := range []queryMode{queryRedacted, queryFull} {
			if n := len(appendLine(nil, text, privacy{address: addressFull, query: query}, o, steps)); n > minBuffer/2 {
				t.Errorf("a line of %d bytes is possible; half the smallest buffer is %d", n, minBuffer/2)
			}
		}
	}
}

// asShown is what a bounded value reads as after parsing.
func asShown(b []byte, n int) string {
	kept, cut := bounded(b, n)
	var s strings.Builder
	for len(kept) > 0 {
		r, size := utf8.DecodeRune(kept)
		s.WriteRune(r)
		kept = kept[size:]
	}
	if cut {
		s.WriteString("…")
	}
	return s.String()
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("id"), []byte("h"), []byte("/a?b=c"), []byte("agent"), []byte("https://r/?x=y"), "note", "err", int64(5))
	f.Add([]byte("\n\r\x00\""), []byte("u:p@h"), []byte("http://u:p@h/?\xff=\\"), []byte("\u2028{\"a\":1}"), []byte("\x9b#?"), "\"]}\n{", "\x7f", int64(-5))
	f.Fuzz(func(t *testing.T, id, host, target, agent, referer []byte, note, failure string, n int64) {
		o, steps := outcome()
		o.RequestID, o.Host, o.Target, o.UserAgent, o.Referer = id, host, target, agent, referer
		o.Err, o.BytesOut, o.Duration = failure, n, time.Duration(n)
		steps[1].Note = note
		for _, mode := range []queryMode{queryRedacted, queryFull, queryNone} {
			checkJSON(t, o, steps, privacy{query: mode})
			checkText(t, o, steps, privacy{query: mode})
		}
	})
}

func checkJSON(t *testing.T, o *proxy.Outcome, steps []proxy.Step, p privacy) {
	out := appendLine(nil, false, p, o, steps)
	if bytes.IndexByte(out, '\n') != len(out)-1 || !utf8.Valid(out) {
		t.Fatalf("not one line of UTF-8: %q", out)
	}
	for _, r := range string(out[:len(out)-1]) {
		if r < 0x20 || r == 0x7f || r > 0x7f && hidden(r) {
			t.Fatalf("control character %U in %q", r, out)
		}
	}
	var got struct {
		ID, Host, Path, Agent, Error, Referer string
		Query                                 *string
		BytesOut                              int64 `json:"bytes_out"`
		Steps                                 []string
		MS                                    float64
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path, query := splitTarget(o.Target)
	same := func(name, got, want string) {
		if got != want {
			t.Fatalf("%s is %q, want %q", name, got, want)
		}
	}
	same("id", got.ID, asShown(o.RequestID, maxID))
	same("host", got.Host, asShown(withoutUserinfo(o.Host), maxHost))
	same("path", got.Path, asShown(path, maxPath))
	same("agent", got.Agent, asShown(o.UserAgent, maxAgent))
	same("error", got.Error, asShown([]byte(o.Err), maxError))
	if got.BytesOut != o.BytesOut || len(got.Steps) != len(steps) {
		t.Fatalf("bytes_out %d, %d steps", got.BytesOut, len(got.Steps))
	}
	if note := asShown([]byte(steps[1].Note), maxNote); note != "" {
		same("step", got.Steps[1], "route:matched ("+note+")")
	}
	switch {
	case p.query == queryFull && got.Query != nil:
		same("query", *got.Query, asShown(query, maxQuery))
	case p.query == queryNone && got.Query != nil:
		t.Fatalf("query %q", *got.Query)
	}
}

// checkText splits a text line into its pairs again: no value can add one.
func checkText(t *testing.T, o *proxy.Outcome, steps []proxy.Step, p privacy) {
	out := appendLine(nil, true, p, o, steps)
	if bytes.IndexByte(out, '\n') != len(out)-1 || !utf8.Valid(out) {
		t.Fatalf("not one line of UTF-8: %q", out)
	}
	rest, pairs := string(out[:len(out)-1]), map[string]int{}
	for rest != "" {
		key, after, ok := strings.Cut(rest, "=")
		if !ok || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Fatalf("no key at %q", rest)
		}
		pairs[key]++
		end := strings.IndexByte(after+" ", ' ')
		if strings.HasPrefix(after, `"`) {
			for end = 1; end < len(after) && after[end] != '"'; end++ {
				if after[end] == '\\' {
					end++
				}
			}
			end++
		}
		if end < len(after) && after[end] != ' ' {
			t.Fatalf("something stands behind the value of %s: %q", key, after)
		}
		rest = strings.TrimPrefix(after[min(end, len(after)):], " ")
	}
	for key, n := range pairs {
		if n != 1 {
			t.Fatalf("%s stands %d times in %q", key, n, out)
		}
	}
}
