package cache

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// TestForwardWords: fwd says what was stored (RFC 9211 §2.2), whatever else there is to say about the request.
func TestForwardWords(t *testing.T) {
	const page, film = "/page", "/film"
	for _, c := range []struct {
		name   string
		path   string
		lines  []string
		before func(*world)
		after  int // seconds since everything was stored
		want   string
	}{
		{name: "nothing", path: "/none", want: ForwardURIMiss},
		{name: "old", path: page, after: 61, want: ForwardStale},
		{name: "a reload of what has a validator", path: page, lines: []string{"Cache-Control: no-cache"}, after: 2, want: ForwardRequest},
		{name: "too old for the client", path: page, lines: []string{"Cache-Control: max-age=1"}, after: 2, want: ForwardRequest},
		{name: "for other fields", path: "/vary", lines: []string{"X-A: 2"}, want: ForwardVaryMiss},
		{name: "a range of nothing", path: "/none", lines: []string{"Range: bytes=0-1"}, want: ForwardURIMiss},
		{name: "a range for other fields", path: "/vary", lines: []string{"X-A: 2", "Range: bytes=0-1"}, want: ForwardVaryMiss},
		{name: "another range", path: film, lines: []string{"Range: bytes=4-5"}, want: ForwardPartial},
		{name: "the whole of a part", path: film, want: ForwardPartial},
		{name: "old, and nobody waits", path: page, after: 61, want: ForwardStale, before: func(w *world) {
			q := w.request(page)
			q.gather()
			q.buildKey(w.c)
			w.c.marks.set(q.hash, q.class(), markUncacheable, t0.Add(60e9))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil, func(q *Request, fetch field.List) response {
				switch {
				case fetch.Has("Range"):
					return response{head: Head{Status: 206, Fields: list("Cache-Control: max-age=60", `ETag: "a"`, "Content-Range: bytes 0-1/9"), Length: 2}, body: text("ab")}
				case string(q.Path) == "/vary":
					return ok200("page", "Cache-Control: max-age=60", "Vary: X-A")
				}
				return ok200("page", "Cache-Control: max-age=60", `ETag: "a"`)
			})
			w.get(page, t0)
			w.get("/vary", t0, "X-A: 1")
			w.get(film, t0, "Range: bytes=0-1")
			if c.before != nil {
				c.before(w)
			}
			res := w.c.Lookup(w.request(c.path, c.lines...), t0.Add(time.Duration(c.after)*time.Second))
			if got := ForwardOf(&res); got != c.want {
				t.Errorf("got %s for %s (%s), want %s", got, res.Verdict, res.Reason, c.want)
			}
		})
	}
}

// TestForwardWordOfFollowers: it says what the fill will take the place of.
func TestForwardWordOfFollowers(t *testing.T) {
	for _, c := range []struct {
		stored bool
		want   string
	}{{false, ForwardURIMiss}, {true, ForwardStale}} {
		w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
		if c.stored {
			w.get("/", t0)
		}
		now := t0.Add(61 * time.Second)
		leader := w.request("/")
		res := w.c.Lookup(leader, now)
		body := &content{pieces: make(chan []byte)}
		w.c.Begin(leader, &res, Head{Status: 200, Fields: list("Cache-Control: max-age=60"), Length: 2}, body, now, now)
		res = w.c.Lookup(w.request("/"), now)
		if got := ForwardOf(&res); res.Verdict != Follow || got != c.want {
			t.Errorf("got %s, %s, want %s", res.Verdict, got, c.want)
		}
		close(body.pieces)
		w.settle()
	}
}
