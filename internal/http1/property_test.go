package http1

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// transcript reads everything that src has as requests (or responses, when method is not nil) with their
// bodies and writes down what was found, so that two ways of delivery can be compared.
func transcript(src io.Reader, method []byte, lim Limits, big bool) string {
	var out strings.Builder
	r := NewReader(src, lim)
	buf := make([]byte, 7)
	if big {
		buf = make([]byte, 64<<10)
	}
	for range 20 {
		head, err := readHead(r, method)
		if err != nil {
			fmt.Fprintf(&out, "head: %s\n", errWord(err))
			return out.String()
		}
		out.WriteString(head)
		body := r.Body()
		for {
			n, err := body.Read(buf)
			out.Write(buf[:n])
			if err != nil {
				fmt.Fprintf(&out, "\nbody: %s n %d done %v %s\n", errWord(err), body.N(), body.Done(), AppendFields(nil, body.Trailer()))
				break
			}
		}
		if !body.Done() {
			break
		}
		r.Idle()
	}
	return out.String()
}

func readHead(r *Reader, method []byte) (string, error) {
	if method != nil {
		var p Response
		err := r.ReadResponse(&p, method)
		return fmt.Sprintf("%d %d %q %d %d %v\n%s", p.Status, p.Minor, p.Reason, p.Framing, p.Length, p.Close, AppendFields(nil, p.Fields)), err
	}
	var q Request
	err := r.ReadRequest(&q)
	return said(&q), err
}

// said is all that a request's head came to.
func said(q *Request) string {
	return fmt.Sprintf("%q %q %d %q %q %v %q %d %d %v %v %q\n%s", q.Method, q.Target, q.Form, q.Path, q.Query, q.HasQuery, q.Host,
		q.Framing, q.Length, q.Close, q.Expect100, q.Upgrade, AppendFields(nil, q.Fields))
}

func errWord(err error) string {
	var m *Malformed
	if errors.As(err, &m) {
		return m.Reason
	}
	return err.Error()
}

// split delivers data in random pieces, sometimes with an end attached to the last.
type split struct {
	data []byte
	rnd  *rand.Rand
	most int
}

func (s *split) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.data[:min(len(s.data), 1+s.rnd.IntN(s.most))])
	s.data = s.data[n:]
	if len(s.data) == 0 && s.rnd.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// lazySplit is split as a LazySource.
type lazySplit struct{ split }

func (s *lazySplit) ReadLazy(l Lender) (int, error) {
	if s.rnd.IntN(2) == 0 {
		l.Lend()
		l.Return()
	}
	return s.Read(l.Lend())
}

var messages = []struct {
	text   string
	method []byte
}{
	{browserRequest + browserRequest, nil},
	{"\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\nZ:\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n", nil},
	{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world\r\nG(T / HTTP/1.1\r\n\r\n", nil},
	{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + strings.Repeat("0123456789", 7000) + "GET / HTTP/1.0\r\n\r\n", nil},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("a\r\n0123456789\r\n", 3000) + "9000\r\n" + strings.Repeat("x", 0x9000) + "\r\n0\r\n\r\n", nil},
	{"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("c", 9000) + "\r\nX: " + strings.Repeat("c", 9000) + "\r\n\r\nGET", nil},
	{"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", nil},
	{"GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n", nil},
	{"GET / HTTP/1.1\r\nHost: a\r\n fold\r\n\r\n", nil},
	{"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", nil},
	{"GET / HTTP/1.1\nHost: a\r\n\r\n", nil},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", nil},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nHost: x\r\n\r\n", nil},
	{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", nil},
	{"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" + originResponse + strings.Repeat("b", 1024) + "HTTP/1.1 204\r\n\r\nHTTP/1.0 200 OK\r\n\r\n" + strings.Repeat("until close ", 5000), []byte("GET")},
	{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n" + originResponse + strings.Repeat("b", 1000), []byte("POST")},
	{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nHTTP/2.0 200\r\n\r\n", []byte("HEAD")},
}

func TestAnySplitOfTheInputGivesTheSameResult(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for i, m := range messages {
		want := transcript(strings.NewReader(m.text), m.method, Limits{}, true)
		for range 15 {
			most := []int{1, 3, 50, 5000, 100000}[rnd.IntN(5)]
			s := split{data: []byte(m.text), rnd: rnd, most: most}
			var src io.Reader = &s
			if rnd.IntN(2) == 0 {
				src = &lazySplit{s}
			}
			if got := transcript(src, m.method, Limits{}, rnd.IntN(2) == 0); got != want {
				t.Fatalf("message %d in pieces of up to %d:\n%.3000s\nwant\n%.3000s", i, most, got, want)
			}
		}
	}
}

// Damage one byte of a good message: whatever comes out, it must not depend on how the bytes arrive.
func TestDamagedMessagesDoNotDependOnSplits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	odd := "\x00\t\n\r :;,=\"\\@%#[]{}/?0aA\x7f\x80\xff"
	for range 4000 {
		m := messages[rnd.IntN(len(messages))]
		// Every line gets its end: a fault in a line that stays open may be seen or not before the input ends.
		text := []byte(m.text[:min(len(m.text), 800)] + "\r\n\r\n")
		text[rnd.IntN(len(text))] = odd[rnd.IntN(len(odd))]
		want := transcript(strings.NewReader(string(text)), m.method, Limits{}, true)
		for _, most := range []int{1, 40} {
			if got := transcript(&split{data: text, rnd: rnd, most: most}, m.method, Limits{}, false); got != want {
				t.Fatalf("%q in pieces of up to %d:\n%s\nwant\n%s", text, most, got, want)
			}
		}
	}
}
