package http1

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

// checkFields: no byte that could end a line, or a name, is ever inside one.
func checkFields(t *testing.T, l field.List) {
	t.Helper()
	for _, f := range l {
		if !IsToken(f.Name) || bytes.ContainsAny(f.Name, " :\r\n\x00") {
			t.Fatalf("name %q", f.Name)
		}
		if !ValidValue(f.Value) || bytes.ContainsAny(f.Value, "\r\n\x00") {
			t.Fatalf("value %q", f.Value)
		}
	}
}

// counting counts what was asked for beyond the end of its data.
type counting struct {
	r     *bytes.Reader
	after int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n == 0 {
		c.after++
	}
	return n, err
}

func FuzzRequestHead(f *testing.F) {
	for _, m := range messages {
		if m.method == nil && len(m.text) < 4000 {
			f.Add([]byte(m.text))
		}
	}
	f.Add([]byte("GET http://[::1]:80/a%20b?c|d HTTP/1.1\r\nHost: x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"))
	f.Add([]byte("CONNECT a:1 HTTP/1.0\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := append(in[:len(in):len(in)], "\r\n\r\n"...)
		rnd := rand.New(rand.NewPCG(uint64(len(in)), 0))
		want, got := transcript(bytes.NewReader(whole), nil, Limits{}, true), transcript(&split{data: whole, rnd: rnd, most: 1 + rnd.IntN(9)}, nil, Limits{}, false)
		if got != want && !strings.Contains(want+got, "-large") && !strings.Contains(want+got, "-long") {
			t.Fatalf("in pieces %s\nwhole %s", got, want)
		}
		src := &counting{r: bytes.NewReader(in)}
		r := NewReader(src, Limits{})
		var q Request
		if err := r.ReadRequest(&q); err != nil {
			return
		}
		checkFields(t, q.Fields)
		if src.after != 0 {
			t.Fatal("read on after the head was whole")
		}
		rest := append([]byte(nil), r.Buffered()...)
		head := AppendFields(AppendRequestLine(nil, q.Method, q.Target), q.Fields)
		if q.Minor == 0 {
			head = bytes.Replace(head, []byte(" HTTP/1.1\r\n"), []byte(" HTTP/1.0\r\n"), 1)
		}
		head = AppendEnd(head)
		if !bytes.HasSuffix(in, rest) || len(rest) > len(in)-len(head)+bytes.Count(in, []byte(":")) {
			t.Fatalf("the rest %q is not the input's end", rest)
		}
		if a, b := transcript(bytes.NewReader(in), nil, Limits{}, true), transcript(bytes.NewReader(append(head, rest...)), nil, Limits{}, true); a != b {
			t.Fatalf("written again it reads\n%s\nnot\n%s", b, a)
		}
		if len(q.Host) > 0 && !ValidHost(q.Host) || len(q.Host) == 0 && q.Minor == 1 {
			t.Fatalf("host %q", q.Host)
		}
		if bytes.ContainsFunc(q.Target, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("#\"<>", c) }) {
			t.Fatalf("target %q", q.Target)
		}
		if q.Form == OriginForm && !bytes.Equal(q.Target, joinTarget(&q)) {
			t.Fatalf("target %q is not %q + %q", q.Target, q.Path, q.Query)
		}
	})
}

func joinTarget(q *Request) []byte {
	t := append([]byte(nil), q.Path...)
	if q.HasQuery {
		t = append(append(t, '?'), q.Query...)
	}
	return t
}

