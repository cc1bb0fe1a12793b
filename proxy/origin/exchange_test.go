package origin

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func TestOneCleanHead(t *testing.T) {
	heads := make(chan string, 8)
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			heads <- h
			p.say(ok(""))
		}
	})
	g := start(t, config(s.url()))
	sends := func(q *Request, want string) {
		t.Helper()
		g.answers(q, 200)
		if got := <-heads; got != strings.ReplaceAll(want, "\n", "\r\n") {
			t.Errorf("sent\n%s\nwant\n%s", got, want)
		}
	}
	q := get("/a//b/../%2f?x=1&x=2")
	q.Fields = fields("X-A", "1", "Accept", "*/*", "X-A", "2")
	sends(q, "GET /a//b/../%2f?x=1&x=2 HTTP/1.1\nHost: shop.example\nX-A: 1\nAccept: */*\nX-A: 2\n\n")

	q = get("/")
	q.Fields = fields("host", "evil", "Content-Length", "5", "transfer-encoding", "chunked",
		"Connection", "X-A", "Keep-Alive", "1", "Upgrade", "h2c", "Expect", "100-continue", "X-A", "1")
	sends(q, "GET / HTTP/1.1\nHost: shop.example\nX-A: 1\n\n")

	sends(send("POST", nil, 0), "POST / HTTP/1.1\nHost: shop.example\nContent-Length: 0\n\n")
	sends(send("DELETE", nil, 0), "DELETE / HTTP/1.1\nHost: shop.example\n\n")
	sends(&Request{Method: []byte("OPTIONS"), Target: []byte("*"), Host: []byte("a")}, "OPTIONS * HTTP/1.1\nHost: a\n\n")
}

func TestUncleanHeadIsNotSent(t *testing.T) {
	s := serve(t, func(p *peer) {
		if h := p.head(); h != "" {
			t.Errorf("the origin heard %q", h)
		}
	})
	g := start(t, config(s.url()))
	refused := func(change func(q *Request)) {
		t.Helper()
		q := get("/")
		change(q)
		if e := g.fails(q, UncleanRequest); e.Sent {
			t.Error("something was sent")
		}
	}
	refused(func(q *Request) { q.Fields = fields("X-A", "1\r\nX-B: 2") })
	refused(func(q *Request) { q.Fields = fields("X-A\n", "1") })
	refused(func(q *Request) { q.Fields = fields("X-A", "1\r\n\r\nGET /admin HTTP/1.1") })
	refused(func(q *Request) { q.Fields = fields("X-A", "a\x00b") })
	refused(func(q *Request) { q.Target = []byte("/a b") })
	refused(func(q *Request) { q.Target = []byte("/a\r\nX: y") })
	refused(func(q *Request) { q.Method = []byte("GET /x") })
	refused(func(q *Request) { q.Host = []byte("a\rb") })
}

func TestHostOverrides(t *testing.T) {
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			p.say(ok(strings.Split(h, "\r\n")[1]))
		}
	})
	c := config(s.url())
	c.Host = "internal.example"
	if got := start(t, c).answers(get("/"), 200); got != "Host: internal.example" {
		t.Errorf("with host: %s", got)
	}
	c.Host, c.ThirdParty = "", true
	if got := start(t, c).answers(get("/"), 200); got != "Host: "+s.Addr().String() {
		t.Errorf("third party: %s", got)
	}
}

func TestConnectionIsKeptAndLastUsedFirst(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	for range 5 {
		g.answers(get("/x"), 200)
	}
	st := g.target()
	if st.Connects != 1 || st.Idle != 1 || st.Open != 1 || st.Requests != 5 || st.InFlight != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestResponseFieldsComeAsReceived(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 207 Many\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok")
		p.ended()
	})
	g := start(t, config(s.url()))
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Status != 207 || string(r.Reason) != "Many" || r.Length != 2 || r.Fields.Count("Set-Cookie") != 2 ||
		!r.Fields.Has("Keep-Alive") || r.Target != s.url() || r.Attempts != 1 || r.Took <= 0 {
		t.Errorf("response %+v", r)
	}
	if !r.Body.Ready() || r.Body.Remaining() != 2 || r.Body.Done() {
		t.Error("the body is here, and not read")
	}
}

func TestChunkedResponseWithTrailer(t *testing.T) {
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n")
		}
	})
	g := start(t, config(s.url()))
	for range 2 {
		r, err := g.do(get("/"))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if n, err := r.Body.WriteTo(&b); n != 11 || err != nil || b.String() != "hello world" || r.Length != -1 {
			t.Errorf("body %q, %d, %v", b.String(), n, err)
		}
		if !r.Body.Done() || string(r.Body.Trailer().Get("X-Sum")) != "42" {
			t.Errorf("trailer %v", r.Body.Trailer())
		}
		r.Close()
		r.Close()
	}
	if s.conns.Load() != 1 {
		t.Error("the connection was not kept")
	}
}

