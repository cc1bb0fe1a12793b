package cluster_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/cluster"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/crowd"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

var (
	full  = flag.Bool("full", false, "run the full sizes")
	write = flag.Bool("write", false, "write the pages under docs")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// three is the configuration of a gateway among others.
const three = "redis: {url: %q}\nlogging: {decisions: {enabled: false}}"

// stage is a fleet of three before an origin, with a Redis.
type stage struct {
	*cluster.Fleet
	origin *crowd.Origin
	redis  *harness.Redis
}

func newStage(t *testing.T, at place) *stage {
	t.Helper()
	s := &stage{origin: crowd.NewOrigin(t)}
	url, redis := at(t)
	s.redis = redis
	s.Fleet = cluster.StartFleet(t, s.origin.URL, three, slices.Repeat([]string{url}, 3)...)
	s.WaitReady(t)
	return s
}

// place starts the Redis of a case; the server itself where there is only one.
type place func(t *testing.T) (url string, server *harness.Redis)

func single(t *testing.T) (string, *harness.Redis) {
	r := harness.StartRedis(t)
	return r.URL(), r
}

func masters(t *testing.T) (string, *harness.Redis) {
	url, _ := harness.StartCluster(t)
	return url, nil
}

func sentinel(t *testing.T) (string, *harness.Redis) { return harness.StartSentinel(t).URL(), nil }

func ask(path string, content []byte) []crowd.Ask {
	return slices.Repeat([]crowd.Ask{{Path: path, Content: content}}, harness.Size(*full, 100, 1000))
}

func noise(n int) []byte {
	r := rand.NewChaCha8([32]byte{byte(n)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// keep writes content that all may have.
func keep(w http.ResponseWriter, content []byte) {
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content)
}

func slowly(w http.ResponseWriter, content []byte, over time.Duration) {
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Content-Type", "application/octet-stream")
	for part := range slices.Chunk(content, len(content)/10) {
		_, _ = w.Write(part)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(over / 10)
	}
}

func onefetchTable(where string) *cluster.Table {
	return &cluster.Table{Title: "One fetch for the whole cluster: " + where, Columns: []string{"what", "clients", "origin asked", "bound", "answered as due", "otherwise",
		"end of the leader's answer", "last answer begins elsewhere", "remarks"}}
}

// judge asserts the bound and that everybody got what was due, and enters the line.
func judge(t *testing.T, table *cluster.Table, what string, asked, least, most int, answers [][]crowd.Answer, remark string) {
	t.Helper()
	tally := crowd.TallyOf(answers...)
	leader, elsewhere := "–", "–"
	if tally.Leaders > 0 {
		leader = seconds(tally.LeaderLast)
	}
	var first time.Duration
	for _, a := range answers {
		led := slices.ContainsFunc(a, func(one crowd.Answer) bool { return one.Led() })
		for i := range a {
			if !led {
				first = max(first, a[i].First)
			}
		}
	}
	if first > 0 {
		elsewhere = seconds(first)
	}
	bound := fmt.Sprint(most)
	if least != most && least > 0 {
		bound = fmt.Sprintf("%d to %d", least, most)
	}
	table.Row(what, tally.Clients, asked, bound, tally.Right, tally.Faults(), leader, elsewhere, remark)
	if tally.Right != tally.Clients {
		t.Errorf("%s: of %d clients %d were answered as due: %s", what, tally.Clients, tally.Right, tally.Faults())
	}
	if asked < least || asked > most {
		t.Errorf("%s: the origin was asked %d times, want %s", what, asked, bound)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// scene is a case of one fetch. Those that are anywhere run on every kind of Redis.
type scene struct {
	name     string
	anywhere bool
	run      func(*testing.T, *cluster.Table, place)
}

func scenes() []scene {
	after := func(d time.Duration) func(http.ResponseWriter, []byte) {
		return func(w http.ResponseWriter, c []byte) { time.Sleep(d); keep(w, c) }
	}
	const quick = 300 * time.Millisecond
	long, stream := harness.Size(*full, 1500*time.Millisecond, 5*time.Second), harness.Size(*full, time.Second, 5*time.Second)
	return []scene{
		{"quick", true, cold("quick origin", after(quick), noise(4000), 1, 1)},
		{"slow", true, cold(fmt.Sprintf("origin takes %s", long), after(long), noise(4000), 1, 1)},
		{"streams", true, cold(fmt.Sprintf("origin streams for %s", stream), func(w http.ResponseWriter, c []byte) { slowly(w, c, stream) }, noise(100000), 1, 1)},
		{"large", true, cold("3 MiB, more than is shared", after(quick), noise(3<<20), 3, 3)},
		{"fails", true, fails},
		{"private", true, private},
		{"vary", true, varies},
		{"leader-killed", true, leaderKilled},
		{"redis-killed", false, redisKilled},
		{"no-redis", false, noRedis},
		{"while-stale", true, whileStale},
		{"if-error", true, ifError},
	}
}

func TestOneFetch(t *testing.T) {
	table := onefetchTable("one Redis")
	for _, c := range scenes() {
		t.Run(c.name, func(t *testing.T) { c.run(t, table, single) })
	}
	t.Logf("\n%s", table)
	purges := purgeTable("one Redis")
	for _, c := range purgeScenes() {
		t.Run(c.name, func(t *testing.T) { c.run(t, purges, single) })
	}
	t.Logf("\n%s", purges)
	tables := []*cluster.Table{table, purges}
	if *full {
		tables = append(tables, elsewhere(t, "a Redis Cluster of three masters", masters)...)
		tables = append(tables, elsewhere(t, "a master and a replica behind Sentinel", sentinel)...)
	}
	if *write && !t.Failed() {
		cluster.WritePage(t, "cluster.md", clusterPreface, tables...)
	}
}

// The same on the other kinds of Redis.
func TestOnCluster(t *testing.T) {
	if *full {
		t.Skip("it is part of the whole")
	}
	elsewhere(t, "a Redis Cluster of three masters", masters)
}

func TestBehindSentinel(t *testing.T) {
	if *full {
		t.Skip("it is part of the whole")
	}
	elsewhere(t, "a master and a replica behind Sentinel", sentinel)
}

func elsewhere(t *testing.T, name string, at place) []*cluster.Table {
	table, purges := onefetchTable(name), purgeTable(name)
	for _, c := range scenes() {
		if c.anywhere && (*full || !c.slow()) {
			t.Run(c.name, func(t *testing.T) { c.run(t, table, at) })
		}
	}
	for _, c := range purgeScenes() {
		if c.anywhere {
			t.Run(c.name, func(t *testing.T) { c.run(t, purges, at) })
		}
	}
	t.Logf("\n%s\n%s", table, purges)
	return []*cluster.Table{table, purges}
}

// slow cases run on one kind of Redis in every run, and on the others in the full one.
func (c scene) slow() bool {
	return slices.Contains([]string{"slow", "streams", "large", "fails", "leader-killed"}, c.name)
}

const clusterPreface = `# Three gateways as one

Generated by ` + "`make cluster`" + ` (package cmd/tzero/e2e/cluster), %s. The same cases run small in ` + "`make test`" + `, and again on a Redis Cluster of three masters and behind a Sentinel.

- Machine: %s.
- Versions: %s.
- Three gateways before one origin, one Redis 7.0, all on this machine. All clients of a line are connected before the first asks, and ask in the same moment.
- "Answered as due": the right status and, byte for byte, the right content. "Elsewhere" are the gateways whose clients did not lead.
- Times count from the moment at which the crowd was let go. Every bound is asserted.

`

func cold(what string, answer func(http.ResponseWriter, []byte), content []byte, least, most int) func(*testing.T, *cluster.Table, place) {
	return func(t *testing.T, table *cluster.Table, at place) {
		s := newStage(t, at)
		p := s.origin.Page("/cold", func(w http.ResponseWriter, _ *http.Request, _ int) { answer(w, content) })
		answers := s.Rush(t, ask("/cold", content))
		judge(t, table, what, s.origin.Count(p).Asked, least, most, answers, "")
	}
}

// A failing origin is asked once by each gateway, one after the other, and hands each crowd its error.
func fails(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	p := s.origin.Page("/fails", func(w http.ResponseWriter, _ *http.Request, _ int) {
		time.Sleep(300 * time.Millisecond)
		http.Error(w, "no", 500)
	})
	asks := slices.Repeat([]crowd.Ask{{Path: "/fails", Status: 500}}, harness.Size(*full, 100, 1000))
	answers := s.Rush(t, asks)
	judge(t, table, "origin answers 500", s.origin.Count(p).Asked, 1, 3, answers, "an error is handed to those who waited at the same gateway, and stored nowhere")
}

// A private answer is everybody's own; the next crowd knows it, and does not queue.
func private(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	p := s.origin.Page("/private", func(w http.ResponseWriter, _ *http.Request, _ int) {
		time.Sleep(200 * time.Millisecond)
		w.Header().Set("Cache-Control", "private")
		_, _ = w.Write([]byte("mine"))
	})
	asks := ask("/private", []byte("mine"))
	n := 3 * len(asks)
	answers := s.Rush(t, asks)
	judge(t, table, "private answers", s.origin.Count(p).Asked, n, n, answers, "each gets its own")
	began := time.Now()
	again := s.Rush(t, asks)
	judge(t, table, "the next crowd", s.origin.Count(p).Asked-n, n, n, again, "all done after "+seconds(time.Since(began)))
}

func varies(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	p := s.origin.Page("/vary", func(w http.ResponseWriter, r *http.Request, _ int) {
		time.Sleep(300 * time.Millisecond)
		w.Header().Set("Vary", "Accept-Language")
		keep(w, []byte("in "+r.Header.Get("Accept-Language")))
	})
	var asks []crowd.Ask
	for i := range harness.Size(*full, 100, 1000) {
		lang := []string{"de", "fr"}[i%2]
		asks = append(asks, crowd.Ask{Path: "/vary", Fields: "Accept-Language: " + lang + "\r\n", Content: []byte("in " + lang)})
	}
	answers := s.Rush(t, asks)
	judge(t, table, "two languages", s.origin.Count(p).Asked, 2, 2, answers, "")
}

// The gateway that fetches is killed: one of the others takes over when its lease has ended.
func leaderKilled(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	content := noise(4000)
	second := make(chan time.Time, 10)
	p := s.origin.Page("/killed", func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			<-r.Context().Done()
			return
		}
		second <- time.Now()
		time.Sleep(300 * time.Millisecond)
		keep(w, content)
	})
	crowd.Gather(t, s.Gateways[0].Addr, ask("/killed", content)...).Go()
	<-p.Asked()
	others := []*crowd.Crowd{crowd.Gather(t, s.Gateways[1].Addr, ask("/killed", content)...), crowd.Gather(t, s.Gateways[2].Addr, ask("/killed", content)...)}
	done := make(chan [][]crowd.Answer)
	go func() {
		answers := make([][]crowd.Answer, 2)
		other := make(chan []crowd.Answer)
		go func() { other <- others[1].Go().Wait() }()
		answers[0] = others[0].Go().Wait()
		answers[1] = <-other
		done <- answers
	}()
	time.Sleep(500 * time.Millisecond)
	killed := time.Now()
	s.Gateways[0].Kill()
	answers := <-done
	took := (<-second).Sub(killed)
	judge(t, table, "the leader's process is killed", s.origin.Count(p).Asked, 2, 2, answers, "its successor asks "+seconds(took)+" later; the lease lives 3 s")
}

func redisKilled(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	content := noise(4000)
	p := s.origin.Page("/redis", func(w http.ResponseWriter, r *http.Request, n int) {
		time.Sleep(2 * time.Second)
		keep(w, content)
	})
	go func() {
		<-p.Asked()
		time.Sleep(300 * time.Millisecond)
		s.redis.Kill()
	}()
	answers := s.Rush(t, ask("/redis", content))
	judge(t, table, "Redis is killed meanwhile", s.origin.Count(p).Asked, 1, 3, answers, "who waits for another gateway fetches for itself")
}

func noRedis(t *testing.T, table *cluster.Table, _ place) {
	s := &stage{origin: crowd.NewOrigin(t)}
	nowhere := fmt.Sprintf("redis://127.0.0.1:%d", harness.FreePort(t))
	s.Fleet = cluster.StartFleet(t, s.origin.URL, three, nowhere, nowhere, nowhere)
	content := noise(4000)
	p := s.origin.Page("/alone", func(w http.ResponseWriter, r *http.Request, n int) {
		time.Sleep(300 * time.Millisecond)
		keep(w, content)
	})
	answers := s.Rush(t, ask("/alone", content))
	judge(t, table, "Redis is away from the start", s.origin.Count(p).Asked, 3, 3, answers, "")
}

// Stale pages at all gateways are renewed by one fetch.
func whileStale(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	content := noise(4000)
	p := s.origin.Page("/stale", func(w http.ResponseWriter, r *http.Request, n int) {
		time.Sleep(100 * time.Millisecond)
		w.Header().Set("Cache-Control", "max-age=2, stale-while-revalidate=60")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	})
	c := cluster.Client(t)
	for _, g := range s.Gateways {
		g.Get(c, "/stale")
	}
	warm := s.origin.Count(p).Asked
	time.Sleep(2500 * time.Millisecond)
	answers := s.Rush(t, ask("/stale", content))
	time.Sleep(500 * time.Millisecond)
	judge(t, table, "stale at all three, to be renewed", s.origin.Count(p).Asked-warm, 1, 1, answers, "")
	if warm != 1 {
		t.Errorf("warming three gateways asked the origin %d times", warm)
	}
}

// A gateway that never had the page answers with another's stale copy when the origin fails.
func ifError(t *testing.T, table *cluster.Table, at place) {
	s := newStage(t, at)
	content := noise(4000)
	p := s.origin.Page("/error", func(w http.ResponseWriter, r *http.Request, n int) {
		if n > 1 {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Cache-Control", "max-age=1, stale-if-error=60")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	})
	c := cluster.Client(t)
	if a := s.Gateways[0].Get(c, "/error"); a.Status != 200 || !bytes.Equal([]byte(a.Body), content) {
		t.Fatalf("got %d", a.Status)
	}
	time.Sleep(1500 * time.Millisecond)
	answers := s.Rush(t, ask("/error", content))
	judge(t, table, "the origin fails, one gateway has a stale copy", s.origin.Count(p).Asked-1, 1, 30, answers, "all are answered with it")
}
