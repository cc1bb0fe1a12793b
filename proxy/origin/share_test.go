package origin

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

const eventsHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// app answers GET with its target, GET /events with a stream that goes on until end is closed, and
// everything else once its body is here.
func app(end <-chan struct{}) func(p *peer) {
	return func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			switch {
			case strings.HasPrefix(h, "GET /events "):
				p.say(eventsHead + "6\r\ndata:\n\r\n")
				<-end
				p.say("0\r\n\r\n")
			case strings.HasPrefix(h, "GET "):
				p.say(ok(strings.Fields(h)[1]))
			default:
				p.body(length(h))
				p.say(ok("taken"))
			}
		}
	}
}

// slowUploads are clients that declare 100000 bytes and send one.
type slowUploads struct {
	wg     sync.WaitGroup
	bodies []*pipeBody
	kinds  sync.Map // Kind of each failure
}

func (g *rig) slowUploads(n int) *slowUploads {
	u := &slowUploads{}
	for range n {
		body := newPipeBody()
		u.bodies = append(u.bodies, body)
		q := send("POST", body, 100_000)
		q.StopBody = body.stop
		u.wg.Go(func() { io.WriteString(body.w, "x") })
		u.wg.Go(func() {
			r, err := g.do(q)
			body.stop()
			if err != nil {
				u.kinds.Store(err.(*Error).Kind, true)
				return
			}
			r.Close()
		})
	}
	g.t.Cleanup(u.leave)
	return u
}

func (u *slowUploads) leave() {
	for _, b := range u.bodies {
		b.stop()
	}
	u.wg.Wait()
}

func TestSlowUploadsLeaveHalfOfThePoolToTheOthers(t *testing.T) {
	s := serve(t, app(nil))
	c := config(s.url())
	c.Pool.QueueTime = ms(500)
	g := start(t, c)
	u := g.slowUploads(260)
	eventually(t, "the arrival of the slow clients", func() bool { st := g.target(); return st.InFlight+st.Queued >= 260 })
	if st := g.target(); st.Uploads != 128 || st.InFlight != 128 || st.Queued != 132 {
		t.Errorf("%d uploads, %d in flight, %d queued; want 128, 128, 132", st.Uploads, st.InFlight, st.Queued)
	}
	for range 100 {
		g.answers(get("/page"), 200)
		g.answers(post("a form"), 200)
	}
	eventually(t, "the end of the others' wait", func() bool { return g.target().Queued == 0 })
	if _, timeout := u.kinds.Load(QueueTimeout); !timeout {
		t.Error("no upload gave up waiting")
	}
	u.leave()
	if st := g.target(); st.Uploads != 0 || st.InFlight != 0 {
		t.Errorf("stats %+v", st)
	}
}

// The wait for a place and the wait for a connection are one wait.
func TestUploadWaitsNoLongerThanTheQueuesTime(t *testing.T) {
	s := serve(t, silent(""))
	c := config(s.url())
	c.Pool.MaxConnections, c.Pool.QueueTime = 2, ms(400)
	g := start(t, c)
	first := g.slowUploads(1)
	eventually(t, "the first upload's connection", func() bool { return g.target().Uploads == 1 && g.target().Open == 1 })
	go g.do(get("/for-ever"))
	eventually(t, "the second connection", func() bool { return g.target().Open == 2 })
	began := time.Now()
	done := make(chan *Error)
	go func() { done <- g.fails(send("POST", endless{}, 1<<40), QueueTimeout) }()
	time.Sleep(200 * time.Millisecond)
	tg := g.Pool("app").targets[0]
	tg.mu.Lock()
	tg.uploads-- // a place comes free, a connection does not
	tg.admitUploads()
	tg.mu.Unlock()
	<-done
	if took := time.Since(began); took > 550*time.Millisecond {
		t.Errorf("waited %v", took)
	}
	tg.mu.Lock()
	tg.uploads++
	tg.mu.Unlock()
	first.leave()
}

func TestQueueOfUploadsIsBoundedAndSaysSo(t *testing.T) {
	s := serve(t, app(nil))
	c := config(s.url())
	c.Pool.MaxConnections, c.Pool.Queue, c.Pool.QueueTime = 2, 1, ms(60_000)
	g := start(t, c)
	g.slowUploads(2)
	eventually(t, "an upload in line", func() bool { return g.target().Queued == 1 })
	e := g.fails(send("POST", endless{}, 1<<40), QueueFull)
	if !strings.Contains(e.Error(), "slow clients") || e.Status() != 503 || e.Sent {
		t.Errorf("error %v", e)
	}
	g.answers(get("/page"), 200)
}

// Once its body is sent whole, a request makes place for the next upload, long before it is answered.
func TestUploadIsAnOrdinaryRequestOnceItIsSent(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(p *peer) {
		h := p.head()
		p.body(length(h))
		<-release
		p.say(ok("taken"))
		p.ended()
	})
	c := config(s.url())
	c.Pool.MaxConnections = 4
	g := start(t, c)
	answers := make(chan string)
	for range 4 {
		go func() { answers <- g.answers(send("POST", io.LimitReader(endless{}, 100_000), 100_000), 200) }()
	}
	eventually(t, "four requests that are sent", func() bool { st := g.target(); return st.InFlight == 4 && st.Uploads == 0 })
	close(release)
	for range 4 {
		<-answers
	}
}

