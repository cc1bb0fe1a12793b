package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// readOne parses input as one request and its body.
func readOne(input string) (*Request, []byte, error) {
	r := NewReader(strings.NewReader(input), Limits{})
	q := new(Request)
	if err := r.ReadRequest(q); err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body())
	return q, body, err
}

func wantMalformed(t *testing.T, err error, status int, reason, input string) {
	t.Helper()
	var m *Malformed
	if !errors.As(err, &m) {
		t.Errorf("%.80q: got %v, want %d %s", input, err, status, reason)
		return
	}
	if m.Status != status || m.Reason != reason {
		t.Errorf("%.80q: got %d %v, want %d %s", input, m.Status, m, status, reason)
	}
}

func TestRequestLine(t *testing.T) {
	bad := func(line string, status int, reason string) {
		t.Helper()
		_, _, err := readOne(line + "\r\nHost: a\r\n\r\n")
		wantMalformed(t, err, status, reason, line)
	}
	good := func(line string, form Form, path, query, host string) {
		t.Helper()
		q, _, err := readOne(line + "\r\nHost: a\r\n\r\n")
		if err != nil {
			t.Errorf("%q: %v", line, err)
			return
		}
		if q.Form != form || string(q.Path) != path || string(q.Query) != query || string(q.Host) != host {
			t.Errorf("%q: form %d path %q query %q host %q", line, q.Form, q.Path, q.Query, q.Host)
		}
		if want := strings.Fields(line)[1]; string(q.Target) != want {
			t.Errorf("%q: target %q", line, q.Target)
		}
	}

	good("GET / HTTP/1.1", OriginForm, "/", "", "a")
	good("GET /a/../b//c;d?x=1&y=2 HTTP/1.1", OriginForm, "/a/../b//c;d", "x=1&y=2", "a")
	good("GET //evil.example/ HTTP/1.1", OriginForm, "//evil.example/", "", "a")
	good("GET /a%2fb%41 HTTP/1.0", OriginForm, "/a%2fb%41", "", "a")
	good("GET /[slug]/^x|y?a={b}|c^[]`\\100% HTTP/1.1", OriginForm, "/[slug]/^x|y", "a={b}|c^[]`\\100%", "a")
	good("GET /? HTTP/1.1", OriginForm, "/", "", "a")
	good("PURGE-x_!#$%&'*+.^`|~ /a??b HTTP/1.1", OriginForm, "/a", "?b", "a")
	good("GET http://b:81/c?d HTTP/1.1", AbsoluteForm, "/c", "d", "b:81")
	good("GET HTTPS://[::1]:443?d HTTP/1.1", AbsoluteForm, "/", "d", "[::1]:443")
	good("GET http://b HTTP/1.1", AbsoluteForm, "/", "", "b")
	good("OPTIONS http://b HTTP/1.1", AsteriskForm, "*", "", "b")
	good("OPTIONS http://b? HTTP/1.1", AbsoluteForm, "/", "", "b")
	good("OPTIONS * HTTP/1.1", AsteriskForm, "*", "", "a")
	good("CONNECT b:443 HTTP/1.1", AuthorityForm, "", "", "b:443")

	for _, line := range []string{
		"GET", "GET ", "GET /", " GET / HTTP/1.1", "GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ",
		"GET /a b HTTP/1.1", "/ HTTP/1.1",
	} {
		_, _, err := readOne(line + "\r\nHost: a\r\n\r\n")
		var m *Malformed
		if !errors.As(err, &m) || m.Status != 400 {
			t.Errorf("%q: %v", line, err)
		}
	}
	bad("GET\t/ HTTP/1.1", 400, BadMethod)
	bad("G(T / HTTP/1.1", 400, BadMethod)
	bad("\x16\x03\x01\x02", 400, BadMethod)
	bad(strings.Repeat("A", 33)+" / HTTP/1.1", 501, MethodTooLong)
	bad("GET /"+strings.Repeat("a", 8<<10)+" HTTP/1.1", 414, TargetTooLong)
	bad("GET /\t HTTP/1.1", 400, ControlByte)
	bad("GET /\x00 HTTP/1.1", 400, ControlByte)
	bad("GET /a\x7f HTTP/1.1", 400, ControlByte)
	bad("GET /a\rb HTTP/1.1", 400, BadLineEnd)
	bad("GET / HTTP/1.1\r", 400, BadLineEnd)
	for _, target := range []string{"/#f", "/é", "/\"", "/<", "/>", "/{", "/}", "/`", "/\\", "/%", "/%4", "/%zz", "/%00", "/?#", "/?\"", "/?<", "/?\xff"} {
		bad("GET "+target+" HTTP/1.1", 400, BadTarget)
	}
	for _, target := range []string{"a", "*", "**", "/..:", "ftp://b/", "http:/b", "http:b", "//", "b:443", "://", "http://"} {
		_, _, err := readOne("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if target[0] == '/' {
			if err != nil {
				t.Errorf("%q: %v", target, err)
			}
			continue
		}
		var m *Malformed
		if !errors.As(err, &m) || m.Status != 400 {
			t.Errorf("%q: %v", target, err)
		}
	}
	bad("GET http://u:p@b/ HTTP/1.1", 400, BadHost)
	bad("GET http:///x HTTP/1.1", 400, BadHost)
	bad("GET http://b#f HTTP/1.1", 400, BadTarget)
	bad("CONNECT / HTTP/1.1", 400, BadTargetForm)
	bad("CONNECT b HTTP/1.1", 400, BadTargetForm)
	bad("CONNECT b: HTTP/1.1", 400, BadTargetForm)
	bad("CONNECT b:0 HTTP/1.1", 400, BadTargetForm)
	bad("CONNECT http://b:443/ HTTP/1.1", 400, BadTargetForm)
	for _, v := range []string{"http/1.1", "HTTP/1", "HTTP/11", "HTTP/1.10", "HTTP/1,1", "HTTP/x.1", "HTTPS/1.1", "HTTP 1.1"} {
		_, _, err := readOne("GET / " + v + "\r\nHost: a\r\n\r\n")
		var m *Malformed
		if !errors.As(err, &m) || m.Status != 400 {
			t.Errorf("%q: %v", v, err)
		}
	}
	for _, v := range []string{"HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"} {
		bad("GET / "+v, 505, UnsupportedVersion)
	}
	_, _, err := readOne("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	wantMalformed(t, err, 505, UnsupportedVersion, "PRI")
}

func TestRequestLeadingEmptyLine(t *testing.T) {
	q, _, err := readOne("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err != nil || string(q.Method) != "GET" {
		t.Fatal(q, err)
	}
	_, _, err = readOne("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	wantMalformed(t, err, 400, BadRequestLine, "two empty lines")
	_, _, err = readOne("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
	wantMalformed(t, err, 400, BadLineEnd, "bare LF")
	if _, _, err = readOne("\r\n"); err != io.EOF {
		t.Errorf("only an empty line: %v", err)
	}
	if _, _, err = readOne(""); err != io.EOF {
		t.Errorf("nothing: %v", err)
	}
	for _, part := range []string{"G", "\r", "\r\nG", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"} {
		if _, _, err = readOne(part); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: %v", part, err)
		}
	}
}

func TestRequestFields(t *testing.T) {
	bad := func(lines string, status int, reason string) {
		t.Helper()
		_, _, err := readOne("GET / HTTP/1.1\r\n" + lines + "\r\n\r\n")
		wantMalformed(t, err, status, reason, lines)
	}
	q, _, err := readOne("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t b\tc \xe9 \t\r\nx_y:  1:2 \r\nX: second\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "Host: a\r\nX: \r\nY: b\tc \xe9\r\nx_y: 1:2\r\nX: second\r\n"
	if got := string(AppendFields(nil, q.Fields)); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}

	bad("Host: a\nX: y", 400, BadLineEnd)
	bad("Host: a\n", 400, BadLineEnd)
	bad("Host: a\rX: y", 400, BadLineEnd)
	bad("Host: a\r\n\rX: y", 400, BadLineEnd)
	bad("Host: a\r\nX\n: y", 400, BadLineEnd)
	bad("Host: a\r\nX\r: y", 400, BadLineEnd)
	bad("Host: a\r\nX: \x00", 400, ControlByte)
	bad("Host: a\r\nX: a\x01b", 400, ControlByte)
	bad("Host: a\r\nX: a\x7f", 400, ControlByte)
	bad("Host: a\r\nX\x00: a", 400, ControlByte)
	bad("Host: a\r\n X: folded", 400, FoldedLine)
	bad("Host: a\r\nX: y\r\n\tfolded", 400, FoldedLine)
	bad(" Host: a", 400, FoldedLine)
	bad("Host : a", 400, SpaceBeforeColon)
	bad("Host: a\r\nTransfer-Encoding\t: chunked", 400, SpaceBeforeColon)
	bad("Host: a\r\nTransfer Encoding: chunked", 400, BadFieldName)
	bad("Host: a\r\n: empty", 400, BadFieldName)
	bad("Host: a\r\nno colon", 400, BadFieldName)
	bad("Host: a\r\nnocolon", 400, BadFieldName)
	bad("Host: a\r\nX\xe9: y", 400, BadFieldName)
	bad("Host: a\r\n\"X\": y", 400, BadFieldName)
	bad("Host: a\r\nX: "+strings.Repeat("a", 16<<10), 431, FieldTooLarge)
	bad("Host: a"+strings.Repeat("\r\nX: "+strings.Repeat("a", 15<<10), 3), 431, HeadTooLarge)
	bad("Host: a"+strings.Repeat("\r\nX: y", 100), 431, TooManyFields)

	bad("X: y", 400, MissingHost)
	bad("Host: a\r\nhost: a", 400, RepeatedHost)
	for _, h := range []string{"", "a b", "a@b", "a/b", "a:", "a:x", "a:65536", "a:080", "a,b", "[::1", "::1", "a%41", "é", "..", "a..b", "[::1%25eth0]", "[v1.x]", "[1.2.3.4]"} {
		bad("Host: "+h, 400, BadHost)
	}
	bad("Host: a\r\nConnection: close, \"x\"", 400, BadConnection)
	bad("Host: a\r\nExpect: 200-ok", 417, UnknownExpectation)
	bad("Host: a\r\nExpect: 100-continue\r\nExpect: 100-continue", 417, UnknownExpectation)
}

func TestRequestWithoutHost(t *testing.T) {
	q, _, err := readOne("GET / HTTP/1.0\r\n\r\n")
	if err != nil || len(q.Host) != 0 || !q.Close || q.Minor != 0 {
		t.Errorf("HTTP/1.0 without Host: %+v %v", q, err)
	}
	_, _, err = readOne("GET http://b/ HTTP/1.1\r\n\r\n")
	wantMalformed(t, err, 400, MissingHost, "absolute-form without Host")
	_, _, err = readOne("GET http://b/ HTTP/1.1\r\nHost: @\r\n\r\n")
	wantMalformed(t, err, 400, BadHost, "absolute-form with a bad Host")
	q, _, err = readOne("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n")
	if err != nil || string(q.Host) != "b" {
		t.Errorf("absolute-form beats Host: %+v %v", q, err)
	}
}

func TestRequestFraming(t *testing.T) {
	bad := func(head string, status int, reason string) {
		t.Helper()
		_, _, err := readOne(head + "\r\nHost: a\r\n\r\n0\r\n\r\n")
		wantMalformed(t, err, status, reason, head)
	}
	good := func(head, rest string, framing Framing, body string) {
		t.Helper()
		q, got, err := readOne(head + "\r\nHost: a\r\n\r\n" + rest)
		if err != nil {
			t.Errorf("%q: %v", head, err)
			return
		}
		if q.Framing != framing || string(got) != body {
			t.Errorf("%q: framing %d, body %q", head, q.Framing, got)
		}
	}
	post := "POST / HTTP/1.1\r\n"
	good("GET / HTTP/1.1", "surplus", NoBody, "")
	good(post+"Content-Length: 0", "surplus", Length, "")
	good(post+"Content-Length: 3", "abcdef", Length, "abc")
	good(post+"content-length:\t0003 ", "abcdef", Length, "abc")
	good("GET / HTTP/1.1\r\nContent-Length: 3", "abcdef", Length, "abc")
	good("POST / HTTP/1.0\r\nContent-Length: 3", "abcdef", Length, "abc")
	good(post+"Transfer-Encoding: ChunKed", "3\r\nabc\r\n0\r\n\r\nmore", Chunked, "abc")

	for _, v := range []string{"", "+3", "-3", "3 3", "3,3", "3, 3", "0x3", "3.0", "3;", "\"3\"", "9223372036854775808", "99999999999999999999", "٣"} {
		bad(post+"Content-Length: "+v, 400, BadContentLength)
	}
	bad(post+"Content-Length: 3\r\nContent-Length: 3", 400, RepeatedContentLength)
	bad(post+"Content-Length: 3\r\nX: y\r\ncontent-length: 4", 400, RepeatedContentLength)
	bad(post+"Content-Length: 3\r\nTransfer-Encoding: chunked", 400, LengthAndEncoding)
	bad(post+"Transfer-Encoding: chunked\r\nContent-Length: 0", 400, LengthAndEncoding)
	bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked", 400, EncodingInHTTP10)
	bad(post+"Transfer-Encoding: gzip, chunked", 501, UnknownCoding)
	bad(post+"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501, UnknownCoding)
	for _, v := range []string{
		"", "identity", "gzip", "xchunked", "chunked, gzip", "chunked, chunked", "chunked\r\nTransfer-Encoding: chunked",
		"chunked;q=1", ",chunked", "chunked,", "\"chunked\"", "chunked identity", "\x0bchunked", "chunked\r\nTransfer-Encoding: identity",
		"gzip, chunked, chunked",
	} {
		_, _, err := readOne(post + "Transfer-Encoding: " + v + "\r\nHost: a\r\n\r\n0\r\n\r\n")
		var m *Malformed
		if !errors.As(err, &m) || m.Status != 400 {
			t.Errorf("Transfer-Encoding: %q: %v", v, err)
		}
	}
	bad("CONNECT a:1 HTTP/1.1\r\nContent-Length: 1", 400, ContentOnConnect)
	bad("CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked", 400, ContentOnConnect)
}

func TestRequestConnection(t *testing.T) {
	check := func(head string, closes, expects bool, upgrade string) {
		t.Helper()
		r := NewReader(strings.NewReader(head+"\r\nHost: a\r\n\r\n"), Limits{})
		var q Request
		if err := r.ReadRequest(&q); err != nil {
			t.Errorf("%q: %v", head, err)
			return
		}
		if q.Close != closes || q.Expect100 != expects || string(q.Upgrade) != upgrade {
			t.Errorf("%q: close %v expect %v upgrade %q", head, q.Close, q.Expect100, q.Upgrade)
		}
	}
	check("GET / HTTP/1.1", false, false, "")
	check("GET / HTTP/1.1\r\nConnection: x,, Close ,", true, false, "")
	check("GET / HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close", true, false, "")
	check("GET / HTTP/1.0", true, false, "")
	check("GET / HTTP/1.0\r\nConnection: Keep-Alive", false, false, "")
	check("GET / HTTP/1.0\r\nConnection: keep-alive, close", true, false, "")
	check("POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 1", false, true, "")
	check("POST / HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked", false, true, "")
	check("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0", false, false, "")
	check("GET / HTTP/1.1\r\nExpect: 100-continue", false, false, "")
	check("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1", true, false, "")
	check("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket", false, false, "websocket")
	check("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a/1, b", false, false, "a/1, b")
	check("GET / HTTP/1.1\r\nUpgrade: websocket", false, false, "")
	check("GET / HTTP/1.1\r\nConnection: upgrade", false, false, "")
	check("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a b", false, false, "")
	check("GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: a\r\nUpgrade: b", false, false, "")
	check("GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: a", false, false, "")
}

func TestRefusalIsEarlyAndFinal(t *testing.T) {
	// The source panics when it is read beyond what it has: the refusal must not wait for more.
	for _, in := range []string{
		"G(", "\x16\x03\x01", strings.Repeat("A", 40), "GET / HTTP/1.1\r\nA B:", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
		"GET / HTTP/1.1\r\nContent-Length: x\r\n", "GET / HTTP/1.1\r\n ", "GET / HTTP/3.0\r\n", "GET /\x00", "GET / HTTP/1.1\r\nX: \x00",
	} {
		r := NewReader(&onlyThis{data: []byte(in)}, Limits{})
		var q Request
		first := r.ReadRequest(&q)
		var m *Malformed
		if !errors.As(first, &m) {
			t.Errorf("%q: %v", in, first)
		}
		if again := r.ReadRequest(&q); again != first {
			t.Errorf("%q: after the refusal: %v", in, again)
		}
	}
}

// onlyThis gives its data and panics when asked for more.
type onlyThis struct{ data []byte }

func (s *onlyThis) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		panic("read beyond what was needed")
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

func TestPipelinedRequests(t *testing.T) {
	var in bytes.Buffer
	for i := range 300 {
		fmt.Fprintf(&in, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", i, i%50, strings.Repeat("b", i%50))
	}
	r := NewReader(&in, Limits{})
	var q Request
	for i := range 300 {
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(i, err)
		}
		if string(q.Path) != fmt.Sprintf("/%d", i) {
			t.Fatalf("%d: %s", i, q.Path)
		}
		if i%50 > 0 {
			if err := r.ReadRequest(new(Request)); err != ErrBodyUnread {
				t.Fatalf("%d: body unread: %v", i, err)
			}
		}
		fields := string(AppendFields(nil, q.Fields))
		if n, err := io.Copy(io.Discard, r.Body()); n != int64(i%50) || err != nil || !r.Body().Done() {
			t.Fatal(i, n, err)
		}
		if got := string(AppendFields(nil, q.Fields)); got != fields {
			t.Fatalf("%d: the head changed while the body was read: %q", i, got)
		}
		if i%7 == 0 {
			r.Idle()
		}
	}
	if err := r.ReadRequest(&q); err != io.EOF {
		t.Fatal(err)
	}
}

func TestFieldSlicesCannotGrowIntoNeighbours(t *testing.T) {
	q, _, err := readOne("GET /p?q HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{q.Method, q.Target, q.Path, q.Query, q.Host, q.Fields[0].Name, q.Fields[1].Value} {
		if cap(b) != len(b) {
			t.Errorf("%q can be appended to in place", b)
		}
	}
	if f := (field.List)(q.Fields); len(f) != 2 {
		t.Error(len(f))
	}
}
