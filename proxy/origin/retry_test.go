package origin

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// closing serves one request per connection, then closes it with or without saying so; announce tells
// the test when it has happened.
func closesAfterFirst(reset bool, done chan<- bool) func(p *peer) {
	return func(p *peer) {
		h := p.head()
		p.say(ok(strings.Fields(h)[0]))
		if p.n == 1 {
			if reset {
				p.reset()
			} else {
				p.Close()
			}
			done <- true
			return
		}
		p.ended()
	}
}

// A kept connection that ended meanwhile is noticed before anything is written: even a POST gets through.
func TestStaleConnectionIsNoticedBeforeWriting(t *testing.T) {
	for _, reset := range []bool{false, true} {
		done := make(chan bool, 1)
		s := serve(t, closesAfterFirst(reset, done))
		g := start(t, config(s.url()))
		g.answers(get("/"), 200)
		<-done
		if got := g.answers(post("x"), 200); got != "POST" {
			t.Errorf("answered %q", got)
		}
		if st := g.target(); st.Stale > 1 {
			t.Errorf("stats %+v", st)
		}
	}
}

// closesOnSecond answers the first request of the first connection and closes it when a second comes.
func closesOnSecond(heard *atomic.Int32) func(p *peer) {
	return func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			n := heard.Add(1)
			if p.n == 1 && n == 2 {
				return
			}
			p.say(ok(strings.Fields(h)[0]))
		}
	}
}

func TestGETIsSentAgainOnStaleConnection(t *testing.T) {
	var heard atomic.Int32
	s := serve(t, closesOnSecond(&heard))
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	r, err := g.do(get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.Attempts != 2 || r.Reused || heard.Load() != 3 {
		t.Errorf("attempts %d, reused %v, heard %d", r.Attempts, r.Reused, heard.Load())
	}
}

func TestPUTWithHeldBodyIsSentAgainOnStaleConnection(t *testing.T) {
	var heard atomic.Int32
	s := serve(t, closesOnSecond(&heard))
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	g.answers(send("PUT", strings.NewReader("abc"), 3), 200)
	if heard.Load() != 3 {
		t.Errorf("heard %d", heard.Load())
	}
}

func TestPOSTIsNeverSentTwice(t *testing.T) {
	for _, q := range []*Request{post("x"), send("POST", nil, 0), streamed("xyz")} {
		var heard atomic.Int32
		s := serve(t, closesOnSecond(&heard))
		g := start(t, config(s.url()))
		g.answers(get("/"), 200)
		e := g.fails(q, Reset)
		if !e.Sent || e.Retryable || heard.Load() != 2 {
			t.Errorf("error %+v, heard %d", e, heard.Load())
		}
	}
}

func TestResetAfterFirstByteIsNotRetried(t *testing.T) {
	var heard atomic.Int32
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			if heard.Add(1) == 2 {
				p.say("HTTP/1.1 200 O")
				return
			}
			p.say(ok(""))
		}
	})
	g := start(t, config(s.url()))
	g.answers(get("/"), 200)
	g.fails(get("/"), Reset)
	if heard.Load() != 2 {
		t.Errorf("heard %d", heard.Load())
	}
}

func deadAddress(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

func TestUnreachableTargetIsPassedOver(t *testing.T) {
	s := serve(t, readAll)
	g := start(t, config(deadAddress(t), s.url()))
	for range 4 {
		if got := g.answers(post("x"), 200); got != "x" {
			t.Errorf("answered %q", got)
		}
	}
	for _, st := range g.Stats() {
		if st.URL == s.url() && st.Requests != 4 {
			t.Errorf("the good target had %d requests", st.Requests)
		}
	}
}

func TestAllTargetsDown(t *testing.T) {
	g := start(t, config(deadAddress(t), deadAddress(t)))
	for range 12 {
		e := g.fails(post("x"), ConnectFailed)
		if e.Sent || e.Attempts != 2 || !strings.Contains(e.Error(), "nothing listens there") {
			t.Fatalf("error %v, sent %v", e, e.Sent)
		}
	}
	for _, st := range g.Stats() {
		if st.State != "ejected" || st.LastError == "" {
			t.Errorf("stats %+v", st)
		}
	}
}

func TestEjectedTargetIsLeftAlone(t *testing.T) {
	s := serve(t, echo)
	c := config(deadAddress(t), s.url())
	c.Passive.Failures = 2
	g := start(t, c)
	for range 20 {
		g.answers(get("/"), 200)
	}
	for _, st := range g.Stats() {
		if st.URL != s.url() && (st.Requests != 2 || st.Ejections != 1) {
			t.Errorf("the dead target was asked %d times", st.Requests)
		}
	}
}

func TestUnresolvableName(t *testing.T) {
	g := start(t, config("http://does-not-exist.invalid"))
	e := g.fails(get("/"), ConnectFailed)
	if !strings.Contains(e.Error(), "cannot be resolved") {
		t.Errorf("error %v", e)
	}
}
