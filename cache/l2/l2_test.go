package l2_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	leases "github.com/tzero-edge/tzero/cache/flight/redis"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/cache/l2"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// origin is an app that several nodes stand before.
type origin struct {
	asked  atomic.Int64
	answer func(n int64, fetch field.List) (cache.Head, cache.Body, error)
}

// node is a gateway in miniature.
type node struct {
	t      testing.TB
	c      *cache.Cache
	l2     *l2.Tier
	leases *leases.Leases
	policy *cache.Policy
	origin *origin
	end    func()
}

func start(t testing.TB, url string, o *origin, change func(*cache.RouteConfig)) *node {
	t.Helper()
	rc := tzredis.Default()
	rc.URL = conf.NewSecret(url)
	rc.ReadBudget, rc.LeaseBudget = conf.Duration(200*time.Millisecond), conf.Duration(200*time.Millisecond) // the detector is slow
	r, err := tzredis.Open(rc, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := l2.Default()
	cfg.MaxObject = 64 << 10
	tier, err := l2.New(l2.Options{Reads: r.Client(tzredis.Reads), Writes: r.Client(tzredis.Writes), Keys: r.Keys(), Config: cfg,
		Node: tzredis.NewNodeID(), MaxBody: 8 << 20, Random: rand.Uint64, There: func() bool { return r.There(tzredis.Reads) }})
	if err != nil {
		t.Fatal(err)
	}
	ls := leases.New(leases.Options{Client: r.Client(tzredis.Leases), Bus: r.Client(tzredis.Bus), Keys: r.Keys(), TTL: time.Second,
		StampSize: l2.StampSize, Random: rand.Uint64, There: func() bool { return r.There(tzredis.Leases) }})
	memory, err := l1.New(32<<20, 0)
	if err != nil {
		t.Fatal(err)
	}
	cc := cache.Default()
	cc.Jitter = 0
	c := cache.New(cc, memory)
	c.Share(cache.Sharing{Tier: tier, Leases: ls, Wait: 10 * time.Second, Ready: func() bool { return true }})
	route := cache.DefaultRoute()
	if change != nil {
		change(&route)
	}
	policy, err := route.Compile()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	running.Go(func() { _ = tier.Run(ctx) })
	running.Go(func() { _ = ls.Run(ctx) })
	n := &node{t: t, c: c, l2: tier, leases: ls, policy: policy, origin: o}
	var once sync.Once
	n.end = func() {
		once.Do(func() {
			grace, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			if err := c.Close(grace); err != nil {
				t.Error(err)
			}
			stop()
			running.Wait()
			r.Close()
		})
	}
	t.Cleanup(n.end)
	return n
}

func list(lines ...string) field.List {
	var l field.List
	for _, s := range lines {
		name, value, _ := strings.Cut(s, ":")
		l.AddString(name, strings.TrimSpace(value))
	}
	return l
}

// body is content that arrives after a while.
type body struct {
	*strings.Reader
	wait time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	b.wait = 0
	return b.Reader.Read(p)
}
func (b *body) Ready() bool  { return b.wait == 0 }
func (b *body) Done() bool   { return true }
func (b *body) Close() error { return nil }

func page(text string, lines ...string) (cache.Head, cache.Body, error) {
	return cache.Head{Status: 200, Fields: list(lines...), Length: int64(len(text))}, &body{Reader: strings.NewReader(text)}, nil
}

// answer is what a request got, and how.
type answer struct {
	how  string // hit, stale, shared, led, joined, alone
	body string
	age  time.Duration
	left time.Duration
}

// get takes a request through the journey.
func (n *node) get(path string, lines ...string) answer {
	n.t.Helper()
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.test"), Path: []byte(path), Policy: n.policy, Fields: list(lines...)}
	for range 4 {
		res := n.c.Lookup(q, time.Now())
		run := func(q *cache.Request, res *cache.Result) (*cache.Fill, error) { return n.fetch(q, res) }
		switch res.Verdict {
		case cache.Hit, cache.Stale:
			if res.Refresh {
				n.c.Refresh(q, &res, run)
			}
			return answer{res.Verdict.String(), string(res.Object.Body()), res.Age, res.Left}
		case cache.Follow:
			return n.read("joined", res.Fill)
		case cache.Alone:
			return n.alone(q, &res)
		}
		f, turn, err := n.c.Lead(q, &res, func() (*cache.Fill, error) { return run(q, &res) })
		switch turn {
		case cache.Led:
			if err != nil {
				return answer{how: "failed"}
			}
			if f.State() == cache.Uncacheable {
				return answer{how: "led-private"}
			}
			return n.read("led", f)
		case cache.Joined:
			return n.read("joined", f)
		case cache.FromShared:
			if res.Refresh {
				n.c.Refresh(q, &res, run)
			}
			return answer{"shared", string(res.Object.Body()), res.Age, res.Left}
		case cache.OnYourOwn:
			return n.alone(q, &res)
		}
	}
	return n.alone(q, &cache.Result{})
}

func (n *node) alone(q *cache.Request, res *cache.Result) answer {
	_, b, err := n.origin.answer(n.origin.asked.Add(1), q.Fields)
	if err != nil {
		return answer{how: "failed"}
	}
	text, _ := io.ReadAll(b)
	return answer{how: "alone", body: string(text)}
}

func (n *node) fetch(q *cache.Request, res *cache.Result) (*cache.Fill, error) {
	fetch := q.Fields.Clone()
	res.AppendConditions(&fetch, q.Fields)
	asked := time.Now()
	head, b, err := n.origin.answer(n.origin.asked.Add(1), fetch)
	if err != nil {
		if ok, reason := q.OnFailure(res, 1, time.Now()); ok {
			return n.c.ServeStale(q, res, reason), nil
		}
		return nil, err
	}
	if head.Status == 304 && res.Validating() {
		return n.c.Freshen(q, res, head, asked, time.Now()), nil
	}
	return n.c.Begin(q, res, head, b, asked, time.Now()), nil
}

func (n *node) read(how string, f *cache.Fill) answer {
	r := f.Reader(nil)
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return answer{how: how + " " + err.Error()}
	}
	return answer{how: how, body: string(text)}
}

