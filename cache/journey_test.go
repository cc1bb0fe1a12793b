package cache

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// step is one request of a sequence, with what must come of it.
type step struct {
	after time.Duration // since the first step
	path  string        // default /
	lines []string
	want  string // "verdict status body"
	asked int64  // how often the origin was asked by then
}

func (w *world) steps(steps ...step) {
	w.t.Helper()
	for i, s := range steps {
		if s.path == "" {
			s.path = "/"
		}
		a := w.get(s.path, t0.Add(s.after), s.lines...)
		got := a.verdict.String() + " " + itoa(a.status) + " " + a.body
		if got != s.want {
			w.t.Errorf("step %d: got %q (%s, %v), want %q", i, got, a.reason, a.err, s.want)
		}
		if n := w.asked.Load(); n != s.asked {
			w.t.Errorf("step %d: the origin was asked %d times, want %d", i, n, s.asked)
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestFreshResponseIsReused(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{after: 59 * time.Second, want: "hit 200 body 1", asked: 1},
		step{after: 60 * time.Second, want: "miss 200 body 2", asked: 2},
		step{after: 61 * time.Second, path: "/?utm_source=x", want: "hit 200 body 2", asked: 2},
		step{after: 61 * time.Second, path: "/?a=1", want: "miss 200 body 3", asked: 3},
	)
}

func TestVariants(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60", "Vary: Accept-Language, X-A"))
	w.steps(
		step{lines: []string{"Accept-Language: en, de"}, want: "miss 200 body 1", asked: 1},
		step{lines: []string{"Accept-Language: EN ,De"}, want: "hit 200 body 1", asked: 1},
		step{lines: []string{"Accept-Language: fr"}, want: "miss 200 body 2", asked: 2},
		step{lines: []string{"Accept-Language: fr", "X-A: "}, want: "miss 200 body 3", asked: 3},
		step{lines: []string{"Accept-Language: fr"}, want: "hit 200 body 2", asked: 3},
	)
}

func TestVariantsAreWhatTheOriginSaw(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60", "Vary: X-Q, Cookie"))
	w.steps(
		step{lines: []string{"X-Q: a,b"}, want: "miss 200 body 1", asked: 1},
		step{lines: []string{"X-Q: a,,b"}, want: "miss 200 body 2", asked: 2},
		step{lines: []string{"X-Q: a", "X-Q: b"}, want: "miss 200 body 3", asked: 3},
		step{lines: []string{"X-Q: a,b", "Cookie: a=b, c=d"}, want: "miss 200 body 4", asked: 4},
		step{lines: []string{"X-Q: a,b", "Cookie: a=b,c=d"}, want: "miss 200 body 5", asked: 5},
		step{lines: []string{"X-Q: a,b"}, want: "hit 200 body 1", asked: 5},
	)
}

func TestCodedResponseIsForThoseWhoDecodeIt(t *testing.T) {
	n := 0
	w := newWorld(t, nil, func(q *Request, _ field.List) response {
		n++
		if rfc9111.Accepted(q.Fields)&rfc9111.Brotli != 0 {
			return ok200("br "+strconv.Itoa(n), "Cache-Control: max-age=60", "Content-Encoding: br")
		}
		return ok200("plain "+strconv.Itoa(n), "Cache-Control: max-age=60")
	})
	w.steps(
		step{lines: []string{"Accept-Encoding: gzip, br"}, want: "miss 200 br 1", asked: 1},
		step{want: "miss 200 plain 2", asked: 2},
		step{lines: []string{"Accept-Encoding: gzip"}, want: "miss 200 plain 3", asked: 3},
		step{lines: []string{"Accept-Encoding: br;q=0.5, gzip"}, want: "hit 200 br 1", asked: 3},
		step{want: "hit 200 plain 2", asked: 3},
	)
}

// TestOneVisitorsValidationIsHisOwn: what a 304 says to a visitor with a cookie takes nothing from the others.
func TestOneVisitorsValidationIsHisOwn(t *testing.T) {
	cookie := []string{"Cookie: a=b"}
	for _, c := range []struct{ stored, said string }{
		{"no-cache", ""},
		{"max-age=10", "private"},
		{"max-age=10", "no-store"},
	} {
		w := newWorld(t, nil, func(q *Request, fetch field.List) response {
			switch {
			case fetch.Get("If-None-Match") == nil:
				return ok200("page", "Cache-Control: "+c.stored, `ETag: "v1"`)
			case q.Fields.Has("Cookie") && c.said != "":
				return response{head: Head{Status: 304, Fields: list("Cache-Control: " + c.said)}, body: text("")}
			}
			return response{head: Head{Status: 304}, body: text("")}
		})
		w.steps(step{want: "miss 200 page", asked: 1})
		id := w.c.Lookup(w.request("/"), t0).Object.ID()
		w.get("/", t0.Add(20*time.Second), cookie...)
		if o := w.c.Lookup(w.request("/"), t0.Add(20*time.Second)).Object; !o.Exists() || o.ID() != id {
			t.Errorf("%+v: the object is gone", c)
		}
		if a := w.get("/", t0.Add(20*time.Second)); a.body != "page" || a.verdict != Miss && c.stored != "no-cache" {
			t.Errorf("%+v: got %v", c, a)
		}
	}
}

func TestTakenBack(t *testing.T) {
	w := newWorld(t, nil, func(_ *Request, fetch field.List) response {
		if fetch.Get("If-None-Match") == nil {
			return ok200("page", "Cache-Control: max-age=10", `ETag: "v1"`)
		}
		return response{head: Head{Status: 304, Fields: list("Cache-Control: no-store")}, body: text("")}
	})
	w.steps(
		step{want: "miss 200 page", asked: 1},
		step{after: 20 * time.Second, want: "miss 200 page", asked: 2},
	)
	if res := w.c.Lookup(w.request("/"), t0.Add(20*time.Second)); res.Object.Exists() {
		t.Error("it is still stored")
	}
}

func TestPrivateIsNeverShared(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: private, max-age=60"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{want: "alone 200 body 2", asked: 2},
		step{after: 11 * time.Second, want: "miss 200 body 3", asked: 3},
	)
}

func TestMarkNeverPreventsStoring(t *testing.T) {
	n := 0
	w := newWorld(t, nil, func(*Request, field.List) response {
		if n++; n == 1 {
			return ok200("mine", "Cache-Control: private")
		}
		return ok200("all", "Cache-Control: max-age=60")
	})
	w.steps(
		step{want: "miss 200 mine", asked: 1},
		step{want: "alone 200 all", asked: 2},
		step{want: "hit 200 all", asked: 2},
	)
}

// validating answers 304 where the validator matches.
func validating(etag string, lines ...string) func(*Request, field.List) response {
	n := numbered(append(lines, "ETag: "+etag)...)
	return func(q *Request, fetch field.List) response {
		if string(fetch.Get("If-None-Match")) == etag {
			return response{head: Head{Status: 304, Fields: list(append(lines, "X-New: 1")...)}, body: text("")}
		}
		return n(q, fetch)
	}
}

func TestValidationFreshens(t *testing.T) {
	w := newWorld(t, nil, validating(`"v1"`, "Cache-Control: max-age=10"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{after: 11 * time.Second, want: "miss 200 body 1", asked: 2},
		step{after: 20 * time.Second, want: "hit 200 body 1", asked: 2},
		step{after: 20 * time.Second, lines: []string{`If-None-Match: "x", W/"v1"`}, want: "hit 304 ", asked: 2},
		step{after: 20 * time.Second, lines: []string{"Range: bytes=-1"}, want: "hit 206 1", asked: 2},
		step{after: 30 * time.Second, lines: []string{"Range: bytes=0-3"}, want: "miss 206 body", asked: 3},
	)
	a := w.get("/", t0.Add(30*time.Second))
	if string(a.fields.Get("X-New")) != "1" {
		t.Errorf("the 304's fields are missing: %v", a.fields)
	}
}

func TestNoCacheIsValidatedByEveryone(t *testing.T) {
	w := newWorld(t, nil, validating(`"v1"`, "Cache-Control: no-cache"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{want: "alone 200 body 1", asked: 2},
		step{after: 20 * time.Second, want: "miss 200 body 1", asked: 3},
	)
}

func TestStaleWhileRevalidate(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: s-maxage=10, stale-while-revalidate=30"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
	)
	a := w.get("/", t0.Add(15*time.Second))
	if a.verdict != Stale || a.reason != rfc9111.StaleRevalidate || a.body != "body 1" {
		t.Fatalf("got %v", a)
	}
	w.c.fillers.Wait()
	w.steps(step{after: 16 * time.Second, want: "hit 200 body 2", asked: 2})
}

func TestStaleIfError(t *testing.T) {
	for _, c := range []struct {
		cc     string
		status int // 0: unreachable
		want   string
	}{
		{"max-age=10, stale-if-error=60", 503, "miss 200 page"},
		{"max-age=10, stale-if-error=60", 0, "miss 200 page"},
		{"max-age=10, stale-if-error=1", 503, "miss 503 sorry"},
		{"max-age=10", 503, "miss 503 sorry"},
		{"max-age=10", 404, "miss 404 sorry"},
		{"max-age=10", 0, "miss 200 page"},
		{"max-age=10, must-revalidate", 0, "miss 502 "},
		{"max-age=10, proxy-revalidate", 0, "miss 502 "},
		{"s-maxage=10", 0, "miss 502 "},
		{"s-maxage=10, stale-if-error=60", 0, "miss 200 page"},
	} {
		fail := false
		w := newWorld(t, nil, func(*Request, field.List) response {
			switch {
			case !fail:
				return ok200("page", "Cache-Control: "+c.cc)
			case c.status == 0:
				return response{err: errDown}
			}
			return response{head: Head{Status: c.status, Length: 5}, body: text("sorry")}
		})
		w.steps(step{want: "miss 200 page", asked: 1})
		fail = true
		t.Log(c.cc, c.status)
		w.steps(step{after: 30 * time.Second, want: c.want, asked: 2})
	}
}

func TestHeadIsAnsweredFromGet(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.steps(step{want: "miss 200 body 1", asked: 1})
	q := w.request("/")
	q.Method = []byte("HEAD")
	if a := w.do(q, t0); a.verdict != Hit || a.status != 200 || a.body != "" {
		t.Errorf("got %v", a)
	}
}

func TestOnlyIfCached(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.steps(
		step{lines: []string{"Cache-Control: only-if-cached"}, want: "refuse 504 ", asked: 0},
		step{want: "miss 200 body 1", asked: 1},
		step{lines: []string{"Cache-Control: only-if-cached"}, want: "hit 200 body 1", asked: 1},
	)
}

func TestClientReload(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	reload := []string{"Cache-Control: no-cache"}
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{after: time.Second / 2, lines: reload, want: "hit 200 body 1", asked: 1},
		step{after: time.Second, lines: reload, want: "miss 200 body 2", asked: 2},
		step{after: time.Second, lines: []string{"Pragma: no-cache"}, want: "hit 200 body 2", asked: 2},
	)
	w = newWorld(t, func(r *RouteConfig) { r.Reload = "ignore" }, numbered("Cache-Control: max-age=60"))
	w.steps(
		step{want: "miss 200 body 1", asked: 1},
		step{after: 30 * time.Second, lines: reload, want: "hit 200 body 1", asked: 1},
	)
}

func TestAuthorization(t *testing.T) {
	auth := []string{"Authorization: Basic eDp5"}
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.steps(
		step{lines: auth, want: "miss 200 body 1", asked: 1},
		step{want: "miss 200 body 2", asked: 2},
		step{lines: auth, want: "alone 200 body 3", asked: 3},
		step{want: "hit 200 body 2", asked: 3},
	)
	w = newWorld(t, nil, numbered("Cache-Control: max-age=60, public"))
	w.steps(
		step{lines: auth, want: "miss 200 body 1", asked: 1},
		step{want: "hit 200 body 1", asked: 1},
		step{lines: auth, want: "hit 200 body 1", asked: 1},
	)
}

func TestCookies(t *testing.T) {
	w := newWorld(t, func(r *RouteConfig) { r.PrivateCookies = []string{"session", "wp_*"} }, numbered("Cache-Control: max-age=60"))
	w.steps(
		step{lines: []string{"Cookie: a=b; theme=dark"}, want: "miss 200 body 1", asked: 1},
		step{lines: []string{"Cookie: a=c"}, want: "hit 200 body 1", asked: 1},
		step{lines: []string{"Cookie: a=c; session=1"}, want: "alone 200 body 2", asked: 2},
		step{lines: []string{"Cookie: a=c;wp_x=1"}, want: "alone 200 body 3", asked: 3},
		step{lines: []string{"Cookie: xsession=1"}, want: "hit 200 body 1", asked: 3},
	)
}

func TestOperatorTTL(t *testing.T) {
	ttl := func(override string) func(*RouteConfig) {
		return func(r *RouteConfig) { r.Mode, r.TTL, r.Override = "ttl", r.HTMLMax, override }
	}
	for _, c := range []struct {
		override, cc string
		hit          bool
	}{
		{"private", "private, max-age=0, must-revalidate", true},
		{"private", "no-store", false},
		{"private", "", true},
		{"freshness", "private", false},
		{"freshness", "no-cache", false},
		{"freshness", "max-age=0", true},
		{"all", "no-store", true},
	} {
		w := newWorld(t, ttl(c.override), numbered("Cache-Control: "+c.cc))
		w.get("/", t0)
		a := w.get("/", t0.Add(time.Minute))
		if hit := a.verdict == Hit; hit != c.hit {
			t.Errorf("override %s of %q: got %v", c.override, c.cc, a)
		}
	}
}

func TestAmbiguousRequestsPassBy(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	for i, p := range []string{"/a/../b", "/a;x.css", "/a%2fb", "/a%3bx", "/%2e%2e/x", "/a%00", "/."} {
		if a := w.get(p, t0); a.verdict != Alone || a.reason != BypassPath {
			t.Errorf("case %d: %s: got %v", i, p, a)
		}
	}
	q := w.request("/")
	q.HasBody = true
	if a := w.do(q, t0); a.verdict != Alone {
		t.Errorf("GET with content: got %v", a)
	}
}

func TestInvalidate(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60", "Vary: X-A"))
	w.steps(
		step{lines: []string{"X-A: 1"}, want: "miss 200 body 1", asked: 1},
		step{lines: []string{"X-A: 2"}, want: "miss 200 body 2", asked: 2},
	)
	w.c.Invalidate(w.request("/"), t0)
	w.steps(
		step{lines: []string{"X-A: 1"}, want: "miss 200 body 3", asked: 3},
		step{lines: []string{"X-A: 2"}, want: "miss 200 body 4", asked: 4},
	)
}

func TestInvalidateRelated(t *testing.T) {
	for _, c := range []struct {
		location string
		gone     bool
	}{
		{"/a/page?x=1", true},
		{"page?x=1", true},
		{"../a/./page?x=1#fragment", true},
		{"https://EXAMPLE.com/a/page?x=1", true},
		{"//example.com/a/page?x=1", true},
		{"http://example.com/a/page?x=1", false},
		{"https://example.com:8443/a/page?x=1", false},
		{"https://evil.example/a/page?x=1", false},
		{"https://u@example.com/a/page?x=1", false},
		{"/a/page", false},
		{"%zz", false},
		{"", false},
	} {
		w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
		w.get("/a/page?x=1", t0)
		for _, name := range []string{"Location: ", "Content-Location: "} {
			w.c.Written(w.request("/a/form"), netip.Addr{}, list(name+c.location), t0)
		}
		if a := w.get("/a/page?x=1", t0); (a.verdict == Miss) != c.gone {
			t.Errorf("%q: got %s", c.location, a.verdict)
		}
	}
}
