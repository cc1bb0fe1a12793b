package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// TestEquivalentQueries is No-Vary-Search: who asks in other words gets what is stored, and what has to be fetched is
// fetched in the words of who asks.
func TestEquivalentQueries(t *testing.T) {
	w := newWorld(t, nil, func(q *Request, _ field.List) response {
		return ok200(string(q.Path)+"?"+string(q.Query), "Cache-Control: max-age=60", `No-Vary-Search: key-order, params=("x")`)
	})
	w.steps(
		step{path: "/p?a=1&b=2&x=3", want: "miss 200 /p?a=1&b=2&x=3", asked: 1},
		step{path: "/p?a=1&b=2&x=3", want: "hit 200 /p?a=1&b=2&x=3", asked: 1},
		step{path: "/p?b=2&a=1", want: "hit 200 /p?a=1&b=2&x=3", asked: 1},
		step{path: "/p?b=2&x=9&a=%31", want: "hit 200 /p?a=1&b=2&x=3", asked: 1},
		step{path: "/p?b=2&a=2", want: "miss 200 /p?b=2&a=2", asked: 2},
		step{path: "/q?b=2&a=1", want: "miss 200 /q?b=2&a=1", asked: 3},
		// Stale: nobody is answered with it, and the fetch keeps the client's query.
		step{after: time.Minute, path: "/p?b=2&a=1", want: "miss 200 /p?b=2&a=1", asked: 4},
		step{after: time.Minute, path: "/p?x=0&a=1&b=2", want: "hit 200 /p?b=2&a=1", asked: 4},
		step{after: time.Minute, path: "/p?a=1&b=2", lines: []string{"Cache-Control: only-if-cached"}, want: "hit 200 /p?b=2&a=1", asked: 4},
		step{after: time.Minute, path: "/p?a=1&b=2", lines: []string{"Authorization: x"}, want: "miss 200 /p?a=1&b=2", asked: 5},
	)
}

func TestEquivalentQueriesAreTheOriginsWord(t *testing.T) {
	check := func(change func(*RouteConfig), second string, lines ...string) {
		t.Helper()
		w := newWorld(t, change, numbered(append(lines, "Cache-Control: max-age=60")...))
		w.steps(step{path: "/?x=1", want: "miss 200 body 1", asked: 1}, step{path: "/?x=2", want: second, asked: 2})
	}
	miss := "miss 200 body 2"
	check(nil, miss)
	check(nil, miss, `No-Vary-Search: params=("y")`)
	check(nil, miss, `No-Vary-Search: params=(x)`)
	check(nil, miss, `No-Vary-Search: params=("x"),`)
	check(nil, miss, `No-Vary-Search: params=("x")`, "No-Vary-Search: key-order")
	check(nil, miss, `No-Vary-Search: params`, "Vary: *")
	check(func(c *RouteConfig) { c.NoVarySearch = "ignore" }, miss, "No-Vary-Search: params")
	check(func(c *RouteConfig) { c.Mode, c.TTL = "ttl", 60e9 }, miss, "No-Vary-Search: params")
}

// TestEquivalenceGoesWithTheResponse: it is the stored response that says what it answers. One that no longer says so is
// found by its own query alone.
func TestEquivalenceGoesWithTheResponse(t *testing.T) {
	says := "No-Vary-Search: params"
	n := 0
	w := newWorld(t, nil, func(*Request, field.List) response {
		n++
		lines := []string{"Cache-Control: max-age=60"}
		if says != "" {
			lines = append(lines, says)
		}
		return ok200(fmt.Sprint(n), lines...)
	})
	w.steps(
		step{path: "/?x=1", want: "miss 200 1", asked: 1},
		step{path: "/?x=2", want: "hit 200 1", asked: 1},
	)
	says = ""
	w.steps(
		step{after: time.Minute, path: "/?x=1", want: "miss 200 2", asked: 2},
		step{after: time.Minute, path: "/?x=2", want: "miss 200 3", asked: 3},
	)
}

func TestEquivalentQueriesKeepVariantsApart(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60", `No-Vary-Search: params`, "Vary: X-A"))
	w.steps(
		step{path: "/?x=1", lines: []string{"X-A: 1"}, want: "miss 200 body 1", asked: 1},
		step{path: "/?x=2", lines: []string{"X-A: 1"}, want: "hit 200 body 1", asked: 1},
		step{path: "/?x=2", lines: []string{"X-A: 2"}, want: "miss 200 body 2", asked: 2},
		step{path: "/?x=3", lines: []string{"X-A: 2"}, want: "hit 200 body 2", asked: 2},
	)
}

// TestWriteReachesEquivalentQueries: whoever writes sees what was written, however the page had been asked for.
func TestWriteReachesEquivalentQueries(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60", `No-Vary-Search: params=("x")`))
	w.steps(
		step{path: "/?x=1", want: "miss 200 body 1", asked: 1},
		step{path: "/?x=2", want: "hit 200 body 1", asked: 1},
	)
	w.c.Invalidate(w.request("/?x=2"), t0)
	w.steps(
		step{after: time.Second, path: "/?x=2", want: "miss 200 body 2", asked: 2},
		step{after: time.Second, path: "/?x=1", want: "hit 200 body 2", asked: 2}, // its own was void, too
	)
	// An answer from before a write to an equivalent query gives its page no other names.
	q := w.request("/?x=5&y")
	res := w.c.Lookup(q, t0)
	w.c.Invalidate(w.request("/?y&x=6"), t0.Add(time.Second))
	f := w.c.Begin(q, &res, Head{Status: 200, Fields: list("Cache-Control: max-age=60", `No-Vary-Search: params=("x")`), Length: 3}, text("old"), t0, t0)
	if f.State() != Complete {
		t.Fatal(f.State(), f.Reason())
	}
	if a := w.get("/?y&x=6", t0.Add(2*time.Second)); a.body == "old" {
		t.Error("a page from before the write answers an equivalent query")
	}
}

func TestPreferredLanguageFindsItsPage(t *testing.T) {
	languages := func(c *RouteConfig) { c.Vary = "languages" }
	w := newWorld(t, languages, func(q *Request, _ field.List) response {
		tag := "de"
		if strings.HasPrefix(string(q.Fields.Get("Accept-Language")), "fr") {
			tag = "fr"
		}
		return ok200(tag, "Cache-Control: max-age=60", "Vary: Accept-Language, X-A", "Content-Language: "+tag)
	})
	accept := func(v string) []string { return []string{"Accept-Language: " + v} }
	w.steps(
		step{lines: accept("en, de"), want: "miss 200 de", asked: 1},
		step{lines: accept("de, en"), want: "hit 200 de", asked: 1},
		step{lines: accept("it;q=0.5, DE"), want: "hit 200 de", asked: 1},
		step{lines: append(accept("it;q=0.5, de"), "X-A: 1"), want: "miss 200 de", asked: 2},
		step{lines: accept("it, de;q=0.5"), want: "miss 200 de", asked: 3}, // prefers another
		step{lines: accept("fr"), want: "miss 200 fr", asked: 4},
		step{lines: accept("fr, de;q=0.9"), want: "hit 200 fr", asked: 4},
	)
	strict := newWorld(t, nil, numbered("Cache-Control: max-age=60", "Vary: Accept-Language", "Content-Language: de"))
	strict.steps(
		step{lines: accept("en, de"), want: "miss 200 body 1", asked: 1},
		step{lines: accept("de"), want: "miss 200 body 2", asked: 2},
		step{lines: accept("de, en"), want: "miss 200 body 3", asked: 3},
	)
}