func (n *node) is(got answer, how, body string) {
	n.t.Helper()
	if got.how != how || got.body != body {
		n.t.Errorf("got %q by %s, want %q by %s", got.body, got.how, body, how)
	}
}

func stored(n *node, want uint64) {
	n.t.Helper()
	harness.Eventually(n.t, "it is stored for all", 10*time.Second, func() bool { return n.l2.Stats().Stored >= want })
}

func always(text string, lines ...string) *origin {
	o := &origin{}
	o.answer = func(n int64, _ field.List) (cache.Head, cache.Body, error) {
		return page(fmt.Sprint(text, n), lines...)
	}
	return o
}

func TestWhatOneFetchedAnswersAll(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=100", "Content-Type: text/html", "Age: 10")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "body 1")
	stored(a, 1)
	time.Sleep(1100 * time.Millisecond)
	got := b.get("/")
	b.is(got, "shared", "body 1")
	if got.age < 11*time.Second || got.age > 14*time.Second {
		t.Errorf("it is %s old, want a little more than 11s", got.age)
	}
	if got.left < 80*time.Second || got.left >= 89*time.Second {
		t.Errorf("%s left in memory, want less than the 89s in Redis", got.left)
	}
	b.is(b.get("/"), "hit", "body 1")
	if n := o.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestCompressedBodies(t *testing.T) {
	server := harness.StartRedis(t)
	long := strings.Repeat("<p>all work and no play</p>", 4000)
	o := &origin{answer: func(int64, field.List) (cache.Head, cache.Body, error) {
		return page(long, "Cache-Control: max-age=100", "Content-Type: text/html")
	}}
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", long)
	stored(a, 1)
	b.is(b.get("/"), "shared", long)
	if s := a.l2.Stats(); s.BytesOut > 10000 || s.Saved < 90000 {
		t.Errorf("%d bytes written, %d saved", s.BytesOut, s.Saved)
	}
}

func TestVariants(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	o.answer = func(n int64, fetch field.List) (cache.Head, cache.Body, error) {
		return page("in "+string(fetch.Get("Accept-Language")), "Cache-Control: max-age=100", "Vary: Accept-Language")
	}
	a, b, c := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/", "Accept-Language: de"), "led", "in de")
	stored(a, 1)
	b.is(b.get("/", "Accept-Language: de"), "shared", "in de")
	b.is(b.get("/", "Accept-Language: fr"), "led", "in fr")
	stored(b, 1)
	a.is(a.get("/", "Accept-Language: fr"), "shared", "in fr")
	c.is(c.get("/", "Accept-Language: fr"), "shared", "in fr")
	c.is(c.get("/", "Accept-Language: de"), "shared", "in de")
	c.is(c.get("/", "Accept-Language: de"), "hit", "in de")
	if n := o.asked.Load(); n != 2 {
		t.Errorf("the origin was asked %d times for two languages", n)
	}
}

// A crowd at three nodes costs the origin one request, and everybody gets the page.
func TestACrowdAtThreeNodes(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	o.answer = func(n int64, _ field.List) (cache.Head, cache.Body, error) {
		time.Sleep(100 * time.Millisecond)
		h, _, _ := page("slow", "Cache-Control: max-age=100")
		return h, &body{Reader: strings.NewReader("slow"), wait: 300 * time.Millisecond}, nil
	}
	nodes := []*node{start(t, server.URL(), o, nil), start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)}
	var all sync.WaitGroup
	for i := range 150 {
		all.Go(func() {
			if got := nodes[i%3].get("/"); got.body != "slow" {
				t.Errorf("got %q by %s", got.body, got.how)
			}
		})
	}
	all.Wait()
	if n := o.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestPrivateAnswersAreNotWaitedFor(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	o.answer = func(n int64, _ field.List) (cache.Head, cache.Body, error) {
		time.Sleep(200 * time.Millisecond)
		return page("mine", "Cache-Control: private")
	}
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	began := time.Now()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() { []*node{a, b}[i%2].get("/") })
	}
	all.Wait()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("twenty private answers of 200ms took %s", took)
	}
}

