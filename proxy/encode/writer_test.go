package encode

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/tzero-edge/tzero/internal/field"
)

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
	framed := func(c Coding, dst io.Writer) *Writer {
		w := &Writer{use: unpooled, coding: c, enc: &rawFrames{coding: c}}
		w.open(dst)
		return w
	}
	for _, c := range codings {
		for _, sizes := range [][]int{nil, {0}, {1}, {1, 16, 255, 256}, {rawBlock}, {rawBlock + 1}, {5, 300 << 10, 7}} {
			var want []byte
			out := &live{}
			w := framed(c, out)
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
		w := framed(c, &live{fail: cut})
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

// BenchmarkDecide is what every answer asks of this package, compressed or not.
func BenchmarkDecide(b *testing.B) {
	e := encoder(b, nil)
	in := lines("Accept-Encoding: gzip, deflate, br;q=0.9, zstd")
	r := Response{Status: 200, Length: 5000, Fields: lines("Content-Type: text/html; charset=utf-8", "Cache-Control: max-age=3", `ETag: "a"`, "Vary: Cookie")}
	b.ReportAllocs()
	for b.Loop() {
		if e.Deserves(&r) != Compress || e.Negotiate(in) == Identity {
			b.Fatal("not compressed")
		}
	}
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
