package http1

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestResponseHead(t *testing.T) {
	good := func(method, head string, status int, framing Framing, length int64, closes bool) {
		t.Helper()
		r := NewReader(strings.NewReader(head+"\r\n\r\n"), Limits{})
		var p Response
		if err := r.ReadResponse(&p, []byte(method)); err != nil {
			t.Errorf("%q: %v", head, err)
			return
		}
		if p.Status != status || p.Framing != framing || p.Length != length || p.Close != closes {
			t.Errorf("%s %q: %+v", method, head, p)
		}
	}
	bad := func(method, head, reason string) {
		t.Helper()
		var p Response
		err := NewReader(strings.NewReader(head+"\r\n\r\n"), Limits{}).ReadResponse(&p, []byte(method))
		wantMalformed(t, err, 502, reason, head)
	}
	good("GET", "HTTP/1.1 200 OK", 200, UntilClose, -1, true)
	good("GET", "HTTP/1.1 200 ", 200, UntilClose, -1, true)
	good("GET", "HTTP/1.1 200", 200, UntilClose, -1, true)
	good("GET", "HTTP/1.1 200 \xe9t\xe9 \t!", 200, UntilClose, -1, true)
	good("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5", 200, Length, 5, false)
	good("GET", "HTTP/1.1 200 OK\r\nHost: a\r\nHost: b\r\nContent-Length: 5", 200, Length, 5, false)
	good("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5", 200, Length, 5, true)
	good("GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive", 200, Length, 5, false)
	good("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close", 200, Length, 5, true)
	good("GET", "HTTP/1.1 599 x\r\nTransfer-Encoding: chunked", 599, Chunked, -1, false)
	good("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5", 200, NoBody, 0, false)
	good("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", 200, NoBody, 0, false)
	good("HEAD", "HTTP/1.1 200 OK", 200, NoBody, 0, false)
	good("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5", 304, NoBody, 0, false)
	good("GET", "HTTP/1.1 204 No Content", 204, NoBody, 0, false)
	good("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0", 204, NoBody, 0, false)
	good("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5", 204, NoBody, 0, true)
	good("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked", 204, NoBody, 0, true)
	good("GET", "HTTP/1.1 103 Early Hints\r\nLink: x", 103, NoBody, 0, false)
	good("GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade", 101, NoBody, 0, false)
	good("CONNECT", "HTTP/1.1 200 OK", 200, NoBody, 0, false)
	good("CONNECT", "HTTP/1.1 403 No\r\nContent-Length: 5", 403, Length, 5, false)

	for _, line := range []string{
		"HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1 600 OK", "HTTP/1.1  200 OK", "HTTP/1.1 2x0 OK",
		"HTTP/1.1200 OK", "HTTP/1.1\t200 OK", "ICY 200 OK", "\r\nHTTP/1.1 200 OK", " HTTP/1.1 200 OK", "HTTP/1.1", "HTTP/1.1 200\tOK",
		"HTTP/1.1 -20 OK", "HTTP/11 200 OK ",
	} {
		bad("GET", line, BadStatusLine)
	}
	bad("GET", "HTTP/2.0 200 OK", UnsupportedVersion)
	bad("GET", "http/1.1 200 OK", BadVersion)
	bad("GET", "HTTP/1.1 200 O\x00K", ControlByte)
	bad("GET", "HTTP/1.1 200 OK\nX: y", BadLineEnd)
	bad("GET", "HTTP/1.1 200 O\rK", BadLineEnd)
	bad("GET", "HTTP/1.1 200 "+strings.Repeat("a", 9000), BadStatusLine)
	bad("GET", "HTTP/1.1 200 OK\r\nX: y\r\n folded", FoldedLine)
	bad("GET", "HTTP/1.1 200 OK\r\nX : y", SpaceBeforeColon)
	bad("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6", RepeatedContentLength)
	bad("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", RepeatedContentLength)
	bad("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6", RepeatedContentLength)
	bad("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5", BadContentLength)
	bad("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", LengthAndEncoding)
	bad("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked", UnknownCoding)
	bad("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip", BadTransferEncoding)
	bad("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity", BadTransferEncoding)
	bad("GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", EncodingInHTTP10)
}

