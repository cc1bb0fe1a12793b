package demo

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// get asks h and returns the answer; a header line is given as "Name: value".
func get(t *testing.T, h http.Handler, target string, headers ...string) *http.Response {
	t.Helper()
	return send(t, h, httptest.NewRequest(http.MethodGet, target, nil), headers...)
}

func post(t *testing.T, h http.Handler, target, contentType, body string) *http.Response {
	t.Helper()
	return send(t, h, httptest.NewRequest(http.MethodPost, target, strings.NewReader(body)), "Content-Type: "+contentType)
}

func send(t *testing.T, h http.Handler, r *http.Request, headers ...string) *http.Response {
	t.Helper()
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCacheControlAndStatus(t *testing.T) {
	h := New(Options{})
	is := func(target string, status int, cacheControl, contentType string) {
		t.Helper()
		res := get(t, h, target)
		if res.StatusCode != status || res.Header.Get("Cache-Control") != cacheControl || res.Header.Get("Content-Type") != contentType {
			t.Errorf("GET %s: got %d, %q, %q; want %d, %q, %q", target, res.StatusCode, res.Header.Get("Cache-Control"),
				res.Header.Get("Content-Type"), status, cacheControl, contentType)
		}
	}
	const html, json = "text/html; charset=utf-8", "application/json"
	is("/", 200, cacheHTML, html)
	is("/pricing", 200, cacheHTML, html)
	is("/about", 200, cacheHTML, html)
	is("/live", 200, cacheHTML, html)
	is("/signup", 200, cacheHTML, html)
	is("/welcome", 303, cacheNever, html)
	is("/nowhere", 404, cacheError, html)
	is("/static/nothing.css", 404, cacheError, html)
	is("/favicon.ico", 302, "public, max-age=3600", html)
	is("/video.mp4", 200, "public, max-age=300, s-maxage=3600", "video/mp4")
	is("/download?size=10", 200, "public, max-age=3600", "application/octet-stream")
	is("/download?size=17GiB", 400, cacheNever, json)
	is("/download?size=-1", 400, cacheNever, json)
	is("/feed.xml", 200, cacheFeeds, "application/atom+xml; charset=utf-8")
	is("/sitemap.xml", 200, cacheFeeds, "application/xml; charset=utf-8")
	is("/robots.txt", 200, cacheFeeds, "text/plain; charset=utf-8")
	is("/api/slow?ms=0", 200, cacheNever, json)
	is("/api/slow?ms=30001", 400, cacheNever, json)
	is("/api/slow?ms=soon", 400, cacheNever, json)
	is("/api/launch-count", 200, "public, s-maxage=5, stale-while-revalidate=30", json)
	is("/api/me", 401, cacheNever, json)
	is("/api/headers", 200, cacheNever, json)
	is("/fail", 500, cacheNever, html)
	is("/fail?status=503", 503, cacheNever, html)
	is("/fail?status=200", 400, cacheNever, json)
	is("/healthz", 200, cacheNever, "text/plain; charset=utf-8")
}

func TestVariants(t *testing.T) {
	h := New(Options{})
	shows := func(header, variant, text string) {
		t.Helper()
		res := get(t, h, "/", "X-Variant: "+header)
		if vary := res.Header.Get("Vary"); vary != "X-Variant" {
			t.Errorf("Vary is %q", vary)
		}
		if page := body(t, res); !strings.Contains(page, `data-variant="`+variant+`"`) || !strings.Contains(page, text) {
			t.Errorf("X-Variant %q does not render the variant %s with %q", header, variant, text)
		}
	}
	shows("", "default", `action="/signup"`)
	shows("pricing", "pricing", "See the plans")
	shows("video", "video", "<video")
	shows("<script>", "default", `action="/signup"`)
}

func TestPagesAreRevalidated(t *testing.T) {
	h := New(Options{})
	first := get(t, h, "/")
	again := get(t, h, "/", "If-None-Match: "+first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("a revalidation got %d", again.StatusCode)
	}
	other := get(t, h, "/", "If-None-Match: "+first.Header.Get("ETag"), "X-Variant: video")
	if other.StatusCode != http.StatusOK {
		t.Errorf("a revalidation of another variant got %d", other.StatusCode)
	}
}

func TestStaticFilesLiveForAYear(t *testing.T) {
	s := newSite(Options{})
	for name := range s.assets.public {
		res := get(t, s, s.assets.url(name))
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
			res.Header.Get("ETag") == "" || res.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
		if again := get(t, s, s.assets.url(name), "If-None-Match: "+res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: a revalidation got %d", name, again.StatusCode)
		}
	}
}

func TestSlowWaitsAndNoticesThatTheVisitorLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Options{})
		began := time.Now()
		if res := get(t, h, "/api/slow?ms=2500"); res.StatusCode != 200 || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("got %d after %s", res.StatusCode, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/slow?ms=30000", nil))
		if took := time.Since(began); took != time.Second || w.Body.Len() > 0 {
			t.Errorf("after the visitor left: %s, %q", took, w.Body)
		}
	})
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		h := New(Options{Done: done})
		time.AfterFunc(2500*time.Millisecond, func() { close(done) })
		res := get(t, h, "/events")
		events := strings.Split(strings.TrimSpace(body(t, res)), "\n\n")
		if len(events) != 3 || !strings.HasPrefix(events[2], "id: 3\nevent: clock\ndata: ") {
			t.Errorf("got %q", events)
		}
		if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != cacheNever {
			t.Errorf("headers: %v", res.Header)
		}
	})
}

