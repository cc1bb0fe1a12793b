package http1

import (
	"io"
	"os"
	"strings"
	"testing"
)

func TestIdleReaderHoldsNoBuffer(t *testing.T) {
	src := &live{}
	r := NewReader(src, Limits{})
	var q Request
	empty := func(when string) {
		t.Helper()
		if r.cur != nil || r.kept != nil || r.note.host != nil {
			t.Errorf("%s: holds a buffer", when)
		}
	}
	if err := r.Await(); err == nil {
		t.Fatal("nothing was sent")
	}
	empty("waiting for the first request")
	for range 3 {
		src.next = []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("x", 20000))
		if err := r.Await(); err != nil {
			t.Fatal(err)
		}
		empty("after the first byte")
		if got := string(r.Buffered()); got != "P" {
			t.Errorf("buffered %q", got)
		}
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		r.Idle()
		if string(q.Method) != "POST" {
			t.Error("Idle inside a body took the head away")
		}
		if n, err := io.Copy(io.Discard, r.Body()); n != 20000 || err != nil {
			t.Fatal(n, err)
		}
		if r.cur != nil {
			t.Error("the body's buffer outlives the body")
		}
		r.Idle()
		empty("after the exchange")
		if err := r.Await(); err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
		empty("waiting for the next request")
	}
	src.errs = []error{io.EOF}
	if err := r.Await(); err != io.EOF {
		t.Error(err)
	}
}

