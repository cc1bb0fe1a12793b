package http1

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

const chunkedHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

// open parses the head of input and returns the Reader that stands before its body.
func open(t *testing.T, input string) *Reader {
	t.Helper()
	r := NewReader(strings.NewReader(input), Limits{})
	if err := r.ReadRequest(new(Request)); err != nil {
		t.Fatalf("%q: %v", input, err)
	}
	return r
}

func TestChunkedBody(t *testing.T) {
	good := func(coded, body, rest string) {
		t.Helper()
		for _, read := range []func(*Body) ([]byte, error){viaRead, viaWriteTo} {
			r := open(t, chunkedHead+coded+rest)
			if !r.Body().Ready() {
				t.Errorf("%q: not ready", coded)
			}
			got, err := read(r.Body())
			if err != nil || string(got) != body || !r.Body().Done() || string(r.Buffered()) != rest || r.Body().N() != int64(len(body)) {
				t.Errorf("%q: %q %v, rest %q", coded, got, err, r.Buffered())
			}
		}
	}
	good("0\r\n\r\n", "", "")
	good("0000\r\n\r\n", "", "GET")
	good("3\r\nabc\r\n0\r\n\r\n", "abc", "next")
	good("1\r\na\r\n1\r\nb\r\n00000000000000a\r\n0123456789\r\n0\r\n\r\n", "ab0123456789", "x")
	good("A;x\r\n0123456789\r\n0;y=z;q=\"a;\\\"\t \xe9\"\r\n\r\n", "0123456789", "x")
	good("1 ; x\t=\t\"\" ;y\r\na\r\n0\r\n\r\n", "a", "x")
	good("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "\r\n", "x")

	bad := func(coded, reason string) {
		t.Helper()
		for _, read := range []func(*Body) ([]byte, error){viaRead, viaWriteTo} {
			r := open(t, chunkedHead+coded)
			_, err := read(r.Body())
			wantMalformed(t, err, statusOf(reason), reason, coded)
			if r.Body().Done() {
				t.Errorf("%q: done", coded)
			}
			if _, again := r.Body().Read(make([]byte, 1)); again != err {
				t.Errorf("%q: then %v", coded, again)
			}
			if next := r.ReadRequest(new(Request)); next != err {
				t.Errorf("%q: the next head: %v", coded, next)
			}
		}
	}
	for _, size := range []string{"", "g", " 1", "+1", "-1", "0x1", "1g", "1.", "1,", "\n", "1\n", "1\r\r\n", "8000000000000000", "00000000000000001", "fffffffffffffffff", "\x00"} {
		bad(size+"\r\na\r\n0\r\n\r\n", BadChunk)
	}
	for _, ext := range []string{" ", ";", "; ", " x", ";x=", ";x y", ";=y", ";x=\"", ";x=\"\\\n\"", ";x=\"\"y", ";x\x00", ";x\n", ";x=y\n", ";x ", ";\"x\"", ";x=y=z", "\t", ";x=\"\r\n\""} {
		bad("1"+ext+"\r\na\r\n0\r\n\r\n", BadChunkExtension)
	}
	bad("1\r\nab\r\n0\r\n\r\n", BadChunk)
	bad("1\r\na\n0\r\n\r\n", BadChunk)
	bad("1\r\na\r0\r\n\r\n", BadChunk)
	bad("1\r\na0\r\n\r\n", BadChunk)
	bad("1;"+strings.Repeat("x", 600)+"\r\na\r\n", ChunkLineTooLong)
	bad(strings.Repeat("1;"+strings.Repeat("x", 500)+"\r\na\r\n", 20), ChunkLineTooLong)
	bad("0\r\n\n", BadLineEnd)
	bad("0\r\n\rX", BadLineEnd)
	bad("0\r\n x: y\r\n\r\n", FoldedLine)
	bad("0\r\nx: y\n\r\n", BadLineEnd)
	bad("0\r\nx : y\r\n\r\n", SpaceBeforeColon)
	bad("0\r\nx y\r\n\r\n", BadFieldName)
	bad("0\r\nx: \x00\r\n\r\n", ControlByte)
	bad("0\r\nContent-Length: 5\r\n\r\n", ForbiddenTrailer)
	bad("0\r\ntransfer-encoding: chunked\r\n\r\n", ForbiddenTrailer)
	bad("0\r\nHost: b\r\n\r\n", ForbiddenTrailer)
	bad("0\r\nx: "+strings.Repeat("a", 17<<10)+"\r\n\r\n", FieldTooLarge)
	bad("0\r\n"+strings.Repeat("x: "+strings.Repeat("a", 15<<10)+"\r\n", 3)+"\r\n", HeadTooLarge)
	bad("0\r\n"+strings.Repeat("x: y\r\n", 101)+"\r\n", TooManyFields)
}

func viaRead(b *Body) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{b}) }

