package http1

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func TestAppend(t *testing.T) {
	var l field.List
	l.AddString("A", "1")
	l.AddString("B", "")
	dst := AppendRequestLine(nil, []byte("GET"), []byte("/a?b"))
	dst = AppendFields(dst, l)
	dst = AppendContentLength(dst, 1234567890123)
	dst = AppendChunked(dst)
	dst = AppendFieldString(dst, "C", "2")
	dst = AppendEnd(dst)
	dst = AppendChunk(dst, nil)
	dst = AppendChunk(dst, []byte(strings.Repeat("x", 26)))
	dst = AppendLastChunk(dst, l)
	want := "GET /a?b HTTP/1.1\r\nA: 1\r\nB: \r\nContent-Length: 1234567890123\r\nTransfer-Encoding: chunked\r\nC: 2\r\n\r\n" +
		"1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\nA: 1\r\nB: \r\n\r\n"
	if string(dst) != want {
		t.Errorf("%q", dst)
	}
	if got := string(AppendStatusLine(nil, 503, "Service Unavailable")); got != "HTTP/1.1 503 Service Unavailable\r\n" {
		t.Errorf("%q", got)
	}
}

func TestBytesAgreeWithTheirDefinitions(t *testing.T) {
	for c := range 256 {
		b := []byte{byte(c)}
		token := c < 0x7f && c > ' ' && !strings.ContainsRune("\"(),/:;<=>?@[\\]{}", rune(c))
		if IsToken(b) != token {
			t.Errorf("token %q", b)
		}
		control := c < ' ' || c == 0x7f
		for at := range 20 { // every place in and around the eight bytes looked at together
			text := bytes.Repeat([]byte("a"), 20)
			text[at] = byte(c)
			if got, want := endOfToken(text), map[bool]int{true: 20, false: at}[token]; got != want {
				t.Errorf("endOfToken of %q: %d", text, got)
			}
			if got, want := nextControl(text, 0), map[bool]int{true: at, false: 20}[control]; got != want {
				t.Errorf("nextControl of %q: %d", text, got)
			}
			for i, fill := range []byte{0x80, 0xff, 0x1f, 0x7f, ' ', '~'} {
				text := bytes.Repeat([]byte{fill}, 20)
				text[at] = byte(c)
				if got := nextControl(text, 0); got != slowControl(text) {
					t.Errorf("%d: nextControl of %q: %d", i, text, got)
				}
			}
		}
	}
	if !ValidValue(nil) || !ValidValue([]byte("a\tb")) || ValidValue([]byte(" a")) || ValidValue([]byte("a\t")) || ValidValue([]byte("a\nb")) {
		t.Error("ValidValue")
	}
}

func slowControl(b []byte) int {
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			return i
		}
	}
	return len(b)
}

func TestReasonsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile("malformed.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.Word] || r.Status < 400 || r.Section == "" || r.Meaning == "" {
			t.Errorf("%+v", r)
		}
		seen[r.Word] = true
		if !bytes.Contains(doc, []byte(r.Word)) {
			t.Errorf("doc.go lacks %s", r.Word)
		}
	}
	if words := regexp.MustCompile(`(?m)^\t\w+ += "[a-z0-9-]+"$`).FindAll(src, -1); len(words) != len(seen) {
		t.Errorf("%d words, %d listed", len(words), len(seen))
	}
}

func TestErrorsNameWhatWasTriedAndShowNoValues(t *testing.T) {
	_, _, err := readOne("GET /?token=s3cret\x01 HTTP/1.1\r\n\r\n")
	_, _, err2 := readOne("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: s3cret\x00\r\n\r\n")
	for _, e := range []error{err, err2} {
		if e == nil || strings.Contains(e.Error(), "s3cret") || !strings.HasPrefix(e.Error(), "cannot read request: control-byte: ") {
			t.Error(e)
		}
	}
	err = NewReader(strings.NewReader("HTTP/1.1 abc"+strings.Repeat("x", 1000)+"\r\n"), Limits{}).ReadResponse(new(Response), nil)
	var m *Malformed
	if !errors.As(err, &m) || !strings.HasPrefix(err.Error(), "cannot read response: ") || len(err.Error()) > 200 {
		t.Error(err)
	}
}
