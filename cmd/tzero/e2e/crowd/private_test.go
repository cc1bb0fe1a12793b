package crowd_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// visitors are requests that differ by a cookie, each of which is due content of its own.
func visitors(n int, path string) []crowd.Ask {
	asks := make([]crowd.Ask, n)
	for i := range asks {
		id := fmt.Sprintf("visitor-%d", i)
		asks[i] = crowd.Ask{Path: path, Fields: "Cookie: session=" + id + "\r\n", Content: crowd.Content(id, 2<<10)}
	}
	return asks
}

// personal answers each visitor for himself alone, after a while.
func personal(takes time.Duration) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, r *http.Request, _ int) {
		<-time.After(takes)
		w.Header().Set("Cache-Control", "private")
		id := ""
		if c, err := r.Cookie("session"); err == nil {
			id = c.Value
		}
		_, _ = w.Write(crowd.Content(id, 2<<10))
	}
}

// private: the answer proves private. Everybody gets his own, and the next crowd does not wait for a leader.
func private(t *testing.T, report *crowd.Report) {
	ownAnswers(t, report, many())
}

// privateFewConnections: the same, and the origin is asked by no more at a time than its pool allows.
func privateFewConnections(t *testing.T, report *crowd.Report) {
	ownAnswers(t, report, many()/4)
}

func ownAnswers(t *testing.T, report *crowd.Report, connections int) {
	n := many()
	r := start(t, connections, "")
	takes := harness.Size(*full, 300*time.Millisecond, time.Second)
	turns := (n + connections - 1) / connections // of the pool, for a crowd
	p := r.origin.Page("/page", personal(takes))
	slack := 4 * time.Second // for the machine: a thousand requests each way, and others who use it

	first := report.Row("the answer proves private; it takes the origin %v, with %d connections to it", takes, connections)
	tally := allRight(t, first, r.rush(t, visitors(n, "/page")))
	count := r.origin.Count(p)
	first.Origin(fmt.Sprint(count.Asked), fmt.Sprintf("%d: each his own", n))
	first.Note("%d at the origin at the same time; bound in time: the leader, then %d × the origin's time, and %v", count.Most, turns, slack)
	if count.Asked != n || count.Most > connections {
		t.Errorf("the origin was asked %d times, by %d at a time of %d", count.Asked, count.Most, connections)
	}
	if most := time.Duration(1+turns)*takes + slack; tally.Last > most {
		t.Errorf("the crowd took %v, bound %v", tally.Last, most)
	}

	r.origin.Forget()
	r.origin.Together(p, connections)
	second := report.Row("the next crowd for that page")
	tally = allRight(t, second, r.rush(t, visitors(n, "/page")))
	count = r.origin.Count(p)
	second.Origin(fmt.Sprint(count.Asked), fmt.Sprintf("%d: each his own", n))
	second.Note("%d at the origin at the same time, expected %d: nobody waits for a leader; %.1f × the origin's time, which the connections make %d", count.Most, connections, tally.Last.Seconds()/takes.Seconds(), turns)
	if count.Asked != n || count.Most != connections {
		t.Errorf("the second crowd: the origin was asked %d times, by %d at a time of %d", count.Asked, count.Most, connections)
	}
	if most := time.Duration(turns)*takes + slack; tally.Last > most {
		t.Errorf("the second crowd took %v, bound %v", tally.Last, most)
	}
}
