package encode

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

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
			if r.Media = r.Fields.Get("Content-Type"); len(r.Fields) != 1 || r.Media == nil {
				return // it says more than its type
			}
			if r.Fields = nil; e.Deserves(&r) != want {
				t.Errorf("by its type alone: got %s, want %s", e.Deserves(&r), want)
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
