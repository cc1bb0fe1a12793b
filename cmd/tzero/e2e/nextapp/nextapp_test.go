//go:build nextapp

package nextapp_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/nextapp"
)

// These tests ask the applications directly: what the tests behind tzero may rely on.

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d", url, resp.StatusCode)
	}
	return resp, string(body)
}

func wants(t *testing.T, resp *http.Response, name, value string) {
	t.Helper()
	if got := resp.Header.Get(name); got != value {
		t.Errorf("%s: %s is %q, want %q", resp.Request.URL, name, got, value)
	}
}

func TestPages(t *testing.T) {
	for _, app := range nextapp.Apps() {
		t.Run(string(app), func(t *testing.T) {
			s := nextapp.Start(t, app)
			for _, path := range app.Pages() {
				if _, page := get(t, s.URL+path); !strings.Contains(page, "</html>") {
					t.Errorf("%s is no whole document", path)
				}
			}
		})
	}
}

func TestT3StreamsAndServesAssets(t *testing.T) {
	s := nextapp.Start(t, nextapp.T3)
	resp, page := get(t, s.URL+"/")
	if resp.ContentLength != -1 || !strings.Contains(resp.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("the page is not streamed: length %d, %v", resp.ContentLength, resp.Header)
	}
	const year = "public, max-age=31536000, immutable"
	assets := regexp.MustCompile(`/_next/static/[^"\\]+\.(?:css|js|woff2)`).FindAllString(page, -1)
	if len(assets) < 3 {
		t.Fatalf("only %q are named by the page", assets)
	}
	for _, path := range assets {
		asset, _ := get(t, s.URL+path)
		wants(t, asset, "Cache-Control", year)
	}
	question := url.QueryEscape(`{"0":{"json":{"text":"from a test"}}}`)
	if _, answer := get(t, s.URL+"/api/trpc/post.hello?batch=1&input="+question); !strings.Contains(answer, "Hello from a test") {
		t.Errorf("tRPC says %s", answer)
	}
}

func TestTutorialResizesImages(t *testing.T) {
	s := nextapp.Start(t, nextapp.Tutorial)
	resp, _ := get(t, s.URL+"/")
	wants(t, resp, "Cache-Control", "s-maxage=31536000")
	wants(t, resp, "X-Nextjs-Cache", "HIT")

	const image = "/_next/image?url=%2Fimages%2Fprofile.jpg&w=384&q=75"
	webp, small := get(t, s.URL+image, "Accept: image/webp,*/*")
	wants(t, webp, "Content-Type", "image/webp")
	wants(t, webp, "Vary", "Accept")
	_, again := get(t, s.URL+image, "Accept: image/webp,*/*")
	png, large := get(t, s.URL+image, "Accept: */*")
	wants(t, png, "Content-Type", "image/png")
	// On Debian 12's Node, Next.js answers a first request for the original with nothing at all.
	if small != again || large != "" && len(small) >= len(large) {
		t.Errorf("webp %d and %d bytes, png %d", len(small), len(again), len(large))
	}

	hello, answer := get(t, s.URL+"/api/hello")
	wants(t, hello, "Content-Type", "application/json; charset=utf-8")
	if answer != `{"text":"hello"}` {
		t.Errorf("the API says %s", answer)
	}
}

func TestCacheLabRevalidates(t *testing.T) {
	s := nextapp.Start(t, nextapp.CacheLab)
	const page = "/pages/revalidated-fetch/revalidate15--default-page"
	first, _ := get(t, s.URL+page)
	if c := first.Header.Get("Cache-Control"); !strings.HasPrefix(c, "s-maxage=15, stale-while-revalidate=") {
		t.Errorf("the page may be kept by %q", c)
	}
	kept, _ := get(t, s.URL+page)
	wants(t, kept, "X-Nextjs-Cache", "HIT")
	wants(t, kept, "ETag", first.Header.Get("ETag"))

	if _, answer := get(t, s.URL+"/api/revalidatePath?path="+page); !strings.Contains(answer, `"success":true`) {
		t.Fatalf("revalidation by path says %s", answer)
	}
	if fresh, _ := get(t, s.URL+page); fresh.Header.Get("ETag") == first.Header.Get("ETag") {
		t.Error("the page is the same after its revalidation")
	}

	count := func() (n struct{ Counter int }) {
		t.Helper()
		_, answer := get(t, s.URL+"/api/uncached-fetch")
		if err := json.Unmarshal([]byte(answer), &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if a, b := count(), count(); b.Counter != a.Counter+1 {
		t.Errorf("the counter went from %d to %d", a.Counter, b.Counter)
	}
}

func TestSlowComesInParts(t *testing.T) {
	s := nextapp.Start(t, nextapp.Slow)
	resp, err := http.Get(s.URL + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	arrived := map[string]time.Time{}
	lines := bufio.NewReader(resp.Body)
	for {
		text, err := lines.ReadString('>')
		for _, mark := range []string{"<h1>", `<p id="part-500">`, `<p id="part-1500">`} {
			if strings.HasSuffix(text, mark) {
				arrived[mark] = time.Now()
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	head, last := arrived["<h1>"], arrived[`<p id="part-1500">`]
	if head.IsZero() || last.Sub(head) < time.Second {
		t.Errorf("the last part came %s after the head: %v", last.Sub(head), arrived)
	}
}
