package cluster_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/cluster"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

func purgeTable(where string) *cluster.Table {
	return &cluster.Table{Title: "Purges: " + where, Columns: []string{"what", "objects", "the answer says", "time until no gateway serves any", "remarks"}}
}

// shop is an origin of many pages with one tag, whose content tells when it was made.
type shop struct {
	*crowd.Origin
	version atomic.Int64
}

func newShop(t *testing.T, pages int) *shop {
	s := &shop{Origin: crowd.NewOrigin(t)}
	for i := range pages {
		s.Page(fmt.Sprint("/p", i), func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Surrogate-Key", fmt.Sprintf("all p%d", i))
			_, _ = fmt.Fprintf(w, "version %d", s.version.Load())
		})
	}
	return s
}

// each does something for every page at every gateway.
func each(gateways []*cluster.Gateway, pages int, do func(g *cluster.Gateway, page int)) {
	var all sync.WaitGroup
	for _, g := range gateways {
		for k := range 4 {
			all.Go(func() {
				for i := k; i < pages; i += 4 {
					do(g, i)
				}
			})
		}
	}
	all.Wait()
}

// old counts what is still served from before a version.
func old(t *testing.T, gateways []*cluster.Gateway, pages int, version int64) int64 {
	c := cluster.Client(t)
	var n atomic.Int64
	each(gateways, pages, func(g *cluster.Gateway, i int) {
		a := g.Get(c, fmt.Sprint("/p", i))
		if a.Err != nil || a.Status != 200 {
			t.Errorf("/p%d: %d, %v", i, a.Status, a.Err)
			return
		}
		if a.Body != fmt.Sprint("version ", version) {
			n.Add(1)
		}
	})
	return n.Load()
}

func purgeScenes() []scene {
	return []scene{
		{"by-tag", true, purgeByTag},
		{"cut-off-serve", false, func(t *testing.T, b *cluster.Table, _ place) { cutOff(t, b, "serve") }},
		{"cut-off-revalidate", false, func(t *testing.T, b *cluster.Table, _ place) { cutOff(t, b, "revalidate") }},
		{"restarted", true, restarted},
		{"writes", true, writes},
		{"redis-begins-empty", false, begunEmpty},
	}
}

func purgeByTag(t *testing.T, table *cluster.Table, at place) {
	pages := harness.Size(*full, 1000, 10000)
	s := newShop(t, pages)
	url, _ := at(t)
	f := cluster.StartFleet(t, s.URL, three, slices.Repeat([]string{url}, 3)...)
	f.WaitReady(t)
	if n := old(t, f.Gateways, pages, 0); n != 0 {
		t.Fatalf("%d pages are wrong", n)
	}
	if n := s.All().Asked; n != pages {
		t.Errorf("warming three gateways asked the origin %d times for %d pages", n, pages)
	}
	s.version.Store(1)
	began := time.Now()
	p := f.Gateways[0].Purge(t, `{"tag": "all"}`)
	told := time.Since(began)
	if len(p.Acknowledged) != 3 || len(p.Missing)+len(p.Lost) != 0 {
		t.Errorf("%d acknowledged, %d missing", len(p.Acknowledged), len(p.Missing))
	}
	if n := old(t, f.Gateways, pages, 1); n != 0 {
		t.Errorf("%d old pages were served after all had acknowledged", n)
	}
	table.Row("by tag", pages, fmt.Sprintf("%d of 3 acknowledged", len(p.Acknowledged)), seconds(told), "none was served afterwards: all were asked for at all three")

	s.version.Store(2)
	before := s.All().Asked
	p = f.Gateways[1].Purge(t, `{"tag": "p7", "soft": true}`)
	if len(p.Acknowledged) != 3 {
		t.Errorf("%d acknowledged", len(p.Acknowledged))
	}
	c := cluster.Client(t)
	if a := f.Gateways[2].Get(c, "/p7"); a.Body != "version 1" || !strings.Contains(a.Fields.Get("Cache-Status"), "purged-soft") {
		t.Errorf("softly purged: %q, %q", a.Body, a.Fields.Get("Cache-Status"))
	}
	for _, g := range f.Gateways {
		harness.Eventually(t, "the new page is there", 10*time.Second, func() bool { return g.Get(c, "/p7").Body == "version 2" })
	}
	asked := s.All().Asked - before
	table.Row("softly, one page", 1, fmt.Sprintf("%d of 3 acknowledged", len(p.Acknowledged)), "–", fmt.Sprintf("used until it was renewed; the origin was asked %d times", asked))
	if asked != 1 {
		t.Errorf("a soft purge of one page asked the origin %d times", asked)
	}
	s.version.Store(3)
	if out, err := exec.Command(harness.Binary(t), "purge", "-c", f.Gateways[0].File, "--tag", "p5").CombinedOutput(); err != nil || strings.Count(string(out), "acknowledged") != 3 {
		t.Errorf("tzero purge: %v\n%s", err, out)
	}
	for _, g := range f.Gateways {
		if a := g.Get(c, "/p5"); a.Body != "version 3" {
			t.Errorf("purged by the command, and %q is served", a.Body)
		}
	}
	if out, err := exec.Command(harness.Binary(t), "purge", "-c", f.Gateways[0].File).CombinedOutput(); err == nil || !strings.Contains(string(out), "cannot purge nothing") {
		t.Errorf("tzero purge without a target: %v\n%s", err, out)
	}
	for i, what := range []string{`{"url": "http://launch.example/p3"}`, `{"prefix": "launch.example/p4"}`, `{"all": true}`} {
		s.version.Store(int64(10 + i))
		f.Gateways[i].Purge(t, what)
		path := fmt.Sprint("/p", min(3+i, 4))
		for _, g := range f.Gateways {
			if a := g.Get(c, path); a.Body != fmt.Sprint("version ", 10+i) {
				t.Errorf("%s: %s is %q", what, path, a.Body)
			}
		}
	}
}