// What is larger than Redis shall hold is fetched once by each node, at the same time.
func TestTooLargeToShare(t *testing.T) {
	server := harness.StartRedis(t)
	large := strings.Repeat("x", 1<<20)
	o := &origin{answer: func(int64, field.List) (cache.Head, cache.Body, error) {
		return page(large, "Cache-Control: max-age=100", "Content-Encoding: gzip")
	}}
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", large)
	harness.Eventually(t, "it is found too large", 5*time.Second, func() bool { return a.l2.Stats().TooLarge == 1 })
	b.is(b.get("/"), "led", large)
	b.is(b.get("/"), "hit", large)
	if n := o.asked.Load(); n != 2 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// A stale copy of one node is validated, and stands in for an origin that is down, at another that never had it.
func TestStaleAcrossNodes(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	o.answer = func(n int64, fetch field.List) (cache.Head, cache.Body, error) {
		switch n {
		case 1:
			return page("first", "Cache-Control: max-age=1, stale-if-error=60", `ETag: "1"`)
		case 2:
			if string(fetch.Get("If-None-Match")) != `"1"` {
				return page("not asked with a validator", "Cache-Control: no-store")
			}
			return cache.Head{Status: 304, Fields: list("Cache-Control: max-age=1, stale-if-error=60", `ETag: "1"`)}, &body{Reader: strings.NewReader("")}, nil
		}
		return cache.Head{}, nil, fmt.Errorf("down")
	}
	a, b, c := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "first")
	stored(a, 1)
	time.Sleep(1200 * time.Millisecond)
	b.is(b.get("/"), "led", "first")
	stored(b, 1)
	if n := o.asked.Load(); n != 2 {
		t.Fatalf("the origin was asked %d times", n)
	}
	time.Sleep(1200 * time.Millisecond)
	c.is(c.get("/"), "led", "first")
	if n := o.asked.Load(); n != 3 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestWhileRevalidatingAcrossNodes(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=1, stale-while-revalidate=60")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "body 1")
	stored(a, 1)
	time.Sleep(1200 * time.Millisecond)
	b.is(b.get("/"), "shared", "body 1") // stale, and renewed
	stored(b, 1)
	harness.Eventually(t, "a has the new one", 5*time.Second, func() bool { return a.get("/").body == "body 2" })
	if n := o.asked.Load(); n > 3 {
		t.Errorf("the origin was asked %d times", n)
	}
}

func TestPurgedIsNotTakenFromTheTier(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=100", "Surrogate-Key: news")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "body 1")
	stored(a, 1)
	for _, n := range []*node{a, b} {
		n.c.Epochs().Apply(purge.Purge{Seq: 1, Kind: purge.Hard, Cells: []purge.Cell{purge.Tag([]byte("news"))}})
	}
	b.is(b.get("/"), "led", "body 2")
	stored(b, 1)
	a.is(a.get("/"), "shared", "body 2")
	a.is(a.get("/"), "hit", "body 2")
}

func TestWritesReachTheTier(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=100")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "body 1")
	stored(a, 1)
	sub := server.Client().Subscribe(context.Background(), tzredis.Keys{}.Bus())
	defer sub.Close()
	if _, err := sub.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.test"), Path: []byte("/"), Policy: a.policy}
	a.c.Invalidate(q, time.Now())
	select {
	case m := <-sub.Channel():
		w, ok := l2.ReadWritten([]byte(m.Payload))
		if !ok || w.Wait != 0 {
			t.Fatalf("told %q", m.Payload)
		}
		b.c.Voided(w.Primary, w.Wait, time.Now())
	case <-time.After(5 * time.Second):
		t.Fatal("the write was not told")
	}
	b.is(b.get("/"), "led", "body 2")
	stored(b, 1)
	a.is(a.get("/"), "shared", "body 2")
}

// An answer from before a write on another node is not stored after it.
func TestTheFence(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	gate := make(chan struct{})
	o.answer = func(n int64, _ field.List) (cache.Head, cache.Body, error) {
		if n == 1 {
			<-gate
		}
		return page(fmt.Sprint("body ", n), "Cache-Control: max-age=100")
	}
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	done := make(chan answer)
	go func() { done <- a.get("/") }()
	harness.Eventually(t, "a asks", 5*time.Second, func() bool { return o.asked.Load() == 1 })
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.test"), Path: []byte("/"), Policy: a.policy}
	b.c.Invalidate(q, time.Now())
	harness.Eventually(t, "the write is told", 5*time.Second, func() bool {
		return server.Client().Get(context.Background(), tzredis.Keys{}.Fence(tzredis.Tag(primary("/")))).Val() != ""
	})
	close(gate)
	a.is(<-done, "led", "body 1")
	harness.Eventually(t, "it is held off", 5*time.Second, func() bool { return a.l2.Stats().Fenced == 1 })
	b.is(b.get("/"), "led", "body 2")
}

// A node that did not hear of a write does not bring back what the write made void: responses to other languages, under the
// record that it still knows.
func TestAFamilyFromBeforeAWrite(t *testing.T) {
	server := harness.StartRedis(t)
	o := &origin{}
	o.answer = func(n int64, fetch field.List) (cache.Head, cache.Body, error) {
		return page(fmt.Sprint(string(fetch.Get("Accept-Language")), " ", n), "Cache-Control: max-age=100", "Vary: Accept-Language")
	}
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/", "Accept-Language: de"), "led", "de 1")
	stored(a, 1)
	b.is(b.get("/", "Accept-Language: de"), "shared", "de 1")
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.test"), Path: []byte("/"), Policy: a.policy}
	a.c.Invalidate(q, time.Now())
	harness.Eventually(t, "the write is told", 5*time.Second, func() bool {
		return server.Client().Exists(context.Background(), tzredis.Keys{}.Fence(tzredis.Tag(primary("/")))).Val() == 1
	})
	time.Sleep(20 * time.Millisecond)                      // a takes what came within a millisecond of the write for older
	b.is(b.get("/", "Accept-Language: fr"), "led", "fr 2") // nobody told b
	stored(b, 1)
	a.is(a.get("/", "Accept-Language: fr"), "shared", "fr 2")
	a.is(a.get("/", "Accept-Language: de"), "led", "de 3")
}

func primary(path string) []byte {
	var b []byte
	for _, s := range []string{"https", "shop.test", path, ""} {
		b = append(append(b, 0, 0, 0, byte(len(s))), s...)
	}
	return b
}

func TestRubbishIsAMiss(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=100")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	c, ctx := server.Client(), context.Background()
	a.is(a.get("/"), "led", "body 1")
	stored(a, 1)
	key := tzredis.Keys{}.Object(tzredis.Tag(primary("/")))
	good, err := c.Get(ctx, key).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := tzredis.Keys{}.Object(tzredis.Tag(primary("/other")))
	c.Set(ctx, elsewhere, good, time.Minute) // another page's
	b.is(b.get("/other"), "led", "body 2")
	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	c.Set(ctx, key, bad, time.Minute)
	b.is(b.get("/"), "led", "body 3")
	for i, rubbish := range []string{"x", strings.Repeat("y", 3000), strings.Repeat("z", 1<<20)} {
		path := fmt.Sprint("/r", i)
		c.Set(ctx, tzredis.Keys{}.Object(tzredis.Tag(primary(path))), rubbish, time.Minute)
		if got := b.get(path); got.how != "led" {
			t.Errorf("rubbish %d: %s", i, got.how)
		}
	}
	c.HSet(ctx, tzredis.Keys{}.Object(tzredis.Tag(primary("/hash"))), "a", "b")
	if got := b.get("/hash"); got.how != "led" {
		t.Errorf("another type: %s", got.how)
	}
	if s := b.l2.Stats(); s.Corrupt == 0 || s.Foreign == 0 {
		t.Errorf("%d corrupt, %d foreign", s.Corrupt, s.Foreign)
	}
}

func TestRedisAway(t *testing.T) {
	server := harness.StartRedis(t)
	o := always("body ", "Cache-Control: max-age=100")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	server.Kill()
	a.is(a.get("/"), "led", "body 1")
	b.is(b.get("/"), "led", "body 2")
	a.is(a.get("/"), "hit", "body 1")
	server.Restart()
	harness.Eventually(t, "the tier is used again", 15*time.Second, func() bool {
		path := fmt.Sprint("/", rand.Uint64())
		a.get(path)
		time.Sleep(100 * time.Millisecond)
		return b.get(path).how == "shared"
	})
}

func TestOutOfMemory(t *testing.T) {
	server := harness.StartRedis(t, "--maxmemory", "2mb", "--maxmemory-policy", "noeviction")
	c, ctx := server.Client(), context.Background()
	for i := 0; c.Set(ctx, fmt.Sprint("junk", i), strings.Repeat("x", 50<<10), 0).Err() == nil; i++ {
	}
	o := always("body ", "Cache-Control: max-age=100")
	a, b := start(t, server.URL(), o, nil), start(t, server.URL(), o, nil)
	a.is(a.get("/"), "led", "body 1")
	b.is(b.get("/"), "led", "body 2")
	a.is(a.get("/"), "hit", "body 1")
}
