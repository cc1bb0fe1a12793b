package http1

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// cutUp delivers data in pieces: no Read goes beyond the next of the cuts.
type cutUp struct {
	data []byte
	cuts []int // ascending
	at   int
}

func (s *cutUp) Read(p []byte) (int, error) {
	if s.at == len(s.data) {
		return 0, io.EOF
	}
	end := len(s.data)
	if i, _ := slices.BinarySearch(s.cuts, s.at+1); i < len(s.cuts) {
		end = min(end, s.cuts[i])
	}
	n := copy(p, s.data[s.at:end])
	s.at += n
	return n, nil
}

// lazyCutUp is a cutUp as a LazySource.
type lazyCutUp struct{ *cutUp }

func (s lazyCutUp) ReadLazy(l Lender) (int, error) {
	l.Lend()
	l.Return()
	return s.Read(l.Lend())
}

// conversation is what one client sends, and what the gateway does between its requests. It is shorter than the
// smallest buffer, so that a Reader sees the same pieces wherever it begins.
type conversation struct {
	data   []byte
	cuts   []int
	lazy   bool
	limits []Limits // by request; the last holds for all others
	await  uint32   // bits by request: wait before it
	idle   uint32   // bits by request: give the buffers back after it
}

// from returns a source that begins at an offset.
func (c *conversation) from(at int) (*cutUp, io.Reader) {
	s := &cutUp{c.data, c.cuts, at}
	if c.lazy {
		return s, lazyCutUp{s}
	}
	return s, s
}

// came tells how a Reader came to the fields of a request: - parsed, L parsed and remembered, R recalled.
func came(q *Request, before uint32) byte {
	switch q.Section {
	case 0:
		return '-'
	case before:
		return 'R'
	}
	return 'L'
}

// check reads the conversation with one Reader, and every request of it with a new one, and compares what they
// found. It returns how many requests were recalled.
func (c *conversation) check(t *testing.T) (recalled int) {
	t.Helper()
	src, all := c.from(0)
	r := NewReader(all, c.limits[0])
	var q Request
	sections := map[uint32]string{}
	for i := range 1000 {
		lim := c.limits[min(i, len(c.limits)-1)]
		if i > 0 && i < len(c.limits) {
			r.SetLimits(lim)
		}
		at := src.at - len(r.Buffered())
		freshSrc, some := c.from(at)
		fresh := NewReader(some, lim)
		if c.await>>(i%32)&1 > 0 && len(r.Buffered()) == 0 {
			if a, b := r.Await(), fresh.Await(); a != b {
				t.Fatalf("request %d of %q: waiting: %v, not %v", i, c.data, a, b)
			}
		}
		var want Request
		number := r.memory.number
		err, wantErr := r.ReadRequest(&q), fresh.ReadRequest(&want)
		if !reflect.DeepEqual(err, wantErr) {
			t.Fatalf("request %d of %q, cut at %v: %v, not %v", i, c.data, c.cuts, err, wantErr)
		}
		if err != nil {
			if bad := (*Malformed)(nil); errors.As(err, &bad) && r.ReadRequest(&q) != err {
				t.Fatalf("request %d of %q: a refusal that is not final", i, c.data)
			}
			return recalled
		}
		if want.Section != 0 {
			t.Fatalf("a first request has section %d", want.Section)
		}
		head := said(&want)
		c.compare(t, i, &q, head)
		if came(&q, number) == 'R' {
			recalled++
		}
		if text, known := sections[q.Section]; known && q.Section != 0 && text != at0(&q) {
			t.Fatalf("request %d of %q: section %d is not what it was:\n%s\nnot\n%s", i, c.data, q.Section, at0(&q), text)
		}
		sections[q.Section] = at0(&q)
		size := []int{1, 7, 5000}[i%3]
		body, wantBody := c.content(r.Body(), size), c.content(fresh.Body(), size)
		if body != wantBody {
			t.Fatalf("request %d of %q: content %s, not %s", i, c.data, body, wantBody)
		}
		c.compare(t, i, &q, head) // still, with the body read
		if end, wantEnd := src.at-len(r.Buffered()), freshSrc.at-len(fresh.Buffered()); end != wantEnd {
			t.Fatalf("request %d of %q ends at %d, not %d", i, c.data, end, wantEnd)
		}
		if !r.Body().Done() {
			return recalled
		}
		if c.idle>>(i%32)&1 > 0 {
			r.Idle()
		}
	}
	t.Fatal("a conversation without end")
	return 0
}

func (c *conversation) compare(t *testing.T, i int, q *Request, want string) {
	t.Helper()
	if got := said(q); got != want {
		t.Fatalf("request %d of %q, cut at %v:\n%s\nnot\n%s", i, c.data, c.cuts, got, want)
	}
}

// at0 is a field section with the place that it lies in.
func at0(q *Request) string {
	place := ""
	if len(q.Fields) > 0 {
		place = fmt.Sprintf("%p ", q.Fields[0].Name)
	}
	return place + string(AppendFields(nil, q.Fields))
}

func (c *conversation) content(b *Body, size int) string {
	buf := make([]byte, size)
	var out strings.Builder
	for {
		n, err := b.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			fmt.Fprintf(&out, " %v %d %v %q", err, b.N(), b.Done(), AppendFields(nil, b.Trailer()))
			return out.String()
		}
	}
}

