package crowd_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// varies: the answer depends on a request's field; one request for each of its values.
func varies(t *testing.T, report *crowd.Report) {
	languages := []string{"de", "en", "es", "fr", "it", "nl", "pl", "pt"}
	r := start(t, 0, "")
	takes := harness.Size(*full, 200*time.Millisecond, time.Second)
	p := r.origin.Page("/page", func(w http.ResponseWriter, req *http.Request, _ int) {
		<-time.After(takes)
		w.Header().Set("Vary", "Accept-Language")
		stored(w, crowd.Content(req.Header.Get("Accept-Language"), 8<<10))
	})
	asks := make([]crowd.Ask, many())
	for i := range asks {
		l := languages[i%len(languages)]
		asks[i] = crowd.Ask{Path: "/page", Fields: "Accept-Language: " + l + "\r\n", Content: crowd.Content(l, 8<<10)}
	}
	row := report.Row("cold object with Vary, %d variants; each takes the origin %v", len(languages), takes)
	allRight(t, row, r.rush(t, asks))
	r.askedAtMost(t, row, p, len(languages))
}

// codings: clients that take different codings, and an origin that does not compress.
func codings(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, answer := crowd.Content("text", 40<<10), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-answer
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(page)
	})
	accept := []string{"gzip, deflate, br, zstd", "gzip", "br", "zstd", "br;q=0.5, gzip", "identity", ""}
	asks := make([]crowd.Ask, many())
	for i := range asks {
		asks[i] = crowd.Ask{Path: "/page", Content: page}
		if a := accept[i%len(accept)]; a != "" {
			asks[i].Fields = "Accept-Encoding: " + a + "\r\n"
		}
	}
	row := report.Row("cold object; the clients' Accept-Encoding has %d forms", len(accept))
	all := crowd.Gather(t, r.Addr, asks...).Go()
	<-time.After(joining())
	close(answer)
	allRight(t, row, all.Wait())
	r.askedAtMost(t, row, p, 1)
}

// headsBesideAFill: while the object arrives, half of those who come ask with HEAD.
func headsBesideAFill(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, more := crowd.Content("page", 60<<10), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		stream(w, page[:len(page)/2], 2, 0)
		<-more
		stream(w, page[len(page)/2:], 2, 0)
	})
	leader := crowd.Gather(t, r.Addr, crowd.Ask{Path: "/page", Content: page}).Go()
	await(t, p.Asked(), "the leader's request reaches the origin")
	<-time.After(joining()) // the head arrives
	row := report.Row("GET and HEAD in turn, while the object arrives")
	others := crowd.Gather(t, r.Addr, getAndHead(many(), page)...).Go()
	<-time.After(joining())
	close(more)
	allRight(t, row, others.Wait(), leader.Wait())
	r.askedAtMost(t, row, p, 1)
}

// headsCold: nothing is stored, nothing is under way. What fills the cache is a GET; a HEAD asks for itself.
func headsCold(t *testing.T, report *crowd.Report) {
	r := start(t, many(), "")
	page := crowd.Content("page", 60<<10)
	takes := harness.Size(*full, 500*time.Millisecond, time.Second)
	p := r.origin.Page("/page", func(w http.ResponseWriter, req *http.Request, _ int) {
		<-time.After(takes)
		stored(w, page)
	})
	n := many()
	row := report.Row("cold object; GET and HEAD in turn; the origin takes %v", takes)
	tally := allRight(t, row, r.rush(t, getAndHead(n, page)))
	c := r.origin.Count(p)
	row.Origin(fmt.Sprintf("%d GET, %d HEAD", c.Asked-c.Heads, c.Heads), fmt.Sprintf("1 GET, %d HEAD: a HEAD of what is not there asks for itself", n/2))
	if c.Asked-c.Heads != 1 || c.Heads > n/2 {
		t.Errorf("the origin was asked %d times, %d of them by HEAD", c.Asked, c.Heads)
	}
	if tally.Last > takes+2*time.Second {
		t.Errorf("the last one was answered after %v", tally.Last)
	}
}

func getAndHead(n int, page []byte) []crowd.Ask {
	asks := everybody(n, crowd.Ask{Path: "/page", Content: page})
	for i := 1; i < n; i += 2 {
		asks[i].Method = http.MethodHead
	}
	return asks
}
