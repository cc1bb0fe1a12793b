package malformed

import (
	"strings"
	"testing"
)

func TestReadClean(t *testing.T) {
	f := func(raw string, requests int, body string) {
		t.Helper()
		r := Read([]byte(raw))
		if len(r.Dangers) > 0 || r.Broken || len(r.Requests) != requests || (requests > 0 && r.Requests[0].Body != body) {
			t.Errorf("%q reads as %+v", raw, r)
		}
	}
	f("", 0, "")
	f("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1, "")
	f("GET /a?b HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", 1, "")
	f("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 1, "")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx\n\x00", 1, "x\n\x00")
	f("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n", 2, "abc")
	f("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX-A: b\r\n\r\n", 1, "abc")
}

func TestReadIncomplete(t *testing.T) {
	whole := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
	for i := range len(whole) {
		r := Read([]byte(whole[:i]))
		if len(r.Dangers) > 0 || r.Broken || (len(r.Requests) > 0 && r.Requests[0].Complete) {
			t.Errorf("%q reads as %+v", whole[:i], r)
		}
	}
}

func TestReadDangers(t *testing.T) {
	f := func(raw, danger string) {
		t.Helper()
		if r := Read([]byte(raw)); len(r.Dangers) == 0 || !strings.HasPrefix(r.Dangers[0], danger) {
			t.Errorf("%q reads as %+v, not %s", raw, r, danger)
		}
	}
	const get, post = "GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\n"
	const chunked = post + "Transfer-Encoding: chunked\r\n\r\n"
	f("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "request line")
	f("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "request line")
	f("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", "target byte")
	f("GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", "target byte")
	f("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "target form")
	f("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare \\n")
	f(get+"X-A: b\rc\r\n\r\n", "bare \\r")
	f(get+"X-A: \x00\r\n\r\n", "control byte")
	f(get+"X-A : b\r\n\r\n", "field name")
	f(get+"X_A: b\r\n\r\n", "underscore")
	f(get+" b\r\n\r\n", "folding")
	f(get+"Host: b\r\n\r\n", "hosts")
	f("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "host")
	f(get+"Keep-Alive: 1\r\n\r\n", "hop-by-hop")
	f(get+"Connection: X-A\r\n\r\n", "connection option")
	f(get+"X-A: evil\r\n\r\n", "must be removed")
	f(post+"Content-Length: +1\r\n\r\na", "length")
	f(post+"Content-Length: 01\r\n\r\na", "length")
	f(post+"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "two framings")
	f(post+"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", "two framings")
	f(post+"Transfer-Encoding: xchunked\r\n\r\na", "transfer-encoding")
	f(chunked+"1;a\r\na\r\n0\r\n\r\n", "chunk extension")
	f(chunked+"0x1\r\na\r\n0\r\n\r\n", "chunk size")
	f(chunked+"1\r\nab\r\n0\r\n\r\n", "chunk end")
	f(chunked+"1\na\r\n0\r\n\r\n", "bare \\n")
	f(chunked+"0\r\nContent-Length: 1\r\n\r\n", "trailer field")
}

// FuzzRead: no bytes make the parser fail or read past their end, and a request is never complete that has a body cut short.
func FuzzRead(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: [\r\nContent-Length: 9\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := Read(raw)
		for i, q := range r.Requests {
			if !q.Complete && i != len(r.Requests)-1 {
				t.Errorf("request %d of %d is unfinished", i, len(r.Requests))
			}
		}
	})
}
