package crowd_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

const largeLimit = "cache: {max_object: 128KiB}\n"

// tooLargeAnnounced: the length says at once that the object is not kept. Everybody asks for himself, and nobody waits.
func tooLargeAnnounced(t *testing.T, report *crowd.Report) {
	n := many()
	r := start(t, n, largeLimit)
	page, takes := crowd.Content("large", 160<<10), harness.Size(*full, 500*time.Millisecond, time.Second)
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-time.After(takes)
		stored(w, page)
	})
	ask := everybody(n, crowd.Ask{Path: "/page", Content: page})
	row := report.Row("160 KiB, announced, max_object 128 KiB; the origin takes %v", takes)
	allRight(t, row, r.rush(t, ask))
	c := r.origin.Count(p)
	row.Origin(fmt.Sprint(c.Asked), fmt.Sprintf("%d: each his own", n))
	if c.Asked != n {
		t.Errorf("the origin was asked %d times", c.Asked)
	}
	r.origin.Forget()
	r.origin.Together(p, n)
	row = report.Row("the next crowd for that object")
	allRight(t, row, r.rush(t, ask))
	c = r.origin.Count(p)
	row.Origin(fmt.Sprint(c.Asked), fmt.Sprintf("%d: each his own", n))
	row.Note("%d at the origin at the same time, expected %d: nobody waits for a leader", c.Most, n)
	if c.Asked != n || c.Most != n {
		t.Errorf("the next crowd: the origin was asked %d times, by %d at a time", c.Asked, c.Most)
	}
}

// tooLargeUnannounced: the object outgrows the limit on its way. Who reads by then reads on, through a window; who takes
// nothing is cut and slows nobody. The origin leaves everybody the time to keep up: who does not, is cut as well.
func tooLargeUnannounced(t *testing.T, report *crowd.Report) {
	n := harness.Size(*full, 100, 1000)
	r := start(t, n, largeLimit)
	page, takes := crowd.Content("large", harness.Size(*full, 2<<20, 3<<20)), harness.Size(*full, 3*time.Second, 20*time.Second)
	more := make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		stream(w, page[:16<<10], 1, 0)
		<-more
		stream(w, page[16<<10:], 100, takes)
	})
	row := report.Row("%d MiB without a length, max_object 128 KiB, streamed for %v; one client takes nothing", len(page)>>20, takes)
	wake := make(chan struct{})
	slow := crowd.Gather(t, r.Addr, crowd.Ask{Path: "/page", Content: page, Slow: wake, Cut: true}).Go()
	all := crowd.Gather(t, r.Addr, everybody(n-1, crowd.Ask{Path: "/page", Content: page})...).Go()
	<-time.After(joining())
	close(more)
	others := all.Wait()
	close(wake)
	allRight(t, row, others, slow.Wait())
	r.askedAtMost(t, row, p, 1)
	row.Note("who takes nothing is cut")
}
