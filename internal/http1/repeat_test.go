package http1

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// told has a Reader read requests, and says how it came to the fields of each.
func told(t *testing.T, r *Reader, src *live, texts ...string) string {
	t.Helper()
	var q Request
	var how []byte
	for _, text := range texts {
		src.next = []byte(text)
		before := r.memory.number
		if err := r.ReadRequest(&q); err != nil {
			t.Fatalf("%.100q: %v", text, err)
		}
		how = append(how, came(&q, before))
		r.Idle()
	}
	return string(how)
}

func TestWhatIsRemembered(t *testing.T) {
	try := func(sequence, want string) {
		t.Helper()
		src := &live{}
		r := NewReader(src, Limits{})
		var texts []string
		for i, c := range sequence {
			texts = append(texts, fmt.Sprintf("GET /%d HTTP/1.%d\r\nHost: a\r\nX: %c\r\n\r\n", i, i%2, c))
		}
		if got := told(t, r, src, texts...); got != want {
			t.Errorf("%s: %s, want %s", sequence, got, want)
		}
	}
	try("AAAAAA", "-LRRRR")
	try("AAAABBBAAA", "-LRR-LRLRR")
	try("AAAABABA", "-LRR-R-R")                       // one that comes in between costs nothing
	try("ABABABAB", "-LL-R-R-")                       // of two that alternate one is recalled
	try("ABCDABCDABCDABCD", "-LL-L---R-L---R-")       // of four one, sometimes another
	try("ABCDEFGHIJKLMNOPQRS", "-LL-L---L-------L--") // what never repeats is remembered ever more seldom
	try("ABCDEFGHHHHHHHHHHH", "-LL-L---LRRRRRRRRR")
}

func TestLargeSectionsAreNotRemembered(t *testing.T) {
	small, fits, large := sectionOf(t, 2, 100), sectionOf(t, 2, maxRemembered), sectionOf(t, 2, maxRemembered+1)
	src := &live{}
	r := NewReader(src, Limits{})
	if got := told(t, r, src, fits, fits, fits); got != "-LR" {
		t.Errorf("2 KiB: %s", got)
	}
	r.Reset(src)
	if got := told(t, r, src, large, large, large, large, large); got != "-----" {
		t.Errorf("one byte more: %s", got)
	}
	r.Reset(src)
	if got := told(t, r, src, small, small, large, large, small); got != "-L--R" {
		t.Errorf("between small ones: %s", got)
	}
	r.Reset(src)
	many := sectionOf(t, maxLines, 1000)
	if got := told(t, r, src, many, many, many); got != "-LR" {
		t.Errorf("%d lines: %s", maxLines, got)
	}
	r.Reset(src)
	many = sectionOf(t, maxLines+1, 1000)
	if got := told(t, r, src, many, many, many); got != "---" {
		t.Errorf("one line more: %s", got)
	}
	var texts []string
	for n := range maxRemembered / 4 {
		n *= 12
		lines := min(2+n%90, (n+100)/40)
		texts = append(texts, sectionOf(t, lines, n+100), sectionOf(t, lines, n+100))
	}
	r.Reset(src)
	told(t, r, src, texts...)
	if n, lines := cap(r.memory.section), cap(r.memory.fields); n > maxRemembered || lines > 2*maxLines {
		t.Errorf("the memory has grown to %d bytes and %d lines", n, lines)
	}
}

// sectionOf returns a request whose field section has so many lines and bytes.
func sectionOf(t *testing.T, lines, size int) string {
	t.Helper()
	s := "Host: a\r\n" + strings.Repeat("X: y\r\n", lines-2) + "Y: "
	if size -= len(s) + 4; size < 0 {
		t.Fatal(lines, "lines do not fit")
	}
	return "GET / HTTP/1.1\r\n" + s + strings.Repeat("y", size) + "\r\n\r\n"
}

func TestNewLimitsHoldForRememberedFields(t *testing.T) {
	text := "GET / HTTP/1.1\r\nHost: a\r\nX: 123456789\r\nY: z\r\n\r\n"
	for reason, lim := range map[string]Limits{
		TooManyFields: {Fields: 2}, FieldTooLarge: {Field: 11}, HeadTooLarge: {Head: len(text) - 1}, TargetTooLong: {StartLine: 13},
	} {
		src := &live{}
		r := NewReader(src, Limits{})
		if got := told(t, r, src, text, text, text); got != "-LR" {
			t.Fatal(got)
		}
		r.SetLimits(lim)
		src.next = []byte(text)
		wantMalformed(t, r.ReadRequest(new(Request)), statusOf(reason), reason, text)
	}
	src := &live{}
	r := NewReader(src, Limits{})
	told(t, r, src, text, text, text)
	r.SetLimits(Limits{Fields: 3, Field: 12, Head: len(text), StartLine: 14})
	if got := told(t, r, src, text, text, text); got != "-LR" {
		t.Errorf("within new limits: %s", got)
	}
}

