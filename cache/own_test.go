package cache

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// TestOwnLinesStayWithTheCache: what the origin said to this cache alone is not sent on, and counts again when a 304
// does not repeat it.
func TestOwnLinesStayWithTheCache(t *testing.T) {
	asked := 0
	w := newWorld(t, nil, func(_ *Request, fetch field.List) response {
		r := ok200("body", "Cache-Control: max-age=5", `ETag: "1"`)
		switch asked++; {
		case asked == 1:
			r.head.Own = list("Tzero-Cache-Control: max-age=60")
		case fetch.Has("If-None-Match"):
			r.head.Status = 304
		}
		if asked == 3 {
			r.head.Own = list("Tzero-Cache-Control: max-age=600")
		}
		return r
	})
	w.steps(
		step{want: "miss 200 body", asked: 1},
		step{after: 59 * time.Second, want: "hit 200 body", asked: 1},
		step{after: 60 * time.Second, want: "miss 200 body", asked: 2},
		step{after: 119 * time.Second, want: "hit 200 body", asked: 2},
		step{after: 120 * time.Second, want: "miss 200 body", asked: 3},
		step{after: 719 * time.Second, want: "hit 200 body", asked: 3},
	)
	o := w.c.Lookup(w.request("/"), t0.Add(130*time.Second)).Object
	if o.Fields(nil).Has("Tzero-Cache-Control") || string(o.Own(nil).Get("tzero-cache-control")) != "max-age=600" {
		t.Errorf("lines %s, own %s", o.Fields(nil), o.Own(nil))
	}
	if d, ok := Decode(o.Bytes()); !ok || string(d.Body()) != "body" || len(d.Own(nil)) != 1 {
		t.Error("the object does not survive its own bytes")
	}
}