// One gateway is cut off from Redis while the others purge.
func cutOff(t *testing.T, table *cluster.Table, mode string) {
	if mode == "serve" && !*full {
		t.Skip("it takes half a minute: with -full")
	}
	const pages = 20
	s := newShop(t, pages)
	r := harness.StartRedis(t)
	nets := []*harness.Network{harness.NetworkTo(t, r.Addr), harness.NetworkTo(t, r.Addr)}
	config := "redis: {url: %q, on_partition: " + mode + "}\nlogging: {decisions: {enabled: false}}"
	f := cluster.StartFleet(t, s.URL, config, "redis://"+nets[0].Addr, "redis://"+nets[1].Addr)
	f.WaitReady(t)
	away := f.Gateways[1]
	old(t, f.Gateways, pages, 0)
	nets[1].Cut()
	cut := time.Now()
	s.version.Store(1)
	purged := make(chan cluster.Purged, 1)
	go func() { purged <- f.Gateways[0].Purge(t, `{"all": true}`) }()
	c := cluster.Client(t)
	bound := 3500 * time.Millisecond // three seconds until it knows, and some for the test to see it
	if mode == "serve" {
		bound += 30 * time.Second
	}
	var knows, last time.Duration
	for since := time.Duration(0); since < bound+2*time.Second; time.Sleep(20 * time.Millisecond) {
		since = time.Since(cut)
		if knows == 0 && away.Cluster(t).CutOff {
			knows = since
		}
		if away.Get(c, "/p3").Body == "version 0" {
			last = since
		} else if knows > 0 {
			break
		}
	}
	if knows == 0 || knows > 3200*time.Millisecond {
		t.Errorf("it knew after %s that it is cut off", knows)
	}
	if last > bound {
		t.Errorf("it served what was purged for %s", last)
	}
	p := <-purged
	if n := old(t, f.Gateways, pages, 1); n != 0 {
		t.Errorf("%d old pages after all had to be validated", n)
	}
	table.Row(fmt.Sprintf("one gateway cut off, on_partition: %s", mode), pages,
		fmt.Sprintf("%d acknowledged, %d missing, %d not heard of", len(p.Acknowledged), len(p.Missing), len(p.Lost)),
		seconds(last), fmt.Sprintf("it knew after %s", seconds(knows)))
	nets[1].Heal()
	harness.Eventually(t, "it is among the others again", 20*time.Second, func() bool { return away.Cluster(t).Ready })
	if n := old(t, f.Gateways, pages, 1); n != 0 {
		t.Errorf("%d old pages after the network was healed", n)
	}
	if e := away.Cluster(t).Epoch; e != f.Gateways[0].Cluster(t).Epoch {
		t.Errorf("the purge is not known: epoch %d", e)
	}
}

