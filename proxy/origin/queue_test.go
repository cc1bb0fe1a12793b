package origin

import (
	"context"
	"io"
	"testing"
)

// onePlace is a pool for one connection, which a first request holds.
func onePlace(t *testing.T, s *server) (*rig, *Response) {
	t.Helper()
	c := config(s.url())
	c.Pool.MaxConnections = 1
	g := start(t, c)
	r, err := g.do(get("/first"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(&r.Body); err != nil {
		t.Fatal(err)
	}
	return g, r
}

// The connection that the first in line is handed may just have ended: then it opens one of its own.
func TestQueuedRequestIsHandedADeadConnection(t *testing.T) {
	ended := make(chan bool, 1)
	s := serve(t, func(p *peer) {
		p.head()
		p.say(ok("x"))
		if p.n == 1 {
			p.Close()
			ended <- true
		}
		p.ended()
	})
	g, first := onePlace(t, s)
	second := make(chan string)
	go func() { second <- g.answers(post("x"), 200) }()
	eventually(t, "a request in line", func() bool { return g.target().Queued == 1 })
	<-ended
	first.Close()
	if got := <-second; got != "x" {
		t.Errorf("answered %q", got)
	}
	if st := g.target(); st.Stale != 1 || st.Connects != 2 || st.Waited != 1 {
		t.Errorf("stats %+v", st)
	}
}

// What a request is handed in the very moment in which it gives up goes to the next in line, or back.
func TestNothingIsLostWhenGivingUpMeetsBeingServed(t *testing.T) {
	s := serve(t, echo)
	g, first := onePlace(t, s)
	p := g.Pool("app")
	tg := p.targets[0]
	line := func() *waiter {
		tg.mu.Lock()
		defer tg.mu.Unlock()
		w, err := tg.enqueue(&tg.queue)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	leaver, next := line(), line()
	first.Close() // serves the leaver
	tg.pass(<-leaver.ready)
	c := <-next.ready
	if c == nil {
		t.Fatal("the connection was not passed on")
	}
	tg.pass(c)
	if st := g.target(); st.Idle != 1 || st.Open != 1 || st.InFlight != 0 || st.Queued != 0 {
		t.Errorf("stats %+v", st)
	}

	// The same with a place instead of a connection.
	tm := p.cfg.Timeouts
	c, err := tg.acquire(context.Background(), get("/"), &tm, false, 0)
	if err != nil {
		t.Fatal(err)
	}
	leaver, next = line(), line()
	tg.discard(c)
	tg.pass(<-leaver.ready)
	if c := <-next.ready; c != nil {
		t.Error("a connection came out of nowhere")
	}
	tg.pass(nil)
	if st := g.target(); st.Open != 0 || st.InFlight != 0 || st.Queued != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestRaisingTheLimitServesTheLine(t *testing.T) {
	s := serve(t, echo)
	g, first := onePlace(t, s)
	defer first.Close()
	second := make(chan string)
	go func() { second <- g.answers(get("/second"), 200) }()
	eventually(t, "a request in line", func() bool { return g.target().Queued == 1 })
	c := g.cfg
	c.Pool.MaxConnections = 2
	if _, err := g.Apply(map[string]Config{"app": c}); err != nil {
		t.Fatal(err)
	}
	if got := <-second; got != "/second" {
		t.Errorf("answered %q", got)
	}
}

func TestLineIsFirstComeFirstServed(t *testing.T) {
	var q queue
	a, b, c := &waiter{}, &waiter{}, &waiter{}
	q.push(a)
	q.push(b)
	q.push(c)
	q.remove(b)
	if q.pop() != a || q.pop() != c || q.pop() != nil || q.n != 0 || q.first != nil || q.last != nil {
		t.Error("the line is out of order")
	}
}
