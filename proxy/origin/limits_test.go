package origin

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// silent hears a request and says what is given, then nothing.
func silent(say string) func(p *peer) {
	return func(p *peer) {
		p.head()
		p.say(say)
		p.ended()
	}
}

func TestFirstByteTimeout(t *testing.T) {
	for _, say := range []string{"", "HTTP/1.1 200 OK\r\nContent-"} {
		s := serve(t, silent(say))
		c := config(s.url())
		c.Timeouts.FirstByte = ms(30)
		g := start(t, c)
		if e := g.fails(get("/"), FirstByteTimeout); !e.Timeout() || e.Status() != 504 {
			t.Errorf("error %+v", e)
		}
		g.answersNothingOpen()
	}
}

// A head that drips is as late as one that does not come.
func TestDrippingHead(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\n")
		for {
			if _, err := io.WriteString(p, "X-A: b\r\n"); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	c := config(s.url())
	c.Timeouts.FirstByte = ms(100)
	start(t, c).fails(get("/"), FirstByteTimeout)
}

func TestRoutesTimeoutBeatsTheOrigins(t *testing.T) {
	s := serve(t, silent(""))
	g := start(t, config(s.url()))
	q := get("/")
	q.Timeouts.FirstByte = ms(30)
	g.fails(q, FirstByteTimeout)
}

func TestBodyTimeout(t *testing.T) {
	s := serve(t, silent("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
	c := config(s.url())
	c.Timeouts.Idle = ms(30)
	start(t, c).fails(get("/"), BodyTimeout)
}

func TestEventStreamMayBeSilentForLonger(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n")
		time.Sleep(200 * time.Millisecond)
		p.say("5\r\ndata:\r\n0\r\n\r\n")
		p.ended()
	})
	c := config(s.url())
	c.Timeouts.Idle = ms(20)
	if got := start(t, c).answers(get("/"), 200); got != "data:" {
		t.Errorf("read %q", got)
	}
}

// A client that reads slowly is not the origin's fault.
func TestSlowReaderIsNoBodyTimeout(t *testing.T) {
	s := serve(t, silent("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"))
	c := config(s.url())
	c.Timeouts.Idle = ms(20)
	g := start(t, c)
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	time.Sleep(200 * time.Millisecond)
	if b, err := io.ReadAll(&r.Body); string(b) != "body" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// Nor is one that sends slowly.
func TestSlowUploadIsNoFirstByteTimeout(t *testing.T) {
	s := serve(t, readAll)
	c := config(s.url())
	c.Timeouts.FirstByte, c.Timeouts.Idle = ms(50), ms(50)
	g := start(t, c)
	body := newPipeBody()
	go func() {
		for range 5 {
			time.Sleep(60 * time.Millisecond)
			io.WriteString(body.w, "x")
		}
		body.w.Close()
	}()
	if got := g.answers(send("POST", body, -1), 200); got != "xxxxx" {
		t.Errorf("answered %q", got)
	}
}

func TestSendTimeout(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.r = nil
		p.Read(make([]byte, 1))
		buf := make([]byte, 1)
		for {
			time.Sleep(time.Second)
			if _, err := p.Read(buf); err != nil {
				return
			}
		}
	})
	c := config(s.url())
	c.Timeouts.Idle = ms(50)
	start(t, c).fails(send("POST", endless{}, 1<<40), SendTimeout)
}

func TestTotalTimeout(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			if _, err := io.WriteString(p, "1\r\nx\r\n"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	c := config(s.url())
	c.Timeouts.Total = ms(100)
	start(t, c).fails(get("/"), TotalTimeout)
}

func TestConnectTimeout(t *testing.T) {
	c := config("http://127.0.0.1:1")
	c.Timeouts.Connect = ms(20)
	g := startWith(t, c, Options{Dial: hangs})
	g.fails(get("/"), ConnectTimeout)
	done := make(chan struct{})
	close(done)
	q := get("/")
	q.Done = done
	q.Timeouts.Connect = conf.Duration(time.Hour)
	g.fails(q, Canceled)
}

func TestQueue(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			<-release
			p.say(ok("done"))
		}
	})
	c := config(s.url())
	c.Pool.MaxConnections, c.Pool.Queue = 1, 1
	c.Pool.QueueTime = ms(60_000)
	g := start(t, c)
	answers := make(chan string, 2)
	for range 2 {
		go func() { answers <- g.answers(get("/"), 200) }()
	}
	eventually(t, "one request in the queue", func() bool { return g.target().Queued == 1 })
	if e := g.fails(get("/"), QueueFull); e.Status() != 503 || e.Sent || !e.Retryable || e.Source() != SourceGateway {
		t.Errorf("error %+v", e)
	}
	close(release)
	<-answers
	<-answers
	if s.conns.Load() != 1 {
		t.Errorf("%d connections, want 1", s.conns.Load())
	}
}