// A gateway that was away while the others purged does not take what was purged from Redis.
func restarted(t *testing.T, table *cluster.Table, at place) {
	const pages = 50
	s := newShop(t, pages)
	url, _ := at(t)
	f := cluster.StartFleet(t, s.URL, three, url, url)
	f.WaitReady(t)
	old(t, f.Gateways, pages, 0)
	f.Gateways[1].Kill()
	s.version.Store(1)
	p := f.Gateways[0].Purge(t, `{"tag": "all"}`)
	f.Gateways[1].Again(t)
	if n := old(t, f.Gateways, pages, 1); n != 0 {
		t.Errorf("%d old pages, some from Redis", n)
	}
	table.Row("one gateway killed, and started after the purge", pages,
		fmt.Sprintf("%d acknowledged, %d missing, %d not heard of", len(p.Acknowledged), len(p.Missing), len(p.Lost)), "–", "it never served any of them")
}

// A write through one gateway makes the page void at all.
func writes(t *testing.T, table *cluster.Table, at place) {
	s := newShop(t, 0)
	s.Page("/cart", func(w http.ResponseWriter, r *http.Request, n int) {
		if r.Method == http.MethodPost {
			s.version.Add(1)
			w.WriteHeader(204)
			return
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = fmt.Fprintf(w, "version %d", s.version.Load())
	})
	url, _ := at(t)
	f := cluster.StartFleet(t, s.URL, three, slices.Repeat([]string{url}, 3)...)
	f.WaitReady(t)
	c := cluster.Client(t)
	for _, g := range f.Gateways {
		if a := g.Get(c, "/cart"); a.Body != "version 0" {
			t.Fatalf("got %q", a.Body)
		}
	}
	req, err := http.NewRequest(http.MethodPost, f.Gateways[2].URL+"/cart", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = cluster.Host
	res, err := c.Do(req)
	if err != nil || res.StatusCode != 204 {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
	wrote := time.Now()
	if a := f.Gateways[2].Get(c, "/cart"); a.Body != "version 1" {
		t.Errorf("the gateway that was written through serves %q", a.Body)
	}
	for _, g := range f.Gateways {
		harness.Eventually(t, "the write is known", 5*time.Second, func() bool { return g.Get(c, "/cart").Body == "version 1" })
	}
	table.Row("a POST through one gateway", 1, "–", seconds(time.Since(wrote)), "RFC 9111 §4.4, at all three")
}

// Redis is killed again and again, and comes back with nothing, while every gateway purges, fills and serves: what all have
// acknowledged is served by none.
func begunEmpty(t *testing.T, table *cluster.Table, _ place) {
	const tags = 6
	var versions [tags]atomic.Int64
	s := &shop{Origin: crowd.NewOrigin(t)}
	for i := range tags {
		s.Page(fmt.Sprint("/p", i), func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Surrogate-Key", fmt.Sprint("p", i))
			_, _ = fmt.Fprint(w, versions[i].Load())
		})
	}
	r := harness.StartRedis(t)
	f := cluster.StartFleet(t, s.URL, three, slices.Repeat([]string{r.URL()}, 3)...)
	f.WaitReady(t)
	c := cluster.Client(t)
	end := make(chan struct{})
	var all sync.WaitGroup
	var purges, complete, reads, stale atomic.Int64
	for i := range tags { // of one tag after the other, at one gateway after the other
		all.Go(func() {
			for n := int64(1); ; n++ {
				select {
				case <-end:
					return
				default:
				}
				versions[i].Store(n)
				p := f.Gateways[(int64(i)+n)%3].Purge(t, fmt.Sprintf(`{"tag": "p%d"}`, i))
				purges.Add(1)
				if !p.Everywhere() {
					continue
				}
				complete.Add(1)
				for range 3 {
					for _, g := range f.Gateways {
						a := g.Get(c, fmt.Sprint("/p", i))
						reads.Add(1)
						if got, _ := strconv.ParseInt(a.Body, 10, 64); a.Err != nil || got < n {
							stale.Add(1)
							t.Errorf("/p%d at %s is %q (%d, %v, %s) after version %d was purged as %d", i, g.URL, a.Body, a.Status, a.Err, a.Fields.Get("Cache-Status"), n, p.Epoch)
						}
					}
				}
			}
		})
	}
	times := harness.Size(*full, 3, 8)
	for range times {
		time.Sleep(time.Second)
		r.Restart()
		time.Sleep(3 * time.Second)
	}
	close(end)
	all.Wait()
	f.WaitReady(t)
	if complete.Load() < 100 || reads.Load() < 1000 {
		t.Errorf("only %d purges were complete, %d reads", complete.Load(), reads.Load())
	}
	table.Row(fmt.Sprintf("Redis killed %d times, and begun empty", times), tags, fmt.Sprintf("%d of %d purges acknowledged by all", complete.Load(), purges.Load()),
		"–", fmt.Sprintf("%d reads after those, %d of them old", reads.Load(), stale.Load()))
}
