package crowd_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// slowOrigin: everybody asks for a cold object at once, and the origin takes its time.
func slowOrigin(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	takes := harness.Size(*full, time.Second, 5*time.Second)
	page := crowd.Content("page", 20<<10)
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-time.After(takes)
		stored(w, page)
	})
	asks := everybody(many(), crowd.Ask{Path: "/page", Content: page})
	for i := range asks {
		if i%2 == 0 {
			asks[i].Fields = fmt.Sprintf("Cookie: theme=dark; visitor=%d\r\n", i)
		}
	}
	row := report.Row("cold object; the origin takes %v; half of the clients have cookies", takes)
	tally := allRight(t, row, r.rush(t, asks))
	r.askedAtMost(t, row, p, 1)
	if tally.Last > takes+2*time.Second {
		t.Errorf("the last one was answered after %v", tally.Last)
	}
}

// quickOrigin: the crowd is still arriving when the object does, and while it becomes visible in memory.
func quickOrigin(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	const objects = 5
	page := crowd.Content("page", harness.Size(*full, 256<<10, 1<<20))
	row := report.Row("%d cold objects of %d KiB, a crowd for each; the origin answers at once", objects, len(page)>>10)
	var all [][]crowd.Answer
	for i := range objects {
		path := fmt.Sprintf("/page/%d", i)
		r.origin.Page(path, func(w http.ResponseWriter, _ *http.Request, _ int) { stored(w, page) })
		all = append(all, r.rush(t, everybody(many(), crowd.Ask{Path: path, Content: page})))
	}
	allRight(t, row, all...)
	c := r.origin.All()
	row.Origin(strconv.Itoa(c.Asked), strconv.Itoa(objects))
	if c.Asked != objects {
		t.Errorf("the origin was asked %d times for %d objects", c.Asked, objects)
	}
}

// streams: followers read along, their first byte comes before the leader's last.
func streams(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	takes := harness.Size(*full, 2*time.Second, 10*time.Second)
	page := crowd.Content("streamed", 60<<10)
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		stream(w, page, 20, takes)
	})
	row := report.Row("cold object; the origin streams it for %v", takes)
	tally := allRight(t, row, r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: page})))
	r.askedAtMost(t, row, p, 1)
	if tally.Leaders != 1 || tally.Followers != many()-1 || tally.FollowerFirst >= tally.LeaderLast {
		t.Errorf("%d led and %d followed; first byte of the last follower after %v, last byte of the leader after %v",
			tally.Leaders, tally.Followers, tally.FollowerFirst, tally.LeaderLast)
	}
}

// leaderLeavesEarly: who was elected hangs up before the origin has answered.
func leaderLeavesEarly(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, answer := crowd.Content("page", 20<<10), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-answer
		stored(w, page)
	})
	row := report.Row("the leader's client leaves before the head")
	ask := crowd.Ask{Path: "/page", Content: page}
	leader, followers := r.led(t, p, ask, everybody(many(), ask))
	<-time.After(joining())
	leader.Drop(0)
	<-time.After(joining()) // the gateway may notice
	close(answer)
	allRight(t, row, followers.Wait())
	r.askedAtMost(t, row, p, 1)
	if left := leader.Wait()[0]; left.Wrong != "no answer: left" {
		t.Errorf("the leader did not leave in time: %+v", left)
	}
}

// leaderLeavesLate: who was elected hangs up while the content arrives.
func leaderLeavesLate(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, more := crowd.Content("streamed", 60<<10), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		stream(w, page[:len(page)/2], 2, 0)
		<-more
		stream(w, page[len(page)/2:], 2, 0)
	})
	row := report.Row("the leader's client leaves in the middle")
	ask := crowd.Ask{Path: "/page", Content: page}
	leader, followers := r.led(t, p, ask, everybody(many(), ask))
	<-time.After(joining())
	leader.Drop(0)
	<-time.After(joining())
	close(more)
	allRight(t, row, followers.Wait())
	r.askedAtMost(t, row, p, 1)
	if left := leader.Wait()[0]; left.Wrong != "cut: left" {
		t.Errorf("the leader did not leave in the middle: %+v", left)
	}
}

// leaderIsSlow: who was elected takes nothing of the content until everybody else has it.
func leaderIsSlow(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, wake, more := crowd.Content("large", 512<<10), make(chan struct{}), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		stream(w, page[:len(page)/2], 2, 0)
		<-more
		stream(w, page[len(page)/2:], 2, 0)
	})
	row := report.Row("the leader's client takes nothing of 512 KiB before all others have it")
	leader, followers := r.led(t, p, crowd.Ask{Path: "/page", Content: page, Slow: wake}, everybody(many(), crowd.Ask{Path: "/page", Content: page}))
	<-time.After(joining())
	close(more)
	others := followers.Wait()
	close(wake)
	tally := allRight(t, row, others, leader.Wait())
	r.askedAtMost(t, row, p, 1)
	if tally.Followers != many() {
		t.Errorf("%d of %d read along", tally.Followers, many())
	}
}

