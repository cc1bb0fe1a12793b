package origin

import (
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

// What a response without content says about its length is handed on, and nothing is made up.
func TestAnnouncedLengths(t *testing.T) {
	announces := func(method, response string, want int64) {
		t.Helper()
		s := serve(t, func(p *peer) {
			for p.head() != "" {
				p.say(response + "\r\n")
			}
		})
		g := start(t, config(s.url()))
		for range 2 {
			q := get("/")
			q.Method = []byte(method)
			r, err := g.do(q)
			if err != nil {
				t.Fatal(err)
			}
			if r.Length != want || r.Body.Remaining() != 0 || !r.Body.Done() {
				t.Errorf("%s, %q: length %d, want %d; %d to come", method, response, r.Length, want, r.Body.Remaining())
			}
			r.Close()
		}
		if s.conns.Load() != 1 {
			t.Error("the connection was not kept")
		}
	}
	announces("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n", 1234)
	announces("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", 0)
	announces("HEAD", "HTTP/1.1 200 OK\r\n", -1)
	announces("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", -1)
	announces("HEAD", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n", -1)
	announces("HEAD", "HTTP/1.1 304 Not Modified\r\n", -1)
	announces("GET", "HTTP/1.1 304 Not Modified\r\n", -1)
	announces("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n", 77)
	announces("GET", "HTTP/1.1 204 No Content\r\n", 0)
	announces("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", 0)
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

// Once Do has returned, a request without a body is its caller's again: nothing of it is looked at while the
// answer's body is read, nor after.
func TestRequestIsFreeOnceTheHeadIsHere(t *testing.T) {
	goOn := make(chan bool)
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
			<-goOn
			p.say("other")
		}
	})
	g := start(t, config(s.url()))
	for range 3 {
		q := get("/path")
		q.Method, q.Host = []byte("GET"), []byte("a.test")
		q.Fields = fields("Accept", "text/html")
		r, err := g.do(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{q.Method, q.Target, q.Host, q.Fields[0].Name, q.Fields[0].Value} {
			for i := range b {
				b[i] = 0
			}
		}
		*q = Request{}
		goOn <- true
		b, err := io.ReadAll(&r.Body)
		if string(b) != "firstother" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		r.Close()
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections for three requests", n)
	}
}