func viaWriteTo(b *Body) ([]byte, error) {
	var buf bytes.Buffer
	_, err := b.WriteTo(&buf)
	return buf.Bytes(), err
}

func TestTrailer(t *testing.T) {
	r := open(t, chunkedHead+"1\r\na\r\n0\r\nX-Sum:  1 \r\nExpires: never\r\nContent-Type: x\r\nIf-Match: y\r\nServer-Timing: z\r\nSet-Cookie: a=b\r\n\r\nGET")
	if r.Body().Trailer() != nil {
		t.Error("a trailer before its time")
	}
	if _, err := viaRead(r.Body()); err != nil {
		t.Fatal(err)
	}
	trailer := r.Body().Trailer()
	r.Reset(nil)
	if got := string(AppendFields(nil, trailer)); got != "X-Sum: 1\r\nServer-Timing: z\r\n" {
		t.Errorf("%q", got)
	}
}

func TestBodyCutShort(t *testing.T) {
	for _, input := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1234",
		chunkedHead, chunkedHead + "5", chunkedHead + "5\r", chunkedHead + "5\r\nabc", chunkedHead + "1\r\na", chunkedHead + "1\r\na\r\n",
		chunkedHead + "0\r\n", chunkedHead + "0\r\n\r", chunkedHead + "0\r\nx: y\r\n", chunkedHead + "0\r\nx",
	} {
		for _, read := range []func(*Body) ([]byte, error){viaRead, viaWriteTo} {
			r := open(t, input)
			if r.Body().Ready() {
				t.Errorf("%q: ready", input)
			}
			if _, err := read(r.Body()); err != io.ErrUnexpectedEOF || r.Body().Done() {
				t.Errorf("%q: %v", input, err)
			}
			if err := r.ReadRequest(new(Request)); err != io.ErrUnexpectedEOF {
				t.Errorf("%q: the next head: %v", input, err)
			}
		}
	}
}

func TestBodyLimit(t *testing.T) {
	over := func(head, rest string, limit int64, delivered int) {
		t.Helper()
		r := open(t, head+rest)
		err := r.Body().SetLimit(limit)
		var got []byte
		if err == nil {
			got, err = viaRead(r.Body())
		}
		wantMalformed(t, err, 413, BodyTooLarge, head)
		if len(got) != delivered || r.Body().Done() {
			t.Errorf("%q: delivered %q", rest, got)
		}
		if again := r.ReadRequest(new(Request)); again != err {
			t.Errorf("%q: then %v", head, again)
		}
	}
	length := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	over(length, "12345", 4, 0)
	over(length, "12345", 0, 0)
	over(chunkedHead, "5\r\n12345\r\n0\r\n\r\n", 4, 0)
	over(chunkedHead, "3\r\n123\r\n2\r\n45\r\n0\r\n\r\n", 4, 3)
	over(chunkedHead, "7fffffffffffffff\r\n", 1<<62, 0)
	over(chunkedHead, "1\r\na\r\n", 0, 0)
	for _, input := range []string{length + "12345", chunkedHead + "5\r\n12345\r\n0\r\n\r\n"} {
		r := open(t, input)
		if err := r.Body().SetLimit(5); err != nil {
			t.Fatal(err)
		}
		if got, err := viaRead(r.Body()); string(got) != "12345" || err != nil || !r.Body().Done() {
			t.Errorf("%q %v", got, err)
		}
	}
	r := NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\n12345"), Limits{})
	if err := errors.Join(r.ReadResponse(new(Response), nil), r.Body().SetLimit(4)); err != nil {
		t.Fatal(err)
	}
	got, err := viaRead(r.Body())
	wantMalformed(t, err, 502, BodyTooLarge, "until close")
	if string(got) != "1234" {
		t.Errorf("%q", got)
	}
}

