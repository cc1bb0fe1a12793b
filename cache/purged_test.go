package cache

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/internal/field"
)

// counting is an origin whose answers count.
func counting(lines ...string) func(*Request, field.List) response {
	n := 0
	return func(*Request, field.List) response {
		n++
		return ok200(fmt.Sprint("body ", n), lines...)
	}
}

func (w *world) purge(k purge.Kind, tags ...string) {
	var cells []purge.Cell
	for _, tag := range tags {
		cells = append(cells, purge.Tag([]byte(tag)))
	}
	w.c.Epochs().Next(k, cells)
}

func TestPurgedByTag(t *testing.T) {
	w := newWorld(t, nil, counting("Cache-Control: max-age=60", "Surrogate-Key: news front"))
	w.get("/", t0)
	w.settle()
	w.purge(purge.Hard, "other")
	if a := w.get("/", t0); a.verdict != Hit {
		t.Fatalf("another tag: %s", a.verdict)
	}
	w.purge(purge.Hard, "front")
	if res := w.c.Lookup(w.request("/"), t0); res.Verdict != Miss || res.Reason != MissPurged {
		t.Errorf("got %s (%s)", res.Verdict, res.Reason)
	}
	if a := w.get("/", t0); a.verdict != Miss || a.body != "body 2" {
		t.Errorf("got %s %q", a.verdict, a.body)
	}
	w.settle()
	if a := w.get("/", t0); a.verdict != Hit || a.body != "body 2" {
		t.Errorf("got %s %q", a.verdict, a.body)
	}
}

func TestPurgedSoftly(t *testing.T) {
	w := newWorld(t, nil, counting("Cache-Control: max-age=60", "Surrogate-Key: news"))
	w.get("/", t0)
	w.settle()
	w.purge(purge.Soft, "news")
	if a := w.get("/", t0); a.verdict != Stale || a.body != "body 1" {
		t.Fatalf("got %s %q", a.verdict, a.body)
	}
	for end := time.Now().Add(10 * time.Second); w.c.Stats().Refreshing > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.settle()
	if a := w.get("/", t0); a.verdict != Hit || a.body != "body 2" || w.asked.Load() != 2 {
		t.Errorf("got %s %q after %d fetches", a.verdict, a.body, w.asked.Load())
	}
	must := newWorld(t, nil, counting("Cache-Control: max-age=60, must-revalidate", "Surrogate-Key: news"))
	must.get("/", t0)
	must.settle()
	must.purge(purge.Soft, "news")
	if a := must.get("/", t0); a.verdict != Miss || a.body != "body 2" {
		t.Errorf("must-revalidate: got %s %q", a.verdict, a.body)
	}
}

// A fill that began before a purge does not land after it, and nobody who comes after the purge joins it.
func TestAFillFromBeforeAPurge(t *testing.T) {
	body, n := stream(), 0
	w := newWorld(t, nil, func(*Request, field.List) response {
		if n++; n > 1 {
			return ok200("new", "Cache-Control: max-age=60", "Cache-Tag: news")
		}
		return response{head: Head{Status: 200, Fields: list("Cache-Control: max-age=60", "Cache-Tag: news"), Length: 3}, body: body}
	})
	first := make(chan answer)
	go func() { first <- w.get("/", t0) }()
	for w.c.running.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	w.purge(purge.Hard, "news")
	if a := w.get("/", t0); a.body != "new" {
		t.Errorf("who came after the purge got %q", a.body)
	}
	body.pieces <- []byte("old")
	close(body.pieces)
	if a := <-first; a.body != "old" {
		t.Errorf("who came before it got %q", a.body)
	}
	w.settle()
	if a := w.get("/", t0); a.body == "old" {
		t.Error("what was purged is served")
	}
}

func TestTagsEndHere(t *testing.T) {
	p := newWorld(t, nil, nil).policy
	fields := list("Surrogate-Key: a", "X-A: b", "Cache-Tag: c", "Cache-Groups: \"d\"")
	p.Withhold(&fields)
	if fields.Has("Surrogate-Key") || fields.Has("Cache-Tag") || !fields.Has("X-A") || !fields.Has("Cache-Groups") {
		t.Errorf("left: %v", fields)
	}
	sent := newWorld(t, func(r *RouteConfig) { r.Tags = "send" }, nil).policy
	fields = list("Surrogate-Key: a", "Cache-Tag: c")
	if sent.Withhold(&fields); len(fields) != 2 {
		t.Errorf("left: %v", fields)
	}
	w := newWorld(t, nil, func(*Request, field.List) response {
		r := ok200("body", "Cache-Control: max-age=60")
		r.head.Own = list("Surrogate-Key: news")
		return r
	})
	w.get("/", t0)
	w.settle()
	w.purge(purge.Hard, "news")
	if a := w.get("/", t0); a.verdict != Miss {
		t.Errorf("a tag that ends here does not purge: %s", a.verdict)
	}
}

// RFC 9875 §3: the answer to a write makes groups of its origin void.
func TestGroupsAreInvalidated(t *testing.T) {
	w := newWorld(t, nil, counting("Cache-Control: max-age=60", `Cache-Groups: "scripts", "all"`))
	w.get("/a", t0)
	w.get("/b", t0)
	w.settle()
	client := netip.MustParseAddr("192.0.2.1")
	post := w.request("/api")
	post.Method = []byte("POST")
	w.c.Written(post, client, list(`Cache-Group-Invalidation: "scripts"`), t0.Add(time.Second))
	for _, path := range []string{"/a", "/b"} {
		if a := w.get(path, t0.Add(time.Second)); a.verdict != Miss {
			t.Errorf("%s: %s", path, a.verdict)
		}
	}
}

// A cache that may have missed purges trusts nothing for long.
func TestCutOffFromPurges(t *testing.T) {
	w := newWorld(t, nil, counting("Cache-Control: max-age=600"))
	w.get("/", t0)
	w.settle()
	w.c.CutOff(t0.Add(100 * time.Second))
	at := func(s int, want Verdict, reason Reason) {
		t.Helper()
		now := t0.Add(time.Duration(s) * time.Second)
		if res := w.c.Lookup(w.request("/"), now); res.Verdict != want || res.Reason != reason {
			t.Errorf("after %d s: %s (%s)", s, res.Verdict, res.Reason)
		}
		w.get("/", now)
		w.settle()
	}
	at(129, Hit, "")
	at(131, Miss, StaleCutOff)
	at(160, Hit, "") // validated at 131
	at(162, Miss, StaleCutOff)
	w.c.Rejoined()
	at(400, Hit, "")
}