func TestHeadLimitCountsTheLineBeforeRememberedFields(t *testing.T) {
	const fields = "Host: a\r\nX: y\r\n\r\n"
	for _, start := range []string{"GET /%s HTTP/1.1\r\n", "\r\nGET /%s HTTP/1.1\r\n", "GET http://b/%s HTTP/1.1\r\n"} {
		for _, over := range []int{0, 1} {
			long := strings.Repeat("p", 30+over)
			lim := Limits{Head: len(fmt.Sprintf(start, long)) + len(fields) - over}
			src := &live{}
			r := NewReader(src, lim)
			short := fmt.Sprintf(start, "") + fields
			if got := told(t, r, src, short, short, short); got != "-LR" {
				t.Fatal(got)
			}
			src.next = []byte(fmt.Sprintf(start, long) + fields)
			var q Request
			err := r.ReadRequest(&q)
			if over == 1 {
				wantMalformed(t, err, 431, HeadTooLarge, start)
			} else if err != nil || q.Section == 0 {
				t.Errorf("%q: %v, section %d", start, err, q.Section)
			}
		}
	}
}

// What depends on the request line as well is judged anew for every request.
func TestRememberedFieldsAreJudgedWithTheirRequestLine(t *testing.T) {
	first := func(line, fields string) (*Reader, *live) {
		src := &live{}
		r := NewReader(src, Limits{})
		for range 2 {
			src.next = []byte(line + "\r\n" + fields)
			if err := r.ReadRequest(new(Request)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r.Body()); err != nil {
				t.Fatal(err)
			}
		}
		return r, src
	}
	refused := func(line, fields, then, reason string) {
		t.Helper()
		r, src := first(line, fields)
		src.next = []byte(then + "\r\n" + fields)
		wantMalformed(t, r.ReadRequest(new(Request)), statusOf(reason), reason, then)
	}
	refused("GET / HTTP/1.0", "X: y\r\n\r\n", "GET / HTTP/1.1", MissingHost)
	refused("GET / HTTP/1.0", "\r\n", "GET / HTTP/1.1", MissingHost)
	const chunked, length = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Host: a\r\nContent-Length: 0\r\n\r\n"
	refused("POST / HTTP/1.1", chunked, "POST / HTTP/1.0", EncodingInHTTP10)
	refused("POST / HTTP/1.1", chunked, "CONNECT a:1 HTTP/1.1", ContentOnConnect)
	refused("POST / HTTP/1.1", length, "CONNECT a:1 HTTP/1.1", ContentOnConnect)
	accepted := func(line, fields, then string, want func(q *Request) bool) {
		t.Helper()
		r, src := first(line, fields)
		src.next = []byte(then + "\r\n" + fields)
		var q Request
		before := r.memory.number
		if err := r.ReadRequest(&q); err != nil || came(&q, before) != 'R' {
			t.Errorf("%q: %v, section %d", then, err, q.Section)
		}
		if !want(&q) {
			t.Errorf("%q after %q: %s", then, line, said(&q))
		}
	}
	const upgrade = "Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	accepted("GET / HTTP/1.1", upgrade, "GET / HTTP/1.0", func(q *Request) bool { return q.Upgrade == nil && q.Close })
	accepted("GET / HTTP/1.0", upgrade, "GET / HTTP/1.1", func(q *Request) bool { return string(q.Upgrade) == "websocket" && !q.Close })
	const expect = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx"
	accepted("PUT / HTTP/1.1", expect, "PUT / HTTP/1.0", func(q *Request) bool { return !q.Expect100 && q.Length == 1 })
	accepted("PUT / HTTP/1.0", expect, "PUT / HTTP/1.1", func(q *Request) bool { return q.Expect100 })
	host := func(want string) func(q *Request) bool {
		return func(q *Request) bool { return string(q.Host) == want }
	}
	accepted("GET / HTTP/1.1", "Host: a\r\n\r\n", "GET http://b/ HTTP/1.1", host("b"))
	accepted("GET http://b/ HTTP/1.1", "Host: a\r\n\r\n", "GET / HTTP/1.1", host("a"))
	accepted("GET / HTTP/1.1", "Host: a\r\n\r\n", "\r\nGET / HTTP/1.1", host("a"))
}

