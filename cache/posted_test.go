package cache

import (
	"net/netip"
	"testing"
	"time"
)

// TestPosted is RFC 9110 §9.3.3.
func TestPosted(t *testing.T) {
	store := func(c *RouteConfig) { c.Post = "store" }
	fresh := []string{"Content-Location: /p?a=1", "Cache-Control: max-age=60"}
	check := func(change func(*RouteConfig), want bool, request func(*Request), head func(*Head), lines ...string) {
		t.Helper()
		w := newWorld(t, change, numbered("Cache-Control: max-age=60"))
		w.get("/p?a=1", t0)
		q := w.request("/p?a=1", "Content-Type: text/plain")
		q.Method, q.HasBody = []byte("POST"), true
		if request != nil {
			request(q)
		}
		h := Head{Status: 200, Fields: list(lines...), Length: 6}
		if head != nil {
			head(&h)
		}
		now := time.Now()
		body := text("posted")
		f := w.c.Posted(q, netip.Addr{}, h, body, now.Add(-time.Second), now)
		if (f != nil) != want || f == nil && body.closed.Load() != 0 {
			t.Errorf("%q: taken: %v, want %v", lines, f != nil, want)
		}
		if got := w.get("/p?a=1", now).body; want && got != "posted" || !want && got != "body 2" {
			t.Errorf("%q: afterwards %q", lines, got)
		}
	}
	check(store, true, nil, nil, fresh...)
	check(store, true, nil, nil, "Content-Location: https://example.com/p?a=1", "Expires: "+date(time.Now().Add(time.Hour)))
	check(nil, false, nil, nil, fresh...)
	check(store, false, nil, nil, "Content-Location: /p", "Cache-Control: max-age=60")
	check(store, false, nil, nil, "Content-Location: https://example.org/p?a=1", "Cache-Control: max-age=60")
	check(store, false, nil, nil, "Content-Location: /p?a=1")
	check(store, false, nil, nil, "Content-Location: /p?a=1", "Last-Modified: "+date(t0.Add(-time.Hour)))
	check(store, false, nil, nil, "Cache-Control: max-age=60")
	check(store, false, nil, nil, "Content-Location: /p?a=1", "Cache-Control: max-age=60, no-store")
	check(store, false, nil, nil, append(fresh, "Set-Cookie: a=b")...)
	check(store, false, nil, func(h *Head) { h.Status = 201 }, fresh...)
	check(store, false, nil, func(h *Head) { h.UntilClose, h.Length = true, -1 }, fresh...)
	check(store, false, func(q *Request) { q.Fields = append(q.Fields, list("Authorization: x")...) }, nil, fresh...)
	private := func(c *RouteConfig) { store(c); c.PrivateCookies = []string{"session"} }
	check(private, false, func(q *Request) { q.Fields = append(q.Fields, list("Cookie: session=1")...) }, nil, fresh...)
	check(private, true, func(q *Request) { q.Fields = append(q.Fields, list("Cookie: theme=1")...) }, nil, fresh...)
}

// TestPostedUnderAShorterKey: what the origin saw and the key does not say must not decide what others get.
func TestPostedUnderAShorterKey(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.Post = "store" }, numbered("Cache-Control: max-age=60"))
	q := w.request("/p?utm_source=evil")
	q.Method = []byte("POST")
	h := Head{Status: 200, Fields: list("Content-Location: /p?utm_source=evil", "Cache-Control: max-age=60"), Length: 4}
	if f := w.c.Posted(q, netip.Addr{}, h, text("evil"), t0, t0); f != nil {
		t.Error("it was stored")
	}
}

// TestPostedKnowsOtherWrites: an answer that was asked for before somebody else's write is not stored.
func TestPostedKnowsOtherWrites(t *testing.T) {
	w := newWorld(t, func(c *RouteConfig) { c.Post = "store" }, numbered("Cache-Control: max-age=60"))
	now := time.Now()
	w.write(one, now)
	q := w.request("/")
	q.Method = []byte("POST")
	h := Head{Status: 200, Fields: list("Content-Location: /", "Cache-Control: max-age=60"), Length: 3}
	if f := w.c.Posted(q, two, h, text("old"), now.Add(-time.Second), now.Add(time.Second)); f != nil {
		t.Error("it was stored")
	}
}