func TestRanges(t *testing.T) {
	h := New(Options{})
	is := func(target, asked, contentRange string) *http.Response {
		t.Helper()
		res := get(t, h, target, "Range: "+asked)
		if res.StatusCode != http.StatusPartialContent || res.Header.Get("Content-Range") != contentRange {
			t.Errorf("%s of %s: %d %q, want %q", asked, target, res.StatusCode, res.Header.Get("Content-Range"), contentRange)
		}
		return res
	}
	whole := body(t, get(t, h, "/download?size=1000"))
	if got := body(t, is("/download?size=1000", "bytes=13-29", "bytes 13-29/1000")); got != whole[13:30] {
		t.Error("a range is not the part of the whole")
	}
	if got := body(t, is("/download?size=16GiB", "bytes=17179869180-", "bytes 17179869180-17179869183/17179869184")); len(got) != 4 {
		t.Errorf("the last bytes of a large file: %d", len(got))
	}
	is("/video.mp4", "bytes=0-99", fmt.Sprintf("bytes 0-99/%s", get(t, h, "/video.mp4").Header.Get("Content-Length")))
}

func TestNoiseDependsOnTheOffsetAlone(t *testing.T) {
	f := &noise{size: 1 << 20}
	for _, at := range []int64{0, 8, 4096} {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var eight [8]byte
		if _, err := io.ReadFull(f, eight[:]); err != nil || binary.LittleEndian.Uint64(eight[:]) != word(uint64(at)/8) {
			t.Errorf("at %d: %x, %v", at, eight, err)
		}
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("a place before the start was accepted")
	}
	if n, err := f.Seek(0, io.SeekEnd); n != 1<<20 || err != nil {
		t.Errorf("the end is at %d, %v", n, err)
	}
	if n, err := f.Read(make([]byte, 8)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

func TestUploadCountsAndSums(t *testing.T) {
	got := body(t, post(t, New(Options{}), "/api/upload", "application/octet-stream", "123456789"))
	if want := `{"bytes":9,"crc32c":"e3069283"}` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHeadersShowsWhatArrived(t *testing.T) {
	var got struct {
		Target  string
		Headers http.Header
	}
	res := get(t, New(Options{}), "/api/headers?a=1&b", "X-Variant: video")
	if err := json.Unmarshal([]byte(body(t, res)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Target != "/api/headers?a=1&b" || got.Headers.Get("X-Variant") != "video" {
		t.Errorf("got %+v", got)
	}
}

func TestFeedsAreWellFormedAndAbsolute(t *testing.T) {
	h := New(Options{})
	for _, target := range []string{"/feed.xml", "/sitemap.xml"} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Host = `a<&">.example`
		text := body(t, send(t, h, r, "X-Forwarded-Proto: https"))
		if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		if !strings.Contains(text, "https://a&lt;&amp;&#34;&gt;.example/") {
			t.Errorf("%s does not name the host it was asked by: %s", target, text)
		}
	}
}

func TestFailWithRetryAfterAndWithoutAnswer(t *testing.T) {
	h := New(Options{})
	if res := get(t, h, "/fail?status=503&retry_after=7"); res.Header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After is %q", res.Header.Get("Retry-After"))
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("status 0 did not drop the connection")
		}
	}()
	get(t, h, "/fail?status=0")
}

func TestOtherMethodsAreRefused(t *testing.T) {
	res := post(t, New(Options{}), "/pricing", "text/plain", "")
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("got %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}
