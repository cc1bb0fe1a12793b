package l2_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l2"
	"github.com/tzero-edge/tzero/cache/purge"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/internal/field"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

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
		n.c.Epochs().Apply(purge.Purge{Seq: 2, Kind: purge.Hard, Cells: []purge.Cell{purge.Tag([]byte("news"))}})
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
	time.Sleep(10 * time.Millisecond) // ages are milliseconds: what came within a few of the write may be from before it
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