func FuzzResponseHead(f *testing.F) {
	for _, m := range messages {
		if m.method != nil && len(m.text) < 4000 {
			f.Add([]byte(m.text), string(m.method))
		}
	}
	f.Add([]byte(originResponse), "HEAD")
	f.Add([]byte("HTTP/1.1 200\r\nTransfer-Encoding: x, chunked\r\n\r\n"), "CONNECT")
	f.Fuzz(func(t *testing.T, in []byte, method string) {
		src := &counting{r: bytes.NewReader(in)}
		r := NewReader(src, Limits{})
		var p Response
		if err := r.ReadResponse(&p, []byte(method)); err != nil {
			var m *Malformed
			if errors.As(err, &m) && m.Status != 502 {
				t.Fatal(m)
			}
			return
		}
		checkFields(t, p.Fields)
		if src.after != 0 {
			t.Fatal("read on after the head was whole")
		}
		if p.Status < 100 || p.Status > 599 || bytes.ContainsAny(p.Reason, "\r\n\x00") {
			t.Fatalf("%d %q", p.Status, p.Reason)
		}
		head := AppendEnd(AppendFields(AppendStatusLine(nil, p.Status, string(p.Reason)), p.Fields))
		if p.Minor == 0 {
			head = bytes.Replace(head, []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1)
		}
		again := append(head, r.Buffered()...)
		if a, b := transcript(bytes.NewReader(in), []byte(method), Limits{}, true), transcript(bytes.NewReader(again), []byte(method), Limits{}, true); a != b {
			t.Fatalf("written again it reads\n%s\nnot\n%s", b, a)
		}
	})
}

func FuzzChunkedBody(f *testing.F) {
	f.Add([]byte("5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\nZ:\r\n\r\nGET"), uint64(1))
	f.Add([]byte("0\r\n\r\n"), uint64(2))
	f.Add([]byte("7fffffffffffffff\r\n"), uint64(3))
	f.Add([]byte("1 ; a=b ; c\r\nx\r\n0;d\r\nHost: x\r\n\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		whole := append([]byte(chunkedHead), in...)
		want := transcript(bytes.NewReader(whole), nil, Limits{}, true)
		rnd := rand.New(rand.NewPCG(seed, 0))
		got := transcript(&split{data: whole, rnd: rnd, most: 1 + rnd.IntN(20)}, nil, Limits{}, false)
		// In a line without an end a fault may be found or not before the input ends.
		if got != want && !strings.Contains(got+want, "head: unexpected EOF") {
			t.Fatalf("in pieces %s\nwhole %s", got, want)
		}
		r := NewReader(bytes.NewReader(whole), Limits{})
		var q Request
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		ready := r.Body().Ready()
		body, err := viaWriteTo(r.Body())
		if ready && err == io.ErrUnexpectedEOF || !ready && err == nil {
			t.Fatalf("ready %v, then %v", ready, err)
		}
		if err != nil {
			return
		}
		if !r.Body().Done() || !bytes.HasSuffix(in, r.Buffered()) {
			t.Fatal("not done, or read beyond the body")
		}
		checkFields(t, r.Body().Trailer())
		clean := AppendLastChunk(AppendChunk([]byte(chunkedHead), body), r.Body().Trailer())
		r2 := NewReader(bytes.NewReader(clean), Limits{})
		if err := r2.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		if again, err := viaWriteTo(r2.Body()); err != nil || !bytes.Equal(again, body) || len(r2.Buffered()) != 0 {
			t.Fatalf("written again: %v", err)
		}
	})
}

func FuzzHost(f *testing.F) {
	for _, h := range hosts {
		f.Add([]byte(h))
	}
	for _, h := range notHosts {
		f.Add([]byte(h))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if !ValidHost(in) {
			return
		}
		if bytes.ContainsAny(in, " \t\r\n\x00/?#@\\%,;\"'<>") || len(in) > maxHost+6 {
			t.Fatalf("%q", in)
		}
		host, port, hasPort := splitHost(in)
		if n, err := strconv.ParseUint(string(port), 10, 16); hasPort && (err != nil || n == 0) {
			t.Fatalf("port %q", port)
		}
		if !ValidHost(host) || len(host) == 0 {
			t.Fatalf("host %q of %q", host, in)
		}
		if !ValidHost(bytes.ToLower(in)) || !ValidHost(bytes.ToUpper(in)) {
			t.Fatalf("%q depends on the case of letters", in)
		}
	})
}