func TestHEADAndBodylessStatuses(t *testing.T) {
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			switch {
			case strings.HasPrefix(h, "HEAD"):
				p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			case strings.Contains(h, "/204"):
				p.say("HTTP/1.1 204 No Content\r\n\r\n")
			default:
				p.say("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")
			}
		}
	})
	g := start(t, config(s.url()))
	q := get("/")
	q.Method = []byte("HEAD")
	for _, body := range []string{g.answers(q, 200), g.answers(get("/204"), 204), g.answers(get("/304"), 304)} {
		if body != "" {
			t.Errorf("a body: %q", body)
		}
	}
	if s.conns.Load() != 1 {
		t.Error("the connection was not kept")
	}
}

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

func TestConnectionCloseIsHonoured(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
		p.ended()
	})
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	g.answers(get("/"), 200)
	if s.conns.Load() != 2 {
		t.Errorf("%d connections, want 2", s.conns.Load())
	}
}

func TestInterimResponses(t *testing.T) {
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok("done"))
		}
	})
	g := start(t, config(s.url()))
	var got []string
	q := get("/")
	q.OnInterim = func(status int, f field.List) {
		got = append(got, string(rune('0'+status%100))+string(f.Get("Link")))
	}
	if body := g.answers(q, 200); body != "done" || strings.Join(got, " ") != "3</a.css> 2" {
		t.Errorf("interim %q, body %q", got, body)
	}
	if body := g.answers(get("/"), 200); body != "done" {
		t.Errorf("without a listener: %q", body)
	}
	if s.conns.Load() != 1 {
		t.Error("the connection was not kept")
	}
}

func TestUpgrade(t *testing.T) {
	s := serve(t, func(p *peer) {
		h := p.head()
		if !strings.Contains(h, "Connection: Upgrade\r\nUpgrade: websocket\r\n") {
			t.Errorf("sent %q", h)
		}
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\nearly")
		p.say(p.line() + "!")
	})
	g := start(t, config(s.url()))
	q := get("/chat")
	q.Upgrade = []byte("websocket")
	r, err := g.do(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != 101 || string(r.Fields.Get("Sec-WebSocket-Accept")) != "x" {
		t.Errorf("response %+v", r)
	}
	r.Close()
	defer r.Conn.Close()
	io.WriteString(r.Conn, "hi\r\n")
	rest, _ := io.ReadAll(r.Conn)
	if got := string(r.Buffered) + string(rest); got != "earlyhi!" {
		t.Errorf("tunnel carried %q", got)
	}
	if st := g.target(); st.Open != 0 || st.InFlight != 0 || st.Idle != 0 {
		t.Errorf("the tunnel's connection is still in the pool: %+v", st)
	}
}

func TestUpgradeToSomethingElseIsRefused(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		p.ended()
	})
	g := start(t, config(s.url()))
	q := get("/chat")
	q.Upgrade = []byte("websocket")
	g.fails(q, BadResponse)
}

func TestUpgradeDeclined(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	q := get("/chat")
	q.Upgrade = []byte("websocket")
	if got := g.answers(q, 200); got != "/chat" {
		t.Errorf("answered %q", got)
	}
}

func TestCancelClosesTheOriginsConnection(t *testing.T) {
	closed := make(chan struct{})
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		p.ended()
		close(closed)
	})
	g := start(t, config(s.url()))
	done := make(chan struct{})
	q := get("/")
	q.Done = done
	r, err := g.do(q)
	if err != nil {
		t.Fatal(err)
	}
	close(done)
	_, err = r.Body.Read(make([]byte, 10))
	if e, ok := err.(*Error); !ok || e.Kind != Canceled || e.Source() != SourceClient {
		t.Errorf("read: %v", err)
	}
	<-closed
	r.Close()
	g.answersNothingOpen()
}

func (g *rig) answersNothingOpen() {
	g.t.Helper()
	if st := g.target(); st.Open != 0 || st.InFlight != 0 || st.Queued != 0 {
		g.t.Errorf("something is still open: %+v", st)
	}
}

func TestCancelWhileWaitingForTheHead(t *testing.T) {
	heard := make(chan struct{})
	s := serve(t, func(p *peer) {
		p.head()
		close(heard)
		p.ended()
	})
	g := start(t, config(s.url()))
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-heard; cancel() }()
	_, err := g.Pool("app").Do(ctx, get("/"))
	if e, ok := err.(*Error); !ok || e.Kind != Canceled {
		t.Errorf("do: %v", err)
	}
	g.answersNothingOpen()
}

func TestClosingEarlyClosesTheConnection(t *testing.T) {
	closed := make(chan struct{})
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
		p.ended()
		close(closed)
	})
	g := start(t, config(s.url()))
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	<-closed
	if _, err := r.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed body can be read")
	}
}

func TestAbortFromAnotherGoroutine(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
		p.ended()
	})
	g := start(t, config(s.url()))
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	go r.Body.Abort()
	if _, err := io.ReadAll(&r.Body); err == nil {
		t.Error("no error after Abort")
	}
	r.Close()
	g.answersNothingOpen()
}

func TestUnreadBodyThatIsHereKeepsTheConnection(t *testing.T) {
	s := serve(t, echo)
	g := start(t, config(s.url()))
	for range 3 {
		r, err := g.do(get("/x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}