var repeatLines = []string{
	"GET / HTTP/1.1", "GET /a HTTP/1.0", "POST /x?y HTTP/1.1", "GET http://other.example/ HTTP/1.1", "OPTIONS * HTTP/1.1",
	"HEAD /" + strings.Repeat("p", 60) + " HTTP/1.1", "GET http://a?b HTTP/1.0", "CONNECT a:1 HTTP/1.1",
}

// repeatSections are field sections with the content that they announce. They are alike, so that taking one for
// another would show.
var repeatSections = [][2]string{
	{"Host: a\r\nCookie: s=1\r\n\r\n"},
	{"Host: a\r\nCookie: s=2\r\n\r\n"},
	{"Host: a\r\nContent-Length: 5\r\n\r\n", "hello"},
	{"Host: a\r\nContent-Length: 6\r\n\r\n", "hello!"},
	{"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\nX: y\r\n\r\n"},
	{"Host: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "\r\n"},
	{"Host: A.b:80\r\nConnection: keep-alive\r\n\r\n"},
	{"Host: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	{"Host: b\r\nConnection: close, x\r\n\r\n"},
	{"Connection: keep-alive\r\n\r\n"},
	{"Host: a\r\nA: 1\r\nB:\t2 \r\nA:\r\n\r\n"},
	{"Host: a\r\nA: " + strings.Repeat("a", 70) + "\r\n\r\n"},
	{"\r\n"},
}

var repeatLimits = []Limits{{}, {Head: 150}, {Fields: 2}, {Field: 30}, {StartLine: 40}, {Head: 60}}

// script makes a conversation from any bytes: each decides one thing. extra is one more field section.
type script []byte

func (s *script) next() int {
	if len(*s) == 0 {
		return 1
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b)
}

func (s *script) pick(n int) int { return s.next() % n }

func (s *script) conversation(extra string) *conversation {
	c := &conversation{lazy: s.pick(2) == 0, await: uint32(s.next()) * 0x01010101, idle: uint32(s.next()) * 0x01010101}
	c.limits = []Limits{repeatLimits[max(0, s.pick(2*len(repeatLimits))-len(repeatLimits))]}
	sections := append(slices.Clone(repeatSections), [2]string{extra[:min(len(extra), 600)] + "\r\n\r\n"})
	var last [2]string
	for n := 0; len(*s) > 0 && n < 20; n++ {
		var m []byte
		if s.pick(8) == 0 {
			m = append(m, "\r\n"...)
		}
		m = append(m, repeatLines[s.pick(16)/2]...)
		if n == 0 || s.pick(3) == 0 {
			last = sections[s.pick(len(sections))]
		}
		m = append(append(append(m, "\r\n"...), last[0]...), last[1]...)
		if s.pick(10) == 0 {
			const odd = "\r\n\t :,aA0\x00\x80"
			m[len(m)*s.next()/256] = odd[s.pick(len(odd))]
		}
		if len(c.data)+len(m) > smallBuffer-4 {
			break
		}
		for range max(0, s.pick(6)-3) {
			c.cuts = append(c.cuts, len(c.data)+len(m)*s.next()/256)
		}
		c.data = append(c.data, m...)
		if s.pick(3) > 0 {
			c.cuts = append(c.cuts, len(c.data))
		}
		if len(c.limits) == n+1 && s.pick(4) == 0 {
			c.limits = append(c.limits, repeatLimits[s.pick(len(repeatLimits))])
		}
	}
	c.data = append(c.data, "\r\n\r\n"...)
	slices.Sort(c.cuts)
	return c
}

// FuzzRepeatedFields: whatever a client repeats, changes and cuts up, its requests are understood as if each had come
// to a Reader that remembers nothing.
func FuzzRepeatedFields(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		program := make([]byte, 100)
		for i := range program {
			program[i] = byte(rnd.Uint32())
		}
		f.Add(program, "Host: a\r\nX: y")
	}
	f.Fuzz(func(t *testing.T, program []byte, extra string) {
		s := script(program)
		s.conversation(extra).check(t)
	})
}

func TestRepeatedFieldsAreReadAsNewOnes(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	recalled := 0
	const rounds = 3000
	for range rounds {
		program := make([]byte, 30+rnd.IntN(150))
		for i := range program {
			program[i] = byte(rnd.Uint32())
		}
		s := script(program)
		recalled += s.conversation("Host: a\r\nX: y").check(t)
	}
	if recalled < rounds/2 {
		t.Errorf("only %d requests were recalled: this proves nothing", recalled)
	}
}

// Every byte of a request that repeats another is changed in turn.
func TestOneByteMakesOtherFields(t *testing.T) {
	const odd = "\x00\n\r :,a1"
	for _, s := range repeatSections {
		one := "POST /x HTTP/1.1\r\n" + s[0] + s[1]
		for at := range one {
			for _, c := range []byte(odd) {
				other := []byte(one)
				other[at] = c
				c := conversation{data: slices.Concat([]byte(strings.Repeat(one, 3)), other, []byte(one+"\r\n\r\n")), limits: []Limits{{}}}
				c.check(t)
			}
		}
	}
}
