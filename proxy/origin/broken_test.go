package origin

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// breaks expects that a response fails with kind after the bytes in body were read.
func breaks(t *testing.T, response, body string, kind Kind) *Error {
	t.Helper()
	s := serve(t, func(p *peer) {
		p.head()
		p.say(response)
	})
	g := start(t, config(s.url()))
	r, err := g.do(get("/"))
	var got []byte
	if err == nil {
		got, err = io.ReadAll(&r.Body)
		if r.Body.Done() {
			t.Errorf("%q: the body counts as whole", response)
		}
		r.Close()
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || string(got) != body {
		t.Fatalf("%q: read %q, %v; want %q and %s", response, got, err, body, kind)
	}
	if st := g.target(); st.Open != 0 || st.Errors[kind] != 1 {
		t.Errorf("%q: stats %+v", response, st)
	}
	return e
}

func TestBrokenResponses(t *testing.T) {
	breaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half", Truncated)
	breaks(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", Truncated)
	breaks(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel", Truncated)
	breaks(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "hello", Truncated)
	breaks(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "hello", BadResponse)
	breaks(t, "", "", Reset)
	breaks(t, "HTTP/1.1 200 OK\r\nContent-Le", "", Reset)
	breaks(t, "SSH-2.0-OpenSSH_9.2\r\n", "", BadResponse)
	breaks(t, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "", BadResponse)
	breaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "", BadResponse)
	breaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "", BadResponse)
	breaks(t, "HTTP/1.1 200 OK\r\nX-A: a\x00b\r\n\r\n", "", BadResponse)
	breaks(t, "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", 70<<10)+"\r\n\r\n", "", BadResponse)
	breaks(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "", BadResponse)
	breaks(t, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 17)+ok(""), "", BadResponse)
}

func TestErrorTellsWhatWasTriedAndWhatHappened(t *testing.T) {
	e := breaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "half", Truncated)
	text := e.Error()
	for _, want := range []string{"cannot ask origin app at http://127.0.0.1:", "truncated", "in the middle of the response"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

func TestSurplusBytesEndTheConnection(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say(ok("one") + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
		p.ended()
	})
	g := start(t, config(s.url()))
	for range 3 {
		if got := g.answers(get("/"), 200); got != "one" {
			t.Fatalf("answered %q", got)
		}
	}
	if s.conns.Load() != 3 {
		t.Errorf("%d connections, want 3", s.conns.Load())
	}
}

// A response that nobody asked for, arriving while the connection is idle, must not answer the next request.
func TestUnaskedBytesOnIdleConnection(t *testing.T) {
	said := make(chan bool, 3)
	s := serve(t, func(p *peer) {
		p.head()
		p.say(ok("one"))
		if p.n == 1 {
			p.say(ok("forged"))
			said <- true
		}
		p.ended()
	})
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	<-said
	if got := g.answers(get("/"), 200); got != "one" {
		t.Errorf("answered %q", got)
	}
}

func TestCloseDelimitedBody(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.0 200 OK\r\n\r\nall that there is")
	})
	g := start(t, config(s.url()))
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(&r.Body)
	if string(b) != "all that there is" || err != nil || !r.CloseDelimited || r.Body.Done() {
		t.Errorf("%q, %v, close-delimited %v, done %v", b, err, r.CloseDelimited, r.Body.Done())
	}
	r.Close()
	if st := g.target(); st.Open != 0 {
		t.Errorf("stats %+v", st)
	}
}
