package cache

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// TestHeadTellsOfTheStoredGet is RFC 9111 §4.3.5.
func TestHeadTellsOfTheStoredGet(t *testing.T) {
	old := date(t0.Add(-time.Hour))
	stored := []string{"Cache-Control: max-age=60", `ETag: "a"`, "Last-Modified: " + old, "X: 1"}
	for _, c := range []struct {
		name   string
		after  time.Duration
		ask    []string
		said   []string
		length int64
		want   string // of a GET a second later
	}{
		{"the same", 90 * time.Second, nil, []string{"Cache-Control: max-age=60", `ETag: "a"`, "X: 2"}, 4, "hit 2"},
		{"the same, by date", 90 * time.Second, nil, []string{"Cache-Control: max-age=60", "Last-Modified: " + old}, -1, "hit 1"},
		{"nothing that tells", 90 * time.Second, nil, []string{"Cache-Control: max-age=60", "X: 2"}, 4, "miss 3"},
		{"another tag", 90 * time.Second, nil, []string{"Cache-Control: max-age=60", `ETag: "b"`, "Last-Modified: " + old}, 4, "miss 3"},
		{"another length", 90 * time.Second, nil, []string{"Cache-Control: max-age=60", `ETag: "a"`}, 5, "miss 3"},
		{"another coding", 30 * time.Second, []string{"Cache-Control: no-cache"}, []string{`ETag: "b"`, "Content-Encoding: gzip"}, 3, "hit 1"},
		{"not fresh either", 90 * time.Second, nil, []string{"Cache-Control: max-age=0", `ETag: "a"`}, 4, "miss 3"},
		{"one visitor's", 90 * time.Second, []string{"Cookie: a=b"}, []string{"Cache-Control: max-age=60", `ETag: "a"`}, 4, "miss 3"},
		{"news of a fresh one", 30 * time.Second, []string{"Cache-Control: no-cache"}, []string{`ETag: "b"`}, -1, "miss 3"},
		{"no news of a fresh one", 30 * time.Second, []string{"Cache-Control: no-cache"}, nil, -1, "hit 1"},
	} {
		gets := 0
		w := newWorld(t, nil, func(q *Request, _ field.List) response {
			if q.head() {
				return response{head: Head{Status: 200, Fields: list(c.said...), Length: c.length}, body: text("")}
			}
			if gets++; gets > 1 {
				return ok200("new", "X: 3")
			}
			return ok200("page", stored...)
		})
		w.get("/", t0)
		w.settle()
		q, now := w.request("/", c.ask...), t0.Add(c.after)
		q.Method = []byte("HEAD")
		res := w.c.Lookup(q, now)
		if res.Verdict != Alone {
			t.Fatalf("%s: %s", c.name, res.Verdict)
		}
		answer := w.origin(q, nil)
		w.c.Headed(q, &res, answer.head, now, now)
		w.settle()
		a := w.get("/", now.Add(time.Second))
		if got := a.verdict.String() + " " + string(a.fields.Get("X")); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
		if a.verdict == Hit && a.body != "page" {
			t.Errorf("%s: body %q", c.name, a.body)
		}
	}
}
