package origin

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

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
	if st := g.target(); st.Open != 0 || st.InFlight != 0 || st.Streams != 0 || st.Uploads != 0 || st.Queued != 0 {
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

// A client that leaves while the last bytes are written to it has nothing to do with the connection they came on.
func TestFailedWriteOfAWholeBodyIsNoFaultOfItsConnection(t *testing.T) {
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			if strings.HasPrefix(h, "POST") {
				p.body(5)
			}
			p.say(ok("hello"))
		}
	})
	g := start(t, config(s.url()))
	for _, q := range []*Request{get("/"), post("first")} {
		r, err := g.do(q)
		if err != nil {
			t.Fatal(err)
		}
		left := errors.New("the client has left")
		if _, err := r.Body.WriteTo(failing{left}); err != left {
			t.Fatalf("got %v, want the writer's error", err)
		}
		r.Close()
		body, client := io.Pipe() // an upload is not sent again
		go io.WriteString(client, "again")
		r, err = g.do(send("POST", body, 5))
		if err != nil {
			t.Fatalf("the next request paid for it: %v", err)
		}
		r.Close()
	}
	if st := g.target(); s.conns.Load() != 1 {
		t.Errorf("%d connections, %+v", s.conns.Load(), st)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