func TestIdleKeepsPipelinedBytes(t *testing.T) {
	r := open(t, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	r.Idle()
	var q Request
	if err := r.Await(); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadRequest(&q); err != nil || string(q.Path) != "/2" {
		t.Error(err, string(q.Path))
	}
}

// lazyLive is a live source that borrows its buffer only when it has bytes.
type lazyLive struct {
	live
	lent int
}

func (s *lazyLive) ReadLazy(l Lender) (int, error) {
	if p := l.Lend(); len(p) < 4<<10 {
		panic("too little room")
	}
	s.lent++
	if len(s.next) == 0 {
		l.Return()
		return 0, os.ErrDeadlineExceeded
	}
	return s.Read(l.Lend())
}

func TestLazySource(t *testing.T) {
	src := &lazyLive{}
	r := NewReader(src, Limits{})
	var p Response
	if err := r.ReadResponse(&p, nil); err != os.ErrDeadlineExceeded || r.cur != nil {
		t.Fatal(err, "holds a buffer while waiting for a head")
	}
	src.next = []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	if err := r.Await(); err != nil || len(r.Buffered()) != 47 {
		t.Fatal(err, len(r.Buffered()))
	}
	if err := r.ReadResponse(&p, nil); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, event := range []string{"", "3\r\none\r\n", "", "3\r\ntwo", "\r\n0\r\n", "\r\n"} {
		src.next = []byte(event)
		_, err := r.Body().WriteTo(&got)
		if err != nil && err != os.ErrDeadlineExceeded {
			t.Fatal(err)
		}
		if r.cur != nil {
			t.Errorf("after %q: holds a buffer while waiting for the body", event)
		}
		if string(p.Fields[0].Value) != "chunked" {
			t.Errorf("after %q: the head is gone", event)
		}
	}
	if got.String() != "onetwo" || !r.Body().Done() || src.lent == 0 {
		t.Error(got.String(), r.Body().Done(), src.lent)
	}
}

func TestResetDropsEverything(t *testing.T) {
	r := NewReader(strings.NewReader("G(T"), Limits{})
	if err := r.ReadRequest(new(Request)); err == nil {
		t.Fatal("accepted")
	}
	r.Reset(strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	if err := r.ReadRequest(new(Request)); err != nil {
		t.Error(err)
	}
	r.Reset(nil)
	if r.cur != nil || r.kept != nil || r.src != nil || len(r.Buffered()) != 0 {
		t.Error("something is left")
	}
}

func TestResetOfHeadsDropsTheirReferences(t *testing.T) {
	q, _, err := readOne("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	p := Response{Reason: q.Method, Fields: q.Fields}
	p.Reset()
	q.Reset()
	if q.Target != nil || p.Reason != nil || len(q.Fields) != 0 || q.Fields[:2][1].Name != nil {
		t.Error("something is left")
	}
}

func TestSetLimitsAppliesToTheNextHead(t *testing.T) {
	r := open(t, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n", 2))
	r.SetLimits(Limits{Fields: 1})
	wantMalformed(t, r.ReadRequest(new(Request)), 431, TooManyFields, "second request")
}

func TestSourcesThatMisbehave(t *testing.T) {
	var q Request
	if err := NewReader(readerFunc(func([]byte) (int, error) { return 0, nil }), Limits{}).ReadRequest(&q); err != io.ErrNoProgress {
		t.Error(err)
	}
	if err := NewReader(readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), Limits{}).ReadRequest(&q); err != errSource {
		t.Error(err)
	}
	// Bytes together with an end or an error: the bytes count first.
	msg := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	r := NewReader(readerFunc(func(p []byte) (int, error) { return copy(p, msg), io.EOF }), Limits{})
	if err := r.ReadRequest(&q); err != nil {
		t.Error(err)
	}
	if err := r.ReadRequest(&q); err != io.EOF {
		t.Error(err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestLimitsAreExact(t *testing.T) {
	lim := Limits{StartLine: 20, Field: 11, Head: 60, Fields: 3}
	try := func(head string, reason string) {
		t.Helper()
		for _, src := range []io.Reader{strings.NewReader(head), &again{data: []byte(head), most: 1}, newPieces(strings.SplitAfter(head, "\n")...)} {
			err := NewReader(src, lim).ReadRequest(new(Request))
			if reason != "" {
				wantMalformed(t, err, statusOf(reason), reason, head)
			} else if err != nil {
				t.Errorf("%q: %v", head, err)
			}
		}
	}
	try("GET /123456 HTTP/1.1\r\nHost: a\r\n\r\n", "")
	try("GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n", TargetTooLong)
	try("GET /12345678901234567", TargetTooLong)
	try("GET / HTTP/1.1\r\nHost: abcde\r\n\r\n", "")
	try("GET / HTTP/1.1\r\nHost: abcdef\r\n\r\n", FieldTooLarge)
	try("GET / HTTP/1.1\r\nHost: abcdefg", FieldTooLarge)
	try("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\n\r\n", "")
	try("GET / HTTP/1.1\r\nHost: a\r\nb:\r\nc:\r\nd:\r\n\r\n", TooManyFields)
	exact := "GET /12345 HTTP/1.1\r\nHost: abc\r\nb: 34567890\r\nc: 345678\r\n\r\n"
	if len(exact) != 58 {
		t.Fatal(len(exact))
	}
	lim.Head = 58
	try(exact, "")
	lim.Head = 57
	try(exact, HeadTooLarge)
}

func TestHeadsEndAtTheirLimitThoughEveryReadEndsALine(t *testing.T) {
	src := newPieces("GET / HTTP/1.1\r\nHost: a\r\n")
	for range 99 {
		src.list = append(src.list, []byte("X: "+strings.Repeat("a", 12000)+"\r\n"))
	}
	r := NewReader(src, Limits{})
	wantMalformed(t, r.ReadRequest(new(Request)), 431, HeadTooLarge, "many lines")
	if len(r.cur) > 64<<10 {
		t.Errorf("the buffer has grown to %d", len(r.cur))
	}
}

func TestGrownHeadsParse(t *testing.T) {
	for size := 3 << 10; size < 31<<10; size += 777 {
		head := "GET /x HTTP/1.1\r\nHost: a\r\nA: " + strings.Repeat("1", size/2) + "\r\nB: " + strings.Repeat("2", size-size/2) + "\r\n\r\n"
		for _, prefix := range []string{"", "GET /p HTTP/1.1\r\nHost: a\r\n\r\n"} {
			r := NewReader(strings.NewReader(prefix+head+"tail"), Limits{})
			var q Request
			for range strings.Count(prefix+head, "GET") {
				if err := r.ReadRequest(&q); err != nil {
					t.Fatal(size, err)
				}
			}
			if len(q.Fields) != 3 || len(q.Fields[1].Value) != size/2 || string(q.Host) != "a" || string(q.Path) != "/x" {
				t.Fatal(size, len(q.Fields))
			}
		}
	}
}

func TestHeadAllocatesNothing(t *testing.T) {
	if poison {
		t.Log("under the race detector sync.Pool drops buffers at random; the plain run counts")
		return
	}
	r := NewReader(&again{data: []byte(browserRequest)}, Limits{})
	var q Request
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.ReadRequest(&q); err != nil {
			t.Fatal(err)
		}
		r.Idle()
	}); n != 0 {
		t.Errorf("request: %v allocations", n)
	}
	chunked := &again{data: append(append([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), AppendChunk(nil, make([]byte, 9000))...), "0\r\n\r\n"...)}
	r = NewReader(chunked, Limits{})
	var p Response
	if n := testing.AllocsPerRun(1000, func() {
		if err := r.ReadResponse(&p, nil); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Body().WriteTo(io.Discard); err != nil || n != 9000 {
			t.Fatal(n, err)
		}
		r.Idle()
	}); n != 0 {
		t.Errorf("response with chunked body: %v allocations", n)
	}
}