// live hands over what is sent to it, and reports an error when read with nothing sent.
type live struct {
	next []byte
	errs []error
}

func (s *live) Read(p []byte) (int, error) {
	if len(s.next) == 0 {
		if len(s.errs) > 0 {
			err := s.errs[0]
			s.errs = s.errs[1:]
			return 0, err
		}
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, s.next)
	s.next = s.next[n:]
	return n, nil
}

func TestWriteToDeliversAtOnce(t *testing.T) {
	src := &live{next: []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\nmo")}
	r := NewReader(src, Limits{})
	if err := r.ReadResponse(new(Response), nil); err != nil {
		t.Fatal(err)
	}
	var writes []string
	sink := writerFunc(func(p []byte) (int, error) { writes = append(writes, string(p)); return len(p), nil })
	for _, next := range []string{"", "re\r\n", "2\r\n..\r\n0\r\n\r\n"} {
		src.next = []byte(next)
		_, err := r.Body().WriteTo(sink)
		if done := r.Body().Done(); done != (err == nil) || !done && err != os.ErrDeadlineExceeded {
			t.Fatalf("after %q: %v, done %v", next, err, done)
		}
	}
	if got := strings.Join(writes, "|"); got != "onemo|re|.." {
		t.Error(got)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriteToStopsWhenItsWriterFails(t *testing.T) {
	r := open(t, chunkedHead+"3\r\nabc\r\n0\r\n\r\n")
	broken := errors.New("broken pipe")
	n, err := r.Body().WriteTo(writerFunc(func(p []byte) (int, error) { return 1, broken }))
	if n != 1 || err != broken || r.Body().N() != 1 || r.ReadRequest(new(Request)) == nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestFailedWriterLeavesTheNextMessageAlone(t *testing.T) {
	broken := errors.New("broken pipe")
	fails := writerFunc(func([]byte) (int, error) { return 0, broken })
	var q Request
	for _, whole := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		r := open(t, "POST / HTTP/1.1\r\nHost: a\r\n"+whole+"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := r.Body().WriteTo(fails); err != broken || !r.Body().Done() {
			t.Errorf("%q: %v, done %v", whole, err, r.Body().Done())
		}
		if _, err := r.Body().WriteTo(io.Discard); err != broken {
			t.Errorf("%q: again: %v", whole, err)
		}
		if err := r.ReadRequest(&q); err != nil || string(q.Path) != "/next" {
			t.Errorf("%q: the next request: %v", whole, err)
		}
	}
	// What is not consumed still bars the way.
	src := &live{next: []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc")}
	r := NewReader(src, Limits{})
	if err := r.ReadRequest(&q); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Body().WriteTo(fails); err != broken || r.Body().Done() || r.ReadRequest(&q) == nil {
		t.Error(err, r.Body().Done())
	}
}

func TestTimeoutsLeaveTheMessageWhole(t *testing.T) {
	src := &live{}
	r := NewReader(src, Limits{})
	var q Request
	if err := r.Await(); err != os.ErrDeadlineExceeded {
		t.Fatal(err)
	}
	for _, part := range []string{"", "P", "OST / HT", "TP/1.1\r\nHost: a\r\nContent-Len", "gth: 5\r\n"} {
		src.next = []byte(part)
		if err := r.ReadRequest(&q); err != os.ErrDeadlineExceeded {
			t.Fatalf("%q: %v", part, err)
		}
	}
	src.next = []byte("\r\nab")
	if err := r.ReadRequest(&q); err != nil || string(q.Method) != "POST" || q.Length != 5 {
		t.Fatal(q, err)
	}
	got := make([]byte, 10)
	if n, err := r.Body().Read(got); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := r.Body().Read(got); err != os.ErrDeadlineExceeded {
		t.Fatal(err)
	}
	src.next = []byte("cde")
	if rest, err := viaRead(r.Body()); string(rest) != "cde" || err != nil {
		t.Fatal(rest, err)
	}
}

func TestWholeBody(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	src := &live{next: []byte(head + "123")}
	r := NewReader(src, Limits{})
	if err := r.ReadResponse(new(Response), []byte("GET")); err != nil {
		t.Fatal(err)
	}
	b := r.Body()
	if data, ok := b.Whole(); ok || data != nil || b.N() != 0 || b.Remaining() != 5 {
		t.Errorf("before the end: %q, %v; %d read", data, ok, b.N())
	}
	src.next = []byte("45")
	if data, err := viaRead(b); err != nil || string(data) != "12345" {
		t.Errorf("left alone it reads %q, %v", data, err)
	}
	for text, want := range map[string]string{
		head + "12345":           "12345",
		head + "12345HTTP/1.1 2": "12345",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP":                         "",
		"HTTP/1.1 204 No Content\r\n\r\n":                                          "no",
		"HTTP/1.1 200 OK\r\n\r\nall":                                               "no",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n": "no",
	} {
		r := NewReader(strings.NewReader(text), Limits{})
		if err := r.ReadResponse(new(Response), []byte("GET")); err != nil {
			t.Fatal(err)
		}
		b, before := r.Body(), string(r.Buffered())
		switch data, ok := b.Whole(); {
		case want == "no" && (ok || data != nil || string(r.Buffered()) != before):
			t.Errorf("%q is taken whole: %q", text, data)
		case want == "no":
		case !ok || string(data) != want || cap(data) != len(data):
			t.Errorf("%q: got %q, %v, room for %d", text, data, ok, cap(data))
		case !b.Done() || b.N() != int64(len(want)) || b.Remaining() != 0 || want+string(r.Buffered()) != before:
			t.Errorf("%q: done %v, %d read, %q behind it", text, b.Done(), b.N(), r.Buffered())
		}
	}
}

func TestReadyAndRemaining(t *testing.T) {
	src := &live{next: []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n123")}
	r := NewReader(src, Limits{})
	if err := r.ReadRequest(new(Request)); err != nil {
		t.Fatal(err)
	}
	b := r.Body()
	if b.Ready() || b.Remaining() != 5 || b.Done() {
		t.Error("at the beginning")
	}
	if _, err := b.Read(make([]byte, 1)); err != nil || b.Remaining() != 4 || b.N() != 1 {
		t.Error("after one byte", err)
	}
	src.next = []byte("45")
	if _, err := viaRead(b); err != nil || !b.Ready() || b.Remaining() != 0 || !b.Done() {
		t.Error("at the end", err)
	}
	r = open(t, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b := r.Body(); !b.Ready() || !b.Done() || b.Remaining() != 0 {
		t.Error("no body")
	}
	r = NewReader(&live{next: []byte(chunkedHead + "3\r\nabc\r\n0\r\nx: y\r\n\r")}, Limits{})
	if err := r.ReadRequest(new(Request)); err != nil || r.Body().Ready() || r.Body().Remaining() != -1 {
		t.Error("chunked, the end missing", err)
	}
}
