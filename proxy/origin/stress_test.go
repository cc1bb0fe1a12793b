package origin

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// moody is an origin that does everything that origins do to gateways.
func moody(p *peer) {
	for i := p.n; ; i++ {
		if h := p.head(); h == "" {
			return
		}
		switch i % 8 {
		case 0:
			return // without an answer
		case 1:
			p.reset()
			return
		case 2:
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
			return
		case 3:
			p.say("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
			return
		case 4:
			time.Sleep(time.Duration(i%5) * time.Millisecond)
			p.say(ok("late"))
		case 5:
			p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			time.Sleep(time.Millisecond)
			p.say("1\r\nx\r\n0\r\n\r\n")
		default:
			p.say(ok("fine"))
		}
	}
}

// Many requests with every kind of trouble, most of them queueing, some given up, while the
// configuration changes: afterwards nothing is counted that is not there.
func TestBooksBalance(t *testing.T) {
	s := serve(t, moody)
	c := config(s.url())
	c.Pool.MaxConnections, c.Pool.Queue, c.Pool.QueueTime = 4, 20, ms(5)
	c.Timeouts.FirstByte = ms(1000)
	g := start(t, c)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 100 {
				g.moodyRequest(rnd)
			}
		})
	}
	for i := range 20 {
		c.Pool.MaxConnections = 2 + i%5
		g.Apply(map[string]Config{"app": c})
		time.Sleep(2 * time.Millisecond)
	}
	wg.Wait()
	target := g.Pool("app").targets[0]
	target.mu.Lock()
	defer target.mu.Unlock()
	if target.inFlight != 0 || target.queue.n != 0 || target.queue.first != nil ||
		target.uploads != 0 || target.line.n != 0 || target.line.first != nil || target.streams != 0 ||
		target.open != len(target.conns) || len(target.idle) != len(target.conns) {
		t.Errorf("in flight %d, queued %d, open %d, connections %d, idle %d, uploads %d, in their line %d, streams %d",
			target.inFlight, target.queue.n, target.open, len(target.conns), len(target.idle), target.uploads,
			target.line.n, target.streams)
	}
	for i, cn := range target.conns {
		if cn.at != i || phase(cn.word.Load()) != phaseIdle {
			t.Errorf("connection %d believes to be %d, phase %d", i, cn.at, phase(cn.word.Load()))
		}
	}
}

func (g *rig) moodyRequest(rnd *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(30))*time.Millisecond)
	defer cancel()
	q := get("/")
	switch rnd.IntN(8) {
	case 0, 1:
		q = post("x")
	case 2, 3:
		q = streamed("xyz")
	}
	r, err := g.Pool("app").Do(ctx, q)
	if err != nil {
		return
	}
	if rnd.IntN(4) > 0 {
		io.Copy(io.Discard, &r.Body)
	}
	r.Close()
}