// A Reader that another client has used before knows nothing of it.
func TestResetForgetsTheFields(t *testing.T) {
	text := "GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n"
	src := &live{}
	r := NewReader(src, Limits{})
	told(t, r, src, text, text, text)
	number := r.memory.number
	r.Reset(nil)
	for _, f := range r.memory.fields[:cap(r.memory.fields)] {
		if f.Name != nil || f.Value != nil {
			t.Fatal("a line is left")
		}
	}
	if r.memory.note.host != nil || len(r.memory.section) > 0 {
		t.Error("something is left")
	}
	if poison && bytes.Contains(r.memory.section[:cap(r.memory.section)], []byte("secret")) {
		t.Error("a slice that outlives its client would not show itself")
	}
	r.Reset(src)
	if got := told(t, r, src, text, text, text); got != "-LR" {
		t.Errorf("the next client: %s", got)
	}
	if r.memory.number == number {
		t.Error("two clients' fields have one number")
	}
}

func TestRememberedFieldsInPieces(t *testing.T) {
	one := "GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
	for cut := range len(one) {
		c := conversation{data: []byte(strings.Repeat(one, 5)), limits: []Limits{{}}}
		for i := range 5 {
			c.cuts = append(c.cuts, i*len(one)+cut)
		}
		c.check(t)
		c.idle, c.lazy = 1<<32-1, true
		c.check(t)
	}
	c := conversation{data: []byte(strings.Repeat(one, 5)), limits: []Limits{{}}}
	if n := c.check(t); n != 3 {
		t.Errorf("%d of five in one piece were recalled, want 3", n)
	}
}

// The fields stay what they are while the body is read, and the buffers go to others in between.
func TestRememberedFieldsOutliveTheBuffers(t *testing.T) {
	text := "POST /p HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 50000\r\n\r\n"
	content := bytes.Repeat([]byte("0123456789"), 5000)
	src := &live{}
	r := NewReader(src, Limits{})
	var q Request
	for i := range 6 {
		src.next = append([]byte(text), content...)
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		want := said(&q)
		if body, err := io.ReadAll(r.Body()); err != nil || !bytes.Equal(body, content) {
			t.Fatal(len(body), err)
		}
		if got := said(&q); got != want || string(q.Host) != "a" {
			t.Fatalf("request %d: with its body read it is\n%s\nnot\n%s", i, got, want)
		}
		r.Idle()
		for _, n := range []int{smallBuffer, largeBuffer} { // somebody else's
			b := take(n)
			copy(b, bytes.Repeat([]byte("\r\nX: z"), n/6))
			give(b)
		}
	}
	if q.Section != 1 {
		t.Error("nothing was recalled")
	}
}

// fieldsTurn gives requests of one length in turn, whole with every Read.
type fieldsTurn struct {
	texts [][]byte
	at    int
}

func (s *fieldsTurn) Read(p []byte) (int, error) {
	s.at = (s.at + 1) % len(s.texts)
	return copy(p, s.texts[s.at]), nil
}

// turns returns n requests of a browser that differ in their fields.
func turns(n int) *fieldsTurn {
	s := &fieldsTurn{}
	for i := range n {
		s.texts = append(s.texts, []byte(strings.Replace(browserRequest, "8f2c1b7e9d3a4f5e", fmt.Sprintf("%016x", i), 1)))
	}
	return s
}

func TestHeadAllocatesNothingWhateverRepeats(t *testing.T) {
	if poison {
		t.Log("under the race detector sync.Pool drops buffers at random; the plain run counts")
		return
	}
	for _, n := range []int{1, 2, 3, 4, 1000} {
		r := NewReader(turns(n), Limits{})
		var q Request
		read := func() {
			if err := r.ReadRequest(&q); err != nil {
				t.Fatal(err)
			}
			r.Idle()
		}
		for range 10 {
			read()
		}
		if allocs := testing.AllocsPerRun(2000, read); allocs != 0 {
			t.Errorf("%d kinds in turn: %v allocations", n, allocs)
		}
	}
}

// BenchmarkReadRequestInTurn is BenchmarkReadRequest with so many kinds of fields in turn; of a thousand none repeats.
func BenchmarkReadRequestInTurn(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 8, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := NewReader(turns(n), Limits{})
			var q Request
			b.SetBytes(int64(len(browserRequest)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.ReadRequest(&q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
