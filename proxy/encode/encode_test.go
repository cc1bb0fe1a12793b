package encode

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/tzero-edge/tzero/internal/field"
)

var codings = []Coding{Gzip, Brotli, Zstd}

func encoder(t testing.TB, change func(*Config)) *Encoder {
	t.Helper()
	c := Default()
	if change != nil {
		change(&c)
	}
	e, problems := New(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return e
}

// lines makes a section from "Name: value" strings.
func lines(list ...string) field.List {
	var out field.List
	for _, s := range list {
		name, value, _ := strings.Cut(s, ":")
		out.AddString(name, strings.TrimSpace(value))
	}
	return out
}

// decoder is the reference decoder of a coding. zstd's is limited to the window of RFC 9659.
func decoder(t testing.TB, c Coding, src io.Reader) io.Reader {
	t.Helper()
	switch c {
	case Gzip:
		r, err := stdgzip.NewReader(src)
		if err != nil {
			t.Fatal(err)
		}
		return r
	case Brotli:
		return brotli.NewReader(src)
	case Zstd:
		r, err := zstd.NewReader(src, zstd.WithDecoderMaxWindow(1<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	return src
}

// page makes text that compresses as HTML does; it repeats itself after 64 KiB.
func page(n int) []byte {
	if n > 64<<10 {
		return bytes.Repeat(page(64<<10), n/(64<<10)+1)[:n]
	}
	r := rand.New(rand.NewPCG(uint64(n), 1))
	words := strings.Fields("<div class=card> <p> the launch page of a product </p> </div> href= https://example.com/ 42 buy now pricing video")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" \n"[r.IntN(2)])
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestNegotiate(t *testing.T) {
	e := encoder(t, nil)
	gzipOnly := encoder(t, func(c *Config) { c.Codings = []string{"gzip"} })
	check := func(e *Encoder, want Coding, in ...string) {
		t.Run(strings.Join(in, "|"), func(t *testing.T) {
			t.Helper()
			if got := e.Negotiate(lines(in...)); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	check(e, Identity)
	check(e, Identity, "Accept-Encoding:")
	check(e, Zstd, "Accept-Encoding: gzip, deflate, br, zstd")
	check(e, Brotli, "Accept-Encoding: gzip, deflate, br")
	check(e, Gzip, "Accept-Encoding: gzip")
	check(e, Gzip, "Accept-Encoding: X-GZIP")
	check(e, Gzip, "Accept-Encoding: gzip;q=1.0, br;q=0.8, zstd;q=0.999")
	check(e, Brotli, "Accept-Encoding: gzip;q=0.5 , br ; Q=0.5")
	check(e, Gzip, "Accept-Encoding: br;q=0, zstd;q=0.000, *;q=0.1")
	check(e, Zstd, "Accept-Encoding: *")
	check(e, Identity, "Accept-Encoding: *;q=0")
	check(e, Brotli, "Accept-Encoding: zstd;q=0, *")
	check(e, Identity, "Accept-Encoding: identity")
	check(e, Identity, "Accept-Encoding: identity, gzip;q=0.5")
	check(e, Gzip, "Accept-Encoding: identity;q=0.5, gzip;q=0.5")
	check(e, Gzip, "Accept-Encoding: identity;q=0, gzip;q=0.001")
	check(e, Identity, "Accept-Encoding: identity;q=0")
	check(e, Identity, "Accept-Encoding: deflate, compress")
	check(e, Brotli, "Accept-Encoding: gzip", "accept-encoding: br")
	check(e, Gzip, "Accept-Encoding: br;q=2, gzip")
	check(e, Gzip, "Accept-Encoding: br;q=1.001, zstd;q=0.0001, gzip;q=0.1")
	check(e, Gzip, "Accept-Encoding: br;q, zstd;q=, gzip")
	check(e, Gzip, "Accept-Encoding: br;level=1, gzip")
	check(e, Gzip, "Accept-Encoding: ,, gzip ,")
	check(e, Identity, "Accept-Encoding: gzip;q=0, gzip")
	check(gzipOnly, Gzip, "Accept-Encoding: gzip;q=0.1, br")
	check(gzipOnly, Identity, "Accept-Encoding: br")
	check(encoder(t, func(c *Config) { c.Enabled = false }), Identity, "Accept-Encoding: gzip")
}

func TestNormaliseAcceptEncoding(t *testing.T) {
	e := encoder(t, nil)
	for in, want := range map[string]string{
		"gzip, deflate, br, zstd": "zstd, br, gzip", "br;q=0.1,gzip": "br, gzip", "gzip;q=0, zstd": "zstd", "*": "zstd, br, gzip",
		"identity": "", "deflate": "", "": "", "*;q=0.5, br;q=0": "zstd, gzip",
	} {
		if got := e.NormaliseAcceptEncoding(lines("Accept-Encoding: " + in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := e.NormaliseAcceptEncoding(nil); got != "" {
		t.Errorf("without the field: %q", got)
	}
}

func TestDeserves(t *testing.T) {
	e := encoder(t, nil)
	check := func(name string, want Verdict, change func(*Response), in ...string) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			r := Response{Status: 200, Length: 5000, Fields: lines(append([]string{"Content-Type: text/html; charset=utf-8"}, in...)...)}
			if change != nil {
				change(&r)
			}
			if got := e.Deserves(&r); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	kind := func(v string) func(*Response) { return func(r *Response) { r.Fields = lines("Content-Type: " + v) } }
	check("a page", Compress, nil)
	check("an error page", Compress, func(r *Response) { r.Status = 404 })
	check("unknown length", Compress, func(r *Response) { r.Length = -1 })
	check("small", TooSmall, func(r *Response) { r.Length = 1023 })
	check("just large enough", Compress, func(r *Response) { r.Length = 1024 })
	for _, status := range []int{100, 103, 204, 205, 206, 304} {
		check(fmt.Sprint(status), NotStatus, func(r *Response) { r.Status = status })
	}
	check("range request", NotRange, func(r *Response) { r.Ranged = true })
	check("range answer", NotRange, nil, "Content-Range: bytes 0-1/5000")
	check("coded", AlreadyEncoded, nil, "Content-Encoding: br")
	check("coded as identity", AlreadyEncoded, nil, "Content-Encoding: identity")
	check("no-transform", NoTransform, nil, "Cache-Control: public", "cache-control: max-age=3, No-Transform")
	check("route off", NotEnabled, func(r *Response) { r.Mode = Off })
	check("event stream", EventStream, kind("text/event-stream"))
	check("event stream, wanted", Compress, func(r *Response) { kind("Text/Event-Stream; charset=utf-8")(r); r.Mode, r.Length = On, -1 })
	check("no type", UnfitType, func(r *Response) { r.Fields = nil })
	check("two types", UnfitType, nil, "Content-Type: text/html")
	check("long type", UnfitType, kind(strings.Repeat("a", 300)))
	for _, v := range []string{"text/css", "TEXT/JAVASCRIPT", "application/json", "application/ld+json", "image/svg+xml", "application/wasm", "font/ttf", "application/manifest+json;v=1", "text/x-component", "application/rss+xml"} {
		check(v, Compress, kind(v))
	}
	for _, v := range []string{"image/png", "font/woff2", "font/woff", "video/mp4", "application/zip", "application/octet-stream", "multipart/x-mixed-replace", "text/", "+json", "application/grpc", "application/pdf"} {
		check(v, UnfitType, kind(v))
	}
	off := encoder(t, func(c *Config) { c.Enabled = false })
	if got := off.Deserves(&Response{Status: 200, Length: -1, Fields: lines("Content-Type: text/html")}); got != NotEnabled {
		t.Error(got)
	}
	for word, want := range map[string]Mode{"auto": Auto, "": Auto, "on": On, "off": Off} {
		if ParseMode(word) != want {
			t.Error(word)
		}
	}
}

func TestAdjust(t *testing.T) {
	show := func(l field.List) string {
		s := ""
		for _, f := range l {
			s += string(f.Name) + ": " + string(f.Value) + "\n"
		}
		return s
	}
	l := lines("Date: a", `ETag: "abc"`, "Content-Length: 5", "Content-MD5: x", "Digest: x", "Content-Digest: x", "Repr-Digest: x", "Accept-Ranges: bytes", "Vary: Cookie", "Set-Cookie: b")
	Adjust(&l, Brotli, nil)
	if want := "Date: a\nETag: W/\"abc\"\nVary: Cookie\nSet-Cookie: b\nContent-Encoding: br\nVary: Accept-Encoding\n"; show(l) != want {
		t.Errorf("got\n%swant\n%s", show(l), want)
	}
	for in, want := range map[string]string{
		"Vary: Cookie, ACCEPT-encoding": "Vary: Cookie, ACCEPT-encoding\n",
		"Vary: *":                       "Vary: *\n",
		"Vary:":                         "Vary: \nVary: Accept-Encoding\n",
		"Vary: Accept-Encodings":        "Vary: Accept-Encodings\nVary: Accept-Encoding\n",
	} {
		l := lines(in)
		AddVary(&l)
		AddVary(&l)
		if show(l) != want {
			t.Errorf("%s: got %q", in, show(l))
		}
	}
	weak := lines(`ETag: W/"x"`)
	Adjust(&weak, Gzip, nil)
	if string(weak.Get("etag")) != `W/"x"` {
		t.Error(show(weak))
	}
}

func TestRoundTrip(t *testing.T) {
	e := encoder(t, nil)
	for _, c := range codings {
		for _, body := range [][]byte{nil, []byte("a"), page(1 << 10), page(300 << 10), noise(100 << 10), page(1 << 20)} {
			t.Run(fmt.Sprintf("%v/%d", c, len(body)), func(t *testing.T) {
				var out bytes.Buffer
				w := e.Writer(c, &out)
				for rest := body; len(rest) > 0; {
					n := min(len(rest), 1+len(rest)/3)
					if _, err := w.Write(rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(decoder(t, c, &out))
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("%d bytes came back as %d, %v", len(body), len(got), err)
				}
			})
		}
	}
}

func TestOnce(t *testing.T) {
	e := encoder(t, nil)
	for _, c := range codings {
		for _, n := range []int{2000, 100 << 10, thoroughLimit + 1} {
			body := page(n)
			got, result := e.Once(c, body)
			if result != Made || len(got) > n/2 || cap(got) > len(got)+len(got)/4+64 {
				t.Fatalf("%v: %d bytes became %d (capacity %d)", c, n, len(got), cap(got))
			}
			back, err := io.ReadAll(decoder(t, c, bytes.NewReader(got)))
			if err != nil || !bytes.Equal(back, body) {
				t.Fatalf("%v: %d bytes came back as %d, %v", c, n, len(back), err)
			}
		}
		if _, result := e.Once(c, noise(5000)); result != Unworthy {
			t.Errorf("%v: noise is worth it", c)
		}
	}
	for c, body := range map[Coding][]byte{Gzip: page(8<<20 + 1), Brotli: nil, Identity: page(2000)} {
		if _, result := e.Once(c, body); result != Unworthy {
			t.Errorf("%v: compressed %d bytes", c, len(body))
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	e := encoder(t, func(c *Config) { c.MaxMemory = 10 << 20 })
	var held []*Writer
	for range 5 {
		held = append(held, e.Writer(Zstd, io.Discard))
	}
	if e.Stats() != (Stats{InUse: 10 << 20, Framed: 1}) {
		t.Fatalf("%+v", e.Stats())
	}
	if _, result := e.Once(Gzip, page(5000)); result != Busy {
		t.Errorf("Once: %v", result)
	}
	held[4].Close()
	held[0].Abort()
	held[0].Abort()
	held[1].Close()
	if e.Stats().InUse != 5<<20 {
		t.Errorf("%+v", e.Stats())
	}
	if _, result := e.Once(Gzip, page(5000)); result != Made {
		t.Errorf("Once: %v", result)
	}
}

func TestFramesWithoutMemory(t *testing.T) {
	e := encoder(t, func(c *Config) { c.MaxMemory = 7 << 20 })
	w := e.Writer(Brotli, io.Discard)
	defer w.Abort()
	for _, c := range codings {
		for _, sizes := range [][]int{nil, {0}, {1}, {1, 16, 255, 256}, {rawBlock}, {rawBlock + 1}, {5, 300 << 10, 7}} {
			var want []byte
			out := &live{}
			w := e.Writer(c, out)
			if _, framed := w.enc.(*rawFrames); !framed && c != Gzip && c != Zstd {
				t.Fatalf("%v: not framed", c)
			}
			w.release()
			w = &Writer{use: unpooled, coding: c, enc: &rawFrames{coding: c}}
			w.open(out)
			for _, n := range sizes {
				part := noise(n)
				want = append(want, part...)
				if m, err := w.Write(part); m != n || err != nil {
					t.Fatal(m, err)
				}
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				if got := partial(t, c, out.sent.Bytes()); n > 0 && got != string(want) {
					t.Fatalf("%v %v: %d of %d bytes can be read so far", c, sizes, len(got), len(want))
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(decoder(t, c, &out.sent))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v %v: %d bytes came back as %d, %v", c, sizes, len(want), len(got), err)
			}
		}
		cut := errors.New("gone")
		w := &Writer{use: unpooled, coding: c, enc: &rawFrames{coding: c}}
		w.open(&live{fail: cut})
		if _, err := w.Write([]byte("a")); !errors.Is(err, cut) || !errors.Is(w.Close(), cut) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// live is a connection: what has been flushed can be read at once.
type live struct {
	sent    bytes.Buffer
	flushed int
	fail    error
}

func (l *live) Write(p []byte) (int, error) {
	if l.fail != nil {
		return 0, l.fail
	}
	return l.sent.Write(p)
}
func (l *live) Flush() error { l.flushed = l.sent.Len(); return l.fail }

// events is a source that pauses after every event; before each read the test looks at what a client
// can decode by then.
type events struct {
	list  []string
	pause func(seen int)
	at    int
	end   error
}

func (s *events) Ready() bool { return s.at == len(s.list) && s.end == io.EOF }
func (s *events) Read(p []byte) (int, error) {
	s.pause(s.at)
	if s.at == len(s.list) {
		return 0, s.end
	}
	s.at++
	return copy(p, s.list[s.at-1]), nil
}

// partial decodes as much as can be decoded.
func partial(t *testing.T, c Coding, b []byte) string {
	if len(b) == 0 {
		return ""
	}
	got, _ := io.ReadAll(decoder(t, c, bytes.NewReader(b)))
	return string(got)
}

func TestEventsAreNotHeldBack(t *testing.T) {
	e := encoder(t, nil)
	list := []string{"data: one\n\n", "data: two\n\n", ": ping\n\n", "data: three\n\n"}
	for _, c := range codings {
		t.Run(c.String(), func(t *testing.T) {
			conn := &live{}
			src := &events{list: list, end: io.EOF}
			src.pause = func(seen int) {
				if seen == len(list) {
					return // the source said that nothing more is to wait for
				}
				want := strings.Join(list[:seen], "")
				if got := partial(t, c, conn.sent.Bytes()[:conn.flushed]); got != want {
					t.Fatalf("after %d events the client has %q", seen, got)
				}
			}
			w := e.Writer(c, conn)
			n, err := w.CopyFrom(src)
			if err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			if got := partial(t, c, conn.sent.Bytes()); got != strings.Join(list, "") || n != int64(len(got)) {
				t.Fatalf("the client has %q, %d were read", got, n)
			}
		})
	}
}

func TestBrokenStreams(t *testing.T) {
	e := encoder(t, nil)
	cut := errors.New("reset")
	for _, c := range codings {
		conn := &live{}
		w := e.Writer(c, conn)
		if _, err := w.CopyFrom(&events{list: []string{"a"}, pause: func(int) {}, end: cut}); !errors.Is(err, cut) {
			t.Fatalf("%v: %v", c, err)
		}
		w.Abort()
		if _, err := io.ReadAll(decoder(t, c, bytes.NewReader(conn.sent.Bytes()))); err == nil {
			t.Errorf("%v: a body cut short decodes as whole", c)
		}
		w = e.Writer(c, &live{fail: cut})
		_, err := w.CopyFrom(&events{list: []string{string(page(20000))}, pause: func(int) {}, end: cut})
		if !errors.Is(err, cut) {
			t.Errorf("%v: the client's end is not noticed: %v", c, err)
		}
		w.Abort()
		// The pool must hand out compressors that know nothing of this.
		var out bytes.Buffer
		w = e.Writer(c, &out)
		w.Write([]byte("again"))
		if err := w.Close(); err != nil || partial(t, c, out.Bytes()) != "again" {
			t.Errorf("%v: after a failure: %v, %q", c, err, out.Bytes())
		}
		if _, err := w.Write(nil); err == nil || w.Flush() == nil || w.Close() != nil {
			t.Errorf("%v: a closed writer takes more", c)
		}
	}
}

func TestStreamingAllocatesLittle(t *testing.T) {
	e := encoder(t, nil)
	body := page(20 << 10)
	for _, c := range codings {
		var out bytes.Buffer
		out.Grow(64 << 10)
		run := func() {
			out.Reset()
			w := e.Writer(c, &out)
			w.Write(body)
			w.Flush()
			w.Write(body)
			w.Close()
		}
		run()
		if n := testing.AllocsPerRun(50, run); n > 1 && !raceDetector { // which drops pooled values at random
			t.Errorf("%v: %v allocations", c, n)
		}
	}
	in := lines("Accept-Encoding: gzip, deflate, br;q=0.9, zstd")
	r := Response{Status: 200, Length: 5000, Fields: lines("Content-Type: text/html; charset=utf-8", "Cache-Control: max-age=3", `ETag: "a"`, "Vary: Cookie")}
	head, scratch := make(field.List, 0, 16), make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		head = append(head[:0], r.Fields...)
		if e.Deserves(&r) == Compress {
			scratch = Adjust(&head, e.Negotiate(in), scratch[:0])
		}
		e.NormaliseAcceptEncoding(in)
	}); n != 0 {
		t.Errorf("deciding: %v allocations", n)
	}
}

func TestValidate(t *testing.T) {
	check := func(path, reason string, change func(*Config)) {
		t.Run(path+" "+reason, func(t *testing.T) {
			t.Helper()
			c := Default()
			change(&c)
			if _, problems := New(c); len(problems) != 1 || problems[0].Path != path || !strings.Contains(problems[0].Reason, reason) {
				t.Error(problems)
			}
		})
	}
	check("codings[0]", "not one of", func(c *Config) { c.Codings = []string{"deflate"} })
	check("codings[1]", "twice", func(c *Config) { c.Codings = []string{"br", "br"} })
	check("codings", "empty", func(c *Config) { c.Codings = nil })
	check("types[1]", "media type", func(c *Config) { c.Types = []string{"text/*", "text"} })
	check("types[0]", "media type", func(c *Config) { c.Types = []string{"*/*"} })
	check("types[0]", "media type", func(c *Config) { c.Types = []string{"Text/html"} })
	check("min_size", "1MiB", func(c *Config) { c.MinSize = 2 << 20 })
	check("max_stored", "64MiB", func(c *Config) { c.MaxStored = 1 << 30 })
	check("max_memory", "at least 7MiB", func(c *Config) { c.MaxMemory = 1 << 20 })
	check("levels.zstd", "1 and 11", func(c *Config) { c.Levels.Zstd = 12 })
	check("stored_levels.br", "0 and 9", func(c *Config) { c.Stored.Br = 11 })
	check("levels.gzip", "1 and 9", func(c *Config) { c.Levels.Gzip = 0 })
}

func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0", "identity;q=0, *", "br;q=1.0000", ";q=1", "zstd ; q=0.9 ,,", "\"gzip\"", "gzip;q=0.5;x=y"} {
		f.Add(s)
	}
	e := encoder(f, nil)
	f.Fuzz(func(t *testing.T, s string) {
		in := field.List{{Name: []byte("Accept-Encoding"), Value: []byte(s)}}
		got := e.Negotiate(in)
		if want := naive(s); got != want {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
		canonical := e.NormaliseAcceptEncoding(in)
		if again := e.NormaliseAcceptEncoding(lines("Accept-Encoding: " + canonical)); again != canonical {
			t.Fatalf("%q: %q is not canonical: %q", s, canonical, again)
		}
		if got != Identity && !strings.Contains(canonical, got.String()) {
			t.Fatalf("%q: %v is not among %q", s, got, canonical)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	e := encoder(b, nil)
	body := page(64 << 10)
	for _, c := range codings {
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				w := e.Writer(c, io.Discard)
				w.Write(body)
				w.Close()
			}
		})
		b.Run(c.String()+"-once", func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				e.Once(c, body)
			}
		})
	}
}