// slowReaders: a fifth of the crowd takes nothing for now; the others are as fast as without them.
func slowReaders(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page := crowd.Content("large", harness.Size(*full, 512<<10, 1<<20))
	answer := func(w http.ResponseWriter, _ *http.Request, _ int) { stored(w, page) }
	r.origin.Page("/alone", answer)
	p := r.origin.Page("/page", answer)
	fast := many() * 4 / 5
	alone := crowd.TallyOf(r.rush(t, everybody(fast, crowd.Ask{Path: "/alone", Content: page})))

	row := report.Row("%d KiB; a fifth of the clients takes nothing before all others have it", len(page)>>10)
	wake := make(chan struct{})
	slow := crowd.Gather(t, r.Addr, everybody(many()-fast, crowd.Ask{Path: "/page", Content: page, Slow: wake})...).Go()
	quick := r.rush(t, everybody(fast, crowd.Ask{Path: "/page", Content: page}))
	close(wake)
	allRight(t, row, quick, slow.Wait())
	r.askedAtMost(t, row, p, 1)
	beside := crowd.TallyOf(quick)
	row.Note("the fast ones: %.2f s, without the slow ones %.2f s, bound: twice that and a second", beside.Last.Seconds(), alone.Last.Seconds())
	if beside.Last > 2*alone.Last+time.Second {
		t.Errorf("fast clients took %v beside slow ones, %v without", beside.Last, alone.Last)
	}
}

// resetInTheMiddle: the origin breaks off. Nobody takes half for the whole, nobody hangs, nothing is stored.
func resetInTheMiddle(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	page, cut := crowd.Content("page", 60<<10), make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, n int) {
		if n > 1 {
			stored(w, page)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		_, _ = w.Write(page[:20<<10])
		_ = http.NewResponseController(w).Flush()
		<-cut
		crowd.Reset(w)
	})
	row := report.Row("the origin resets in the middle")
	all := crowd.Gather(t, r.Addr, everybody(many(), crowd.Ask{Path: "/page", Content: page, Cut: true})...).Go()
	<-time.After(joining())
	close(cut)
	allRight(t, row, all.Wait())
	r.askedAtMost(t, row, p, 1)
	again := crowd.TallyOf(r.rush(t, everybody(many(), crowd.Ask{Path: "/page", Content: page})))
	count := r.origin.Count(p)
	row.Note("a second crowd, the origin well again: asked once more, %d of %d answered right", again.Right, again.Clients)
	if again.Right != many() || count.Asked != 2 {
		t.Errorf("afterwards the origin was asked %d times in all, %d answered right; %s", count.Asked, again.Right, again.Faults())
	}
}

// resetBeforeTheHead: the origin hangs up on whoever asks.
func resetBeforeTheHead(t *testing.T, report *crowd.Report) {
	r := start(t, 0, "")
	hang := make(chan struct{})
	p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-hang
		crowd.Reset(w)
	})
	row := report.Row("the origin hangs up without an answer")
	all := crowd.Gather(t, r.Addr, everybody(many(), crowd.Ask{Path: "/page", Status: http.StatusBadGateway})...).Go()
	<-time.After(joining())
	close(hang)
	allRight(t, row, all.Wait())
	r.askedAtMost(t, row, p, 4)
	row.Note("bound: the leader and one successor, each with one retry")
}

// fails: the origin answers 500. Everybody is told at once; but what a visitor with cookies is told is his own, and then
// the pool bounds what the origin has to bear.
func fails(t *testing.T, report *crowd.Report) {
	const connections = 50
	for _, c := range []struct {
		name, what, fields string
		bound              int
		why                string
	}{
		{"without-cookies", "the origin answers 500", "", 1, ""},
		{"with-cookies", "the origin answers 500; all clients have cookies; 50 connections to it", "Cookie: theme=dark\r\n", many(), ": a visitor's error is his own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := start(t, connections, "")
			answer := make(chan struct{})
			p := r.origin.Page("/page", func(w http.ResponseWriter, _ *http.Request, _ int) {
				<-answer
				http.Error(w, "broken", http.StatusInternalServerError)
			})
			row := report.Row("%s", c.what)
			all := crowd.Gather(t, r.Addr, everybody(many(), crowd.Ask{Path: "/page", Fields: c.fields, Status: http.StatusInternalServerError})...).Go()
			<-time.After(joining())
			close(answer)
			allRight(t, row, all.Wait())
			count := r.origin.Count(p)
			row.Origin(strconv.Itoa(count.Asked), strconv.Itoa(c.bound)+c.why)
			if count.Asked > c.bound || count.Asked == 0 || count.Most > connections {
				t.Errorf("the origin was asked %d times, bound %d, by %d at a time of %d", count.Asked, c.bound, count.Most, connections)
			}
		})
	}
}
