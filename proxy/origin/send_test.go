package origin

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// pipeBody is a request's body that comes when the test says so; StopBody ends a Read that waits.
type pipeBody struct {
	*io.PipeReader
	w *io.PipeWriter
}

func newPipeBody() *pipeBody {
	r, w := io.Pipe()
	return &pipeBody{r, w}
}

func (b *pipeBody) stop() { b.CloseWithError(errors.New("stopped")) }

// streamed hides the length and readiness of a body, so that it has to be streamed.
func streamed(s string) *Request {
	q := send("POST", io.MultiReader(strings.NewReader(s)), -1)
	return q
}

// readAll answers a request of either framing with what it carried.
func readAll(p *peer) {
	for h := p.head(); h != ""; h = p.head() {
		var got strings.Builder
		if i := strings.Index(h, "Content-Length: "); i >= 0 {
			n, _ := strconv.Atoi(strings.Split(h[i+16:], "\r\n")[0])
			got.WriteString(p.body(n))
		} else if strings.Contains(h, "Transfer-Encoding: chunked\r\n") {
			for {
				n, err := strconv.ParseInt(p.line(), 16, 64)
				if err != nil || n == 0 {
					break
				}
				got.WriteString(p.body(int(n)))
				p.line()
			}
			for l := p.line(); l != ""; l = p.line() {
				got.WriteString("|" + l)
			}
		}
		p.say(ok(got.String()))
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	s := serve(t, readAll)
	g := start(t, config(s.url()))
	big := strings.Repeat("0123456789abcdef", 20<<10)
	carries := func(q *Request, want string) {
		t.Helper()
		if got := g.answers(q, 200); got != want {
			t.Errorf("carried %d bytes, want %d", len(got), len(want))
		}
	}
	carries(post("small"), "small")
	carries(post(big), big)
	carries(streamed("small"), "small")
	carries(streamed(big), big)
	carries(streamed(""), "")
	carries(send("PUT", strings.NewReader("xyz"), 3), "xyz")
	carries(send("POST", io.MultiReader(), 0), "")
	q := streamed("with")
	q.Trailer = func() field.List { return fields("X-Sum", "1", "X-Bad", "a\r\nb", "Content-Length", "4") }
	carries(q, "with|X-Sum: 1")
	if s.conns.Load() != 1 {
		t.Errorf("%d connections, want 1", s.conns.Load())
	}
}

// readyBody is in memory, as a body is that came with its head.
type readyBody struct{ *strings.Reader }

func (readyBody) Ready() bool { return true }

func TestReadyBodyLeavesInOneWriteWithItsLength(t *testing.T) {
	heads := make(chan string, 2)
	s := serve(t, func(p *peer) {
		for {
			b := make([]byte, 1<<10)
			n, _ := p.Read(b)
			if n == 0 {
				return
			}
			heads <- string(b[:n])
			p.say(ok(""))
		}
	})
	g := start(t, config(s.url()))
	g.answers(send("POST", readyBody{strings.NewReader("abc")}, -1), 200)
	if got := <-heads; !strings.HasSuffix(got, "\r\nContent-Length: 3\r\n\r\nabc") {
		t.Errorf("sent %q", got)
	}
	q := send("POST", readyBody{strings.NewReader("abc")}, -1)
	q.Trailer = func() field.List { return fields("X-Sum", "1") }
	g.answers(q, 200)
	if got := <-heads; !strings.HasSuffix(got, "\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n") {
		t.Errorf("sent %q", got)
	}
}

func TestEarlyRefusalIsHeardAndStopsTheBody(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
		p.ended()
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	q := send("POST", body, 1<<40)
	q.StopBody = body.stop
	if got := g.answers(q, 413); got != "big" {
		t.Errorf("answered %q", got)
	}
	g.answersNothingOpen()
}

// The same while the origin takes nothing and the sender is stuck in a write, then resets.
func TestEarlyRefusalWhileTheOriginDoesNotRead(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
		p.r = nil
		buf := make([]byte, 1)
		for {
			if _, err := p.Read(buf); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	g := start(t, config(s.url()))
	q := send("POST", endless{}, 1<<40)
	if got := g.answers(q, 413); got != "big" {
		t.Errorf("answered %q", got)
	}
	g.answersNothingOpen()
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestAnswerAndBodyAtTheSameTime(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			n, err := strconv.ParseInt(p.line(), 16, 64)
			if err != nil {
				return
			}
			b := p.body(int(n))
			p.line()
			fmt.Fprintf(p, "%x\r\n%s\r\n", n, b)
			if n == 0 {
				p.ended()
				return
			}
		}
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	q := send("POST", body, -1)
	q.StopBody = body.stop
	r, err := g.do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	buf := make([]byte, 10)
	for _, word := range []string{"one", "two", "three"} {
		io.WriteString(body.w, word)
		n, err := r.Body.Read(buf)
		if string(buf[:n]) != word || err != nil {
			t.Fatalf("echoed %q, %v; want %q", buf[:n], err, word)
		}
	}
	body.w.Close()
	if _, err := r.Body.Read(buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestClientsBodyBreaksOff(t *testing.T) {
	gone := make(chan string, 1)
	s := serve(t, func(p *peer) {
		p.head()
		b, _ := io.ReadAll(p.r)
		gone <- string(b)
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	cause := errors.New("the client reset its connection")
	go func() {
		io.WriteString(body.w, "part")
		body.w.CloseWithError(cause)
	}()
	e := g.fails(send("POST", body, 1<<20), RequestBody)
	if !errors.Is(e, cause) || e.Source() != SourceClient || !e.Sent || e.Retryable {
		t.Errorf("error %+v", e)
	}
	if got := <-gone; got != "part" {
		t.Errorf("the origin got %q", got)
	}
	e = g.fails(send("POST", strings.NewReader("abc"), 5), RequestBody)
	if e.Sent {
		t.Error("a body that is too short left before it was read")
	}
}

func TestExpectContinueGranted(t *testing.T) {
	s := serve(t, func(p *peer) {
		if h := p.head(); !strings.Contains(h, "\r\nExpect: 100-continue\r\n") {
			t.Errorf("sent %q", h)
		}
		p.say("HTTP/1.1 100 Continue\r\n\r\n")
		got := p.body(len("5\r\nhello\r\n0\r\n\r\n"))
		p.say(ok(strings.Split(got, "\r\n")[1]))
		p.ended()
	})
	g := start(t, config(s.url()))
	body := newPipeBody()
	q := send("POST", body, -1)
	q.Expect100 = true
	told := 0
	q.OnContinue = func() {
		told++
		go func() { // the client waits for the word
			io.WriteString(body.w, "hello")
			body.w.Close()
		}()
	}
	if got := g.answers(q, 200); got != "hello" || told != 1 {
		t.Errorf("answered %q, told the client %d times", got, told)
	}
	if st := g.target(); st.Idle != 1 {
		t.Errorf("the connection was not kept: %+v", st)
	}
}

func TestExpectContinueRefused(t *testing.T) {
	s := serve(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		if b, _ := io.ReadAll(p.r); len(b) > 0 {
			t.Errorf("the origin got %q", b)
		}
	})
	g := start(t, config(s.url()))
	q := send("POST", endless{}, 1<<20)
	q.Expect100 = true
	q.OnContinue = func() { t.Error("the client was told to go on") }
	if got := g.answers(q, 401); got != "no" {
		t.Errorf("answered %q", got)
	}
	g.answersNothingOpen()
}

func TestExpectContinueIgnoredByTheOrigin(t *testing.T) {
	s := serve(t, readAll)
	g := start(t, config(s.url()))
	q := streamed("after a second")
	q.Expect100 = true
	told := false
	q.OnContinue = func() { told = true }
	if got := g.answers(q, 200); got != "after a second" || !told {
		t.Errorf("answered %q, told %v", got, told)
	}
}

func TestLargeBodiesInBoundedMemory(t *testing.T) {
	const total = 256 << 20
	whole := make(chan bool, 1)
	s := serve(t, func(p *peer) {
		p.head()
		h := sha256.New()
		go func() {
			fmt.Fprintf(p, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", total)
			b := bytes.Repeat([]byte{'x'}, 64<<10)
			for sent := 0; sent < total; sent += len(b) {
				if _, err := p.Write(b); err != nil {
					return
				}
			}
		}()
		if n, _ := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.LimitReader(p.r, total)}, make([]byte, 64<<10)); n != total {
			t.Errorf("the origin got %d bytes", n)
		}
		whole <- true
		p.ended()
	})
	g := start(t, config(s.url()))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := g.do(send("POST", io.LimitReader(endless{}, total), total))
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Body.WriteTo(io.Discard)
	if n != total || err != nil || !r.Body.Done() {
		t.Errorf("read %d, %v", n, err)
	}
	<-whole
	eventually(t, "the end of the upload", func() bool { return r.Body.c.sent() })
	r.Close()
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 16<<20 {
		t.Errorf("memory grew by %d bytes", grown)
	}
	if st := g.target(); st.Idle != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := serve(t, readAll)
	c := config(s.url())
	c.Pool.MaxConnections = 8
	g := start(t, c)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for k := range 20 {
				want := fmt.Sprintf("%d-%d", i, k)
				q := post(want)
				if k%3 == 0 {
					q = streamed(want)
				}
				r, err := g.do(q)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(&r.Body)
				if string(b) != want || err != nil {
					t.Errorf("read %q, %v; want %q", b, err, want)
				}
				r.Close()
			}
		})
	}
	wg.Wait()
	if st := g.target(); st.InFlight != 0 || st.Queued != 0 || st.Open > 8 || st.Requests < 640 {
		t.Errorf("stats %+v", st)
	}
}
