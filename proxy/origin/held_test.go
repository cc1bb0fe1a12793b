package origin

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// length is what a head declares.
func length(head string) int {
	_, rest, _ := strings.Cut(head, "\r\nContent-Length: ")
	n, _ := strconv.Atoi(strings.Split(rest, "\r\n")[0])
	return n
}

// slowly starts a request with a declared body of n bytes; the rest of it comes when goOn is called.
func (g *rig) slowly(n int) (goOn func() string) {
	body := newPipeBody()
	q := send("POST", body, int64(n))
	answer := make(chan string)
	go func() { answer <- g.answers(q, 200) }()
	io.WriteString(body.w, "x")
	return func() string {
		io.WriteString(body.w, strings.Repeat("x", n-1))
		return <-answer
	}
}

func TestNoConnectionIsTakenForABodyThatFits(t *testing.T) {
	s := serve(t, readAll)
	g := start(t, config(s.url()))
	goOn := g.slowly(64 << 10)
	if st := g.target(); st.Requests != 0 || st.Uploads != 0 {
		t.Errorf("a connection was taken: %+v", st)
	}
	if got := goOn(); len(got) != 64<<10 {
		t.Errorf("carried %d bytes", len(got))
	}
	goOn = g.slowly(64<<10 + 1)
	eventually(t, "the streamed upload's connection", func() bool { return g.target().Uploads == 1 })
	if got := goOn(); len(got) != 64<<10+1 {
		t.Errorf("carried %d bytes", len(got))
	}
}

func TestHeldBodiesAreBoundedInMemory(t *testing.T) {
	s := serve(t, readAll)
	g := start(t, config(s.url()))
	g.buffers.mayHold = 80 << 10
	first, second := g.slowly(64<<10), g.slowly(10<<10)
	third := g.slowly(10)
	eventually(t, "the third upload's connection", func() bool { return g.target().Uploads == 1 })
	if got := third(); len(got) != 10 {
		t.Errorf("streamed %d bytes", len(got))
	}
	if a, b := first(), second(); len(a) != 64<<10 || len(b) != 10<<10 {
		t.Errorf("carried %d and %d bytes", len(a), len(b))
	}
	if n := g.buffers.holding.Load(); n != 0 {
		t.Errorf("%d bytes count as held afterwards", n)
	}
	g.answers(post("x"), 200)
	if st := g.target(); st.Requests != 4 || st.InFlight != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestHeldBuffersSizes(t *testing.T) {
	b := buffers{mayHold: maxHeld}
	has := func(n int64, want int) {
		t.Helper()
		p := b.hold(n)
		if len(*p) != want || b.holding.Load() != int64(want) {
			t.Errorf("for %d: %d bytes, %d count as held", n, len(*p), b.holding.Load())
		}
		b.letGo(p)
	}
	has(1, 4<<10)
	has(4<<10, 4<<10)
	has(4<<10+1, 16<<10)
	has(16<<10, 16<<10)
	has(16<<10+1, 64<<10)
	has(64<<10, 64<<10)
	has(-1, 64<<10)
	if b.holding.Load() != 0 {
		t.Error("something is still held")
	}
}

// A client that asks whether to send a small body is told to, and the origin gets it in one piece.
func TestExpectContinueOfASmallBodyIsAnsweredHere(t *testing.T) {
	s := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			if strings.Contains(h, "Expect") {
				t.Errorf("sent %q", h)
			}
			p.say(ok(p.body(length(h))))
		}
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	q := send("POST", body, 5)
	q.Expect100 = true
	told := 0
	q.OnContinue = func() {
		if told++; g.target().Requests != 0 {
			t.Error("a connection was taken before anything of the body was here")
		}
		go io.WriteString(body.w, "hello")
	}
	if got := g.answers(q, 200); got != "hello" || told != 1 {
		t.Errorf("answered %q, told the client %d times", got, told)
	}

	// One that did not wait to be told is not told (RFC 9110 §10.1.1).
	q = send("POST", readyBody{strings.NewReader("abc")}, 3)
	q.Expect100, q.OnContinue = true, func() { t.Error("told a client that has sent everything") }
	if got := g.answers(q, 200); got != "abc" {
		t.Errorf("answered %q", got)
	}
}

// A chunked body that is here whole, with trailers, does not ask either.
func TestExpectContinueOfABodyThatIsHere(t *testing.T) {
	s := serve(t, func(p *peer) {
		if h := p.head(); strings.Contains(h, "Expect") || !strings.Contains(h, "chunked") {
			t.Errorf("sent %q", h)
		}
		p.say(ok(""))
		p.ended()
	})
	g := start(t, config(s.url()))
	q := send("POST", readyBody{strings.NewReader("abc")}, -1)
	q.Expect100 = true
	q.Trailer = func() field.List { return fields("X-Sum", "1") }
	g.answers(q, 200)
}