func TestOnePlaceServesUploadsToo(t *testing.T) {
	s := serve(t, readAll)
	c := config(s.url())
	c.Pool.MaxConnections = 1
	g := start(t, c)
	for range 3 {
		if got := g.answers(streamed("hello"), 200); got != "hello" {
			t.Errorf("answered %q", got)
		}
	}
	if st := g.target(); st.Uploads != 0 || st.Connects != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestUploadPrefersTheTargetWithRoomForIt(t *testing.T) {
	a, b := serve(t, readAll), serve(t, readAll)
	c := config(a.url(), b.url())
	g := start(t, c)
	crowded := g.Pool("app").targets[0]
	crowded.mu.Lock()
	crowded.uploads = 128
	crowded.mu.Unlock()
	for range 6 {
		g.answers(streamed("x"), 200)
	}
	if a.conns.Load() != 0 {
		t.Error("the target without room for uploads was asked")
	}
	g.answers(get("/"), 200)
	g.answers(get("/"), 200)
}

func TestEventStreamsLeaveThePool(t *testing.T) {
	end := make(chan struct{})
	s := serve(t, app(end))
	c := config(s.url())
	c.Pool.QueueTime = ms(500)
	g := start(t, c)
	var readers []*Response
	for range 260 {
		r, err := g.do(get("/events"))
		if err != nil {
			t.Fatalf("stream %d: %v", len(readers)+1, err)
		}
		readers = append(readers, r)
	}
	if st := g.target(); st.Streams != 260 || st.InFlight != 0 || st.Open != 0 {
		t.Errorf("%d streams, %d in flight, %d open; want 260, 0, 0", st.Streams, st.InFlight, st.Open)
	}
	for range 100 {
		g.answers(get("/page"), 200)
	}
	close(end)
	for _, r := range readers {
		if b, err := io.ReadAll(&r.Body); string(b) != "data:\n" || err != nil {
			t.Fatalf("read %q, %v", b, err)
		}
		r.Close()
		r.Close()
	}
	if st := g.target(); st.Streams != 0 || st.InFlight != 0 || st.Open != 1 || st.Idle != 1 {
		t.Errorf("afterwards %+v", st)
	}
}

func TestEventStreamsHaveABoundOfTheirOwn(t *testing.T) {
	end := make(chan struct{})
	a := serve(t, app(end))
	c := config(a.url())
	c.Pool.MaxStreams = 1
	g := start(t, c)
	r, err := g.do(get("/events"))
	if err != nil {
		t.Fatal(err)
	}
	e := make(chan *Error)
	go func() { e <- g.fails(get("/events"), QueueFull) }()
	if e := <-e; e.Status() != 503 || e.Source() != SourceGateway || !e.Sent || !strings.Contains(e.Error(), "pool.max_streams") {
		t.Errorf("error %+v", e)
	}
	if st := g.target(); st.Streams != 1 || st.Open != 0 || st.InFlight != 0 || st.State != "healthy" {
		t.Errorf("stats %+v", st)
	}
	r.Close()
	r, err = g.do(get("/events"))
	if err != nil {
		t.Fatal(err)
	}
	close(end)
	r.Close()
	g.answersNothingOpen()
}

// Another target may have room for the stream.
func TestEventStreamGoesWhereThereIsRoom(t *testing.T) {
	end := make(chan struct{})
	a, b := serve(t, app(end)), serve(t, app(end))
	c := config(a.url(), b.url())
	c.Pool.MaxStreams = 1
	g := start(t, c)
	for range 2 {
		r, err := g.do(get("/events"))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
	}
	g.fails(get("/events"), QueueFull)
	close(end)
}

// A target that is taken out of the configuration is looked after until its last stream is over.
func TestStreamOutlivesItsTargetsConfiguration(t *testing.T) {
	end := make(chan struct{})
	s := serve(t, app(end))
	g := start(t, config(s.url()))
	done := make(chan struct{})
	q := get("/events")
	q.Done = done
	r, err := g.do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	other := serve(t, echo)
	if _, err := g.Apply(map[string]Config{"app": config(other.url())}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * tick)
	close(done)
	if _, err := r.Body.Read(make([]byte, 10)); err == nil || err.(*Error).Kind != Canceled {
		t.Errorf("read: %v", err)
	}
	close(end)
}

// A stream that was over before it was looked at is a response like any other.
func TestFinishedEventStreamKeepsItsConnection(t *testing.T) {
	s := serve(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 6\r\n\r\ndata:\n")
		}
	})
	g := start(t, config(s.url()))
	for range 3 {
		g.answers(get("/"), 200)
	}
	if s.conns.Load() != 1 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

// A POST may be answered with a stream while its body is still being sent.
func TestUploadThatIsAnsweredWithAStreamLeavesBoth(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say(eventsHead + "1\r\nx\r\n")
		p.ended()
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	q := send("POST", body, -1)
	q.StopBody = body.stop
	r, err := g.do(q)
	if err != nil {
		t.Fatal(err)
	}
	if st := g.target(); st.Streams != 1 || st.Uploads != 0 || st.InFlight != 0 || st.Open != 0 {
		t.Errorf("stats %+v", st)
	}
	r.Close()
	g.answersNothingOpen()
}
