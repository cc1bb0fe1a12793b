package crowd_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// aging is an object that is fresh for a second, and what the origin does from the second request on.
func (r *rig) aging(t *testing.T, cacheControl string, page []byte, later func(w http.ResponseWriter, req *http.Request)) *crowd.Page {
	t.Helper()
	p := r.origin.Page("/page", func(w http.ResponseWriter, req *http.Request, n int) {
		w.Header().Set("Cache-Control", cacheControl)
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		if n > 1 {
			later(w, req)
			return
		}
		_, _ = w.Write(page)
	})
	first := crowd.TallyOf(r.rush(t, everybody(1, crowd.Ask{Path: "/page", Content: page})))
	if first.Right != 1 {
		t.Fatalf("the object cannot be stored: %s", first.Faults())
	}
	<-time.After(2 * time.Second) // ages are whole seconds
	return p
}

// staleWhileRevalidate: everybody gets the stale object at once, one request renews it.
func staleWhileRevalidate(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	old, fresh := crowd.Content("old", 20<<10), crowd.Content("new", 20<<10)
	takes := harness.Size(*full, 2*time.Second, 5*time.Second)
	renewed := make(chan struct{})
	p := r.aging(t, "max-age=1, stale-while-revalidate=60", old, func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(takes)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"two"`)
		_, _ = w.Write(fresh)
		select {
		case <-renewed:
		default:
			close(renewed)
		}
	})
	row := report.Row("stale object with stale-while-revalidate; the new one takes the origin %v", takes)
	tally := allRight(t, row, r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: old})))
	if tally.Last >= takes {
		t.Errorf("somebody waited for the origin: the last answer came after %v", tally.Last)
	}
	await(t, renewed, "the object is renewed")
	<-time.After(joining())
	after := crowd.TallyOf(r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: fresh})))
	c := r.origin.Count(p)
	row.Origin(fmt.Sprint(c.Asked-1), "1")
	row.Note("nobody waited; afterwards %d of %d got the new one", after.Right, after.Clients)
	if c.Asked != 2 || after.Right != many() {
		t.Errorf("the origin was asked %d times in all; afterwards %d of %d got the new object; %s", c.Asked, after.Right, after.Clients, after.Faults())
	}
}

// staleRevalidated: a stale object that has to be asked for, and is still good.
func staleRevalidated(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, takes := crowd.Content("page", 20<<10), harness.Size(*full, 500*time.Millisecond, 2*time.Second)
	p := r.aging(t, "max-age=1", page, func(w http.ResponseWriter, req *http.Request) {
		<-time.After(takes)
		w.Header().Set("Cache-Control", "max-age=60")
		if req.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(page)
	})
	row := report.Row("stale object, still good: the origin answers 304 after %v", takes)
	tally := allRight(t, row, r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: page})))
	c := r.origin.Count(p)
	row.Origin(fmt.Sprintf("%d, conditional", c.Asked-1), "1")
	if c.Asked != 2 || c.Conditional != 1 || tally.First < takes {
		t.Errorf("the origin was asked %d times in all, %d of them conditional; the last first byte came after %v", c.Asked, c.Conditional, tally.First)
	}
}

// staleIfError: a stale object whose origin fails stands in for everybody.
func staleIfError(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, takes := crowd.Content("page", 20<<10), harness.Size(*full, 500*time.Millisecond, 2*time.Second)
	p := r.aging(t, "max-age=1, stale-if-error=60", page, func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(takes)
		http.Error(w, "broken", http.StatusInternalServerError)
	})
	row := report.Row("stale object with stale-if-error; the origin answers 500 after %v", takes)
	allRight(t, row, r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: page})))
	c := r.origin.Count(p)
	row.Origin(fmt.Sprint(c.Asked-1), "1")
	if c.Asked != 2 {
		t.Errorf("the origin was asked %d times in all", c.Asked)
	}
}

// maxRefreshes is the gateway's bound for background refreshes.
const maxRefreshes = 64

// refreshes: as many stale objects as clients, each asked for once. Nobody waits, and the origin sees a bounded number at a time.
func refreshes(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	n, hold := many(), make(chan struct{})
	var aged atomic.Bool
	asks := make([]crowd.Ask, n)
	for i := range asks {
		path := fmt.Sprintf("/page/%d", i)
		page := crowd.Content(path, 4<<10)
		asks[i] = crowd.Ask{Path: path, Content: page}
		r.origin.Page(path, func(w http.ResponseWriter, _ *http.Request, _ int) {
			if aged.Load() {
				<-hold
			}
			w.Header().Set("Cache-Control", "max-age=1, stale-while-revalidate=600")
			_, _ = w.Write(page)
		})
	}
	if first := crowd.TallyOf(r.rush(t, asks)); first.Right != n {
		t.Fatalf("of %d objects %d can be stored; %s", n, first.Right, first.Faults())
	}
	<-time.After(2500 * time.Millisecond)
	r.origin.Forget()
	aged.Store(true)
	row := report.Row("%d stale objects with stale-while-revalidate, each asked for twice; the origin holds every answer back", n)
	answers := [][]crowd.Answer{r.rush(t, asks), r.rush(t, asks)}
	<-time.After(joining())
	c := r.origin.All()
	close(hold)
	allRight(t, row, answers...)
	row.Origin(fmt.Sprintf("%d at the same time", c.Most), fmt.Sprintf("%d at the same time, nobody waits", maxRefreshes))
	if c.Most != maxRefreshes || c.Asked != c.Most {
		t.Errorf("%d refreshes at the same time, %d in all", c.Most, c.Asked)
	}
}