func TestInterimResponses(t *testing.T) {
	r := NewReader(strings.NewReader("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!"), Limits{})
	var p Response
	for _, want := range []int{100, 103, 200} {
		if err := r.ReadResponse(&p, []byte("GET")); err != nil || p.Status != want {
			t.Fatal(want, p.Status, err)
		}
	}
	body, err := io.ReadAll(r.Body())
	if string(body) != "ok" || err != nil || !r.Body().Done() || string(r.Buffered()) != "!" {
		t.Errorf("%q %v, surplus %q", body, err, r.Buffered())
	}
}

func TestSwitchingProtocolsLeavesTheRest(t *testing.T) {
	r := NewReader(strings.NewReader("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\nraw bytes"), Limits{})
	var p Response
	if err := r.ReadResponse(&p, []byte("GET")); err != nil {
		t.Fatal(err)
	}
	if !r.Body().Done() || string(r.Buffered()) != "raw bytes" {
		t.Errorf("%v %q", r.Body().Done(), r.Buffered())
	}
}

func TestUntilCloseIsNeverDone(t *testing.T) {
	r := NewReader(strings.NewReader("HTTP/1.1 200 OK\r\n\r\nhello"), Limits{})
	var p Response
	if err := r.ReadResponse(&p, []byte("GET")); err != nil {
		t.Fatal(err)
	}
	b := r.Body()
	if b.Remaining() != -1 || b.Ready() || b.Ended() || !p.Close {
		t.Error("before the end", b.Remaining(), b.Ready(), b.Ended(), p.Close)
	}
	body, err := io.ReadAll(b)
	if string(body) != "hello" || err != nil || b.Done() || !b.Ended() || b.N() != 5 {
		t.Errorf("%q %v done %v ended %v", body, err, b.Done(), b.Ended())
	}
	if err := r.ReadResponse(&p, nil); err != io.EOF {
		t.Error(err)
	}
}

func TestSurplusAfterLengthShowsHoweverItIsRead(t *testing.T) {
	// The surplus arrives with the last bytes of the body; reading straight into a large slice must find it too.
	head := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	for _, parts := range [][]string{{head + "helloX"}, {head, "helloX"}, {head + "he", "lloX"}} {
		r := NewReader(newPieces(parts...), Limits{})
		var p Response
		if err := r.ReadResponse(&p, []byte("GET")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 0, 64<<10)
		for {
			n, err := r.Body().Read(got[len(got):cap(got)])
			got = got[:len(got)+n]
			if err != nil {
				break
			}
		}
		if string(got) != "hello" || string(r.Buffered()) != "X" || !r.Body().Done() {
			t.Errorf("%q: body %q surplus %q", parts, got, r.Buffered())
		}
		if p.Status != 200 || string(p.Fields[0].Value) != "5" {
			t.Errorf("%q: the head changed: %+v", parts, p)
		}
	}
}

func TestResponseEnds(t *testing.T) {
	for input, want := range map[string]error{"": io.EOF, "\r\n": nil, "HTTP/1.1 200 OK\r\n": io.ErrUnexpectedEOF, "H": io.ErrUnexpectedEOF} {
		var p Response
		err := NewReader(strings.NewReader(input), Limits{}).ReadResponse(&p, nil)
		var m *Malformed
		if want == nil && !errors.As(err, &m) || want != nil && err != want {
			t.Errorf("%q: %v", input, err)
		}
	}
}

// pieces gives one piece per Read, then io.EOF.
type pieces struct{ list [][]byte }

func newPieces(parts ...string) *pieces {
	p := &pieces{}
	for _, s := range parts {
		p.list = append(p.list, []byte(s))
	}
	return p
}

func (s *pieces) Read(p []byte) (int, error) {
	if len(s.list) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.list[0])
	if s.list[0] = s.list[0][n:]; len(s.list[0]) == 0 {
		s.list = s.list[1:]
	}
	return n, nil
}