func TestQueueTimeoutAndCancel(t *testing.T) {
	release := make(chan bool)
	s := serve(t, func(p *peer) {
		p.head()
		<-release
		p.say(ok("done"))
	})
	c := config(s.url())
	c.Pool.MaxConnections = 1
	c.Pool.QueueTime = ms(20)
	g := start(t, c)
	first := make(chan string)
	go func() { first <- g.answers(get("/"), 200) }()
	eventually(t, "the first request's arrival", func() bool { return s.conns.Load() == 1 })
	g.fails(get("/"), QueueTimeout)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := g.Pool("app").Do(ctx, get("/")); err.(*Error).Kind != Canceled {
		t.Errorf("with a cancelled context: %v", err)
	}
	close(release)
	<-first
	if st := g.target(); st.Queued != 0 || st.InFlight != 0 {
		t.Errorf("stats %+v", st)
	}
}

// The place of a connection that breaks goes to the first in line, which opens one of its own.
func TestQueueIsServedWhenConnectionsBreak(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	})
	c := config(s.url())
	c.Pool.MaxConnections = 2
	g := start(t, c)
	answers := make(chan string)
	for range 20 {
		go func() { answers <- g.answers(get("/"), 200) }()
	}
	for range 20 {
		<-answers
	}
	g.answersNothingOpen()
}

func TestIdleConnectionsAreReaped(t *testing.T) {
	s := serve(t, echo)
	c := config(s.url())
	c.Pool.IdleTime = ms(50)
	g := start(t, c)
	g.answers(get("/"), 200)
	eventually(t, "the idle connection's end", func() bool { return g.target().Open == 0 })
}

func TestMaxIdle(t *testing.T) {
	s := serve(t, echo)
	c := config(s.url())
	c.Pool.MaxIdle = 0
	g := start(t, c)
	g.answers(get("/"), 200)
	g.answers(get("/"), 200)
	if s.conns.Load() != 2 {
		t.Errorf("%d connections, want 2", s.conns.Load())
	}
}

func TestLeastConnectionsAvoidsTheBusyTarget(t *testing.T) {
	a, b := serve(t, echo), serve(t, echo)
	c := config(a.url(), b.url())
	c.Balance = LeastConnections
	g := start(t, c)
	busy := g.Pool("app").targets[0]
	busy.mu.Lock()
	busy.inFlight = 1
	busy.mu.Unlock()
	for range 10 {
		g.answers(get("/"), 200)
	}
	if a.conns.Load() != 0 || b.conns.Load() != 1 {
		t.Errorf("%d connections to the busy target, %d to the free one", a.conns.Load(), b.conns.Load())
	}
}

func TestRoundRobinSpreads(t *testing.T) {
	a, b, c := serve(t, echo), serve(t, echo), serve(t, echo)
	g := start(t, config(a.url(), b.url(), c.url()))
	for range 30 {
		g.answers(get("/"), 200)
	}
	for _, st := range g.Stats() {
		if st.Requests != 10 {
			t.Errorf("%s had %d requests, want 10", st.URL, st.Requests)
		}
	}
}

func TestErrorStatuses(t *testing.T) {
	for _, k := range Kinds() {
		e := &Error{Kind: k, Pool: "app"}
		if s := e.Status(); s < 400 || s > 599 || strings.Contains(e.Error(), "%!") || k.String() == "" {
			t.Errorf("%v: status %d, text %q", k, s, e)
		}
	}
}
