package l2

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// right is a lease that remembers how it ended.
type right struct {
	fence string
	ends  atomic.Int64
	last  atomic.Int64
}

func (r *right) Fence() string { return r.fence }
func (r *right) End(e cache.LeaseEnd) {
	r.last.Store(int64(e))
	r.ends.Add(1)
}

// ended waits for the end, and wants it once.
func (r *right) ended(t *testing.T, want cache.LeaseEnd) {
	t.Helper()
	harness.Eventually(t, "the lease is ended", 10*time.Second, func() bool { return r.ends.Load() > 0 })
	if n, e := r.ends.Load(), cache.LeaseEnd(r.last.Load()); n != 1 || e != want {
		t.Fatalf("ended %d times, with %d, want %d", n, e, want)
	}
}

// rig is a tier before a Redis of its own.
type rig struct {
	*Tier
	t      *testing.T
	server *harness.Redis
	client *redis.Client // of the tier
	direct *redis.Client // of the test
	stop   context.CancelFunc
	over   chan struct{} // Run has returned
}

// set makes one; its Run is for the test to begin.
func set(t *testing.T, args ...string) *rig {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	b := &rig{t: t, server: harness.StartRedis(t, args...), over: make(chan struct{})}
	const budget = 1500 * time.Millisecond // shorter than the time at the end
	b.client = redis.NewClient(&redis.Options{Addr: b.server.Addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: budget, ReadTimeout: budget, WriteTimeout: budget, PoolTimeout: budget, ContextTimeoutEnabled: true})
	t.Cleanup(func() { b.client.Close() })
	b.direct = b.server.Client()
	c := Default()
	c.MaxObject, c.Queue = 16<<10, 256<<10
	var err error
	b.Tier, err = New(Options{Reads: b.client, Writes: b.client, Config: c, Node: "0123456789abcdef", MaxBody: 1 << 20,
		Random: rand.Uint64, There: func() bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *rig) run() *rig {
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go func() {
		defer close(b.over)
		_ = b.Run(ctx)
	}()
	b.t.Cleanup(b.end)
	return b
}

func (b *rig) end() {
	b.stop()
	<-b.over
}

func (b *rig) object(key, body string) cache.Object { return attached(b.t, blob(key, body)) }

func attached(t *testing.T, blob []byte) cache.Object {
	t.Helper()
	o, ok := cache.Attach(blob, 0, time.Now())
	if !ok {
		t.Fatal("the test's object is none")
	}
	return o
}

// put offers an object under a lease.
func (b *rig) put(o cache.Object, fence string) *right {
	r := &right{fence: fence}
	b.Put(cache.Put{Object: o, Lease: r})
	return r
}

func (b *rig) get(key string) cache.Object {
	b.t.Helper()
	found, err := b.Get(context.Background(), []byte(key), [][]byte{[]byte(key)}, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	return found[0].Object
}

func (b *rig) fence(key string) string {
	return b.direct.Get(context.Background(), tzredis.Keys{}.Fence(tzredis.Tag([]byte(key)))).Val()
}

func (b *rig) void(key string, wait time.Duration) {
	b.t.Helper()
	before := b.fence(key)
	b.Void([]byte(key), wait)
	harness.Eventually(b.t, "the page has another fence", 10*time.Second, func() bool { return b.fence(key) != before })
}

// A fence that has ended and begun again does not let an answer pass that was asked for under the one before.
func TestAFenceNeverComesBack(t *testing.T) {
	b := set(t).run()
	b.void("page", 0)
	asked := b.fence("page")
	b.direct.Del(context.Background(), tzredis.Keys{}.Fence(tzredis.Tag([]byte("page")))) // its time is over
	b.void("page", 0)
	b.put(b.object("page", "from before the write"), asked).ended(t, cache.EndFailed)
	if b.Stats().Fenced != 1 || b.get("page").Exists() {
		t.Errorf("stored: %+v", b.Stats())
	}
	b.put(b.object("page", "from after it"), b.fence("page")).ended(t, cache.EndStored)
	if got := b.get("page"); !got.Exists() || string(got.Body()) != "from after it" {
		t.Errorf("got %q", got)
	}
}

// between runs what is given between the commands of the first pipeline.
type between struct {
	once sync.Once
	do   func()
}

func (h *between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			if err := next(ctx, []redis.Cmder{c}); err != nil {
				return err
			}
			h.once.Do(h.do)
		}
		return nil
	}
}

// A value that another one replaces while it is read is never taken for younger than it is.
func TestAgesWhereAValueIsReplaced(t *testing.T) {
	b := set(t)
	ctx, key := context.Background(), tzredis.Keys{}.Object(tzredis.Tag([]byte("page")))
	at := func(body string) []byte {
		return b.codec.encode(b.object("page", body), [16]byte{}, time.Minute, time.Now())
	}
	b.direct.Set(ctx, key, at("old"), 20*time.Second) // of a minute
	b.client.AddHook(&between{do: func() { b.direct.Set(ctx, key, at("new"), time.Minute) }})
	o := b.get("page")
	if !o.Exists() {
		t.Fatal("nothing is read")
	}
	if age := o.Age(time.Now()); string(o.Body()) == "old" && age < 40*time.Second {
		t.Errorf("%q is %s old", o.Body(), age)
	}
}

func TestVariantsLieUnderTheirRecord(t *testing.T) {
	b := set(t).run()
	record := blob("page", "")
	record[1] = 2 // a vary record
	full := blob("page+de", "in German")
	full[76] = 4 // the primary key's length
	r := &right{}
	b.Put(cache.Put{Object: attached(t, full), Record: attached(t, record), Lease: r})
	r.ended(t, cache.EndStored)
	found, err := b.Get(context.Background(), []byte("page"), [][]byte{[]byte("page"), []byte("page+de"), []byte("page+fr")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !found[0].Object.Exists() || string(found[1].Object.Body()) != "in German" || found[2].Object.Exists() || found[2].Stamp != "" {
		t.Errorf("found %v", found)
	}
	for _, f := range found[:2] {
		if len(f.Stamp) != StampSize {
			t.Errorf("stamp %q", f.Stamp)
		}
	}
	tag := tzredis.Tag([]byte("page"))
	lead := b.direct.PTTL(context.Background(), tzredis.Keys{}.Object(tag)).Val()
	led := b.direct.PTTL(context.Background(), tzredis.Keys{}.Variant(tag, []byte("page+de"))).Val()
	if lead < led-time.Second {
		t.Errorf("the record lives for %s, what it leads to for %s", lead, led)
	}
}

// fill takes all memory that Redis has.
func (b *rig) fill() {
	for i, size := 0, 64<<10; size > 8; i++ {
		if b.direct.Set(context.Background(), fmt.Sprint("junk", i), strings.Repeat("x", size), 0).Err() != nil {
			size /= 2
		}
	}
}

func TestNoMemory(t *testing.T) {
	b := set(t, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction").run()
	b.put(b.object("stored", "there"), "").ended(t, cache.EndStored)
	b.fill()
	b.put(b.object("page", "no room for it"), "").ended(t, cache.EndFailed)
	if s := b.Stats(); s.Failed != 1 || s.Stored != 1 {
		t.Errorf("%+v", s)
	}
	b.void("page", time.Second) // writes are told all the same
	b.void("stored", 0)
	if b.Stats().Lost != 0 || b.get("stored").Exists() {
		t.Errorf("a write was not told: %+v", b.Stats())
	}
}

func TestRedisGone(t *testing.T) {
	b := set(t).run()
	b.server.Kill()
	b.put(b.object("page", "text"), "").ended(t, cache.EndFailed)
	if _, err := b.Get(context.Background(), []byte("page"), [][]byte{[]byte("page")}, time.Now()); err == nil || errors.Is(err, cache.ErrLate) {
		t.Errorf("reading says %v", err)
	}
	b.Void([]byte("page"), 0)
	harness.Eventually(t, "the write is counted as lost", 10*time.Second, func() bool { return b.Stats().Lost == 1 })
}

func TestRedisHangs(t *testing.T) {
	b := set(t).run()
	b.put(b.object("page", "text"), "").ended(t, cache.EndStored)
	b.server.Pause()
	defer b.server.Resume()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := b.Get(ctx, []byte("page"), [][]byte{[]byte("page")}, time.Now())
	if took := time.Since(began); !errors.Is(err, cache.ErrLate) || took > 5*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
	b.put(b.object("other", "text"), "").ended(t, cache.EndFailed)
}

// What finds no room is refused at once, responses by their bytes; writes have room of their own, and come after what
// was there before them.
func TestTheQueueIsFull(t *testing.T) {
	b := set(t)
	var all []*right
	body := strings.Repeat("x", 8<<10)
	for len(all) < 100 && b.Stats().Dropped == 0 {
		all = append(all, b.put(b.object("page", body), ""))
	}
	refused := all[len(all)-1]
	refused.ended(t, cache.EndFailed)
	if n := len(all) - 1; n != 31 {
		t.Errorf("%d pages of a little more than 8KiB wait in 256KiB", n)
	}
	for range voidsLength {
		b.Void([]byte("page"), 0)
	}
	if s := b.Stats(); s.Lost != 0 {
		t.Errorf("%d writes are lost", s.Lost)
	}
	for range putsLength + 1 {
		b.Void([]byte("page"), 0)
	}
	if s := b.Stats(); s.Lost == 0 {
		t.Error("the queue has no end")
	}
	b.run()
	for _, r := range all[:len(all)-1] {
		r.ended(t, cache.EndStored)
	}
	harness.Eventually(t, "the writes are told", 10*time.Second, func() bool { return b.fence("page") != "" })
	if b.get("page").Exists() || b.Stats().Queued != 0 {
		t.Errorf("what was written is there, or %d bytes wait", b.Stats().Queued)
	}
}

func TestTooLargeIsKnownBefore(t *testing.T) {
	b := set(t) // nobody serves the queue
	coded := blob("page", strings.Repeat("x", 20<<10))
	coded[102] = 0 // has a coding
	b.put(attached(t, coded), "").ended(t, cache.EndTooLarge)
	b.put(b.object("page", strings.Repeat("x", 300<<10)), "").ended(t, cache.EndTooLarge)
	fits := b.put(b.object("page", strings.Repeat("x", 100<<10)), "")
	random := make([]byte, 20<<10)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	tried := b.put(b.object("random", string(random)), "")
	b.run()
	fits.ended(t, cache.EndStored)
	tried.ended(t, cache.EndTooLarge)
	if s := b.Stats(); s.TooLarge != 3 {
		t.Errorf("%d are too large", s.TooLarge)
	}
}

func TestWhatWaitsIsWrittenAtTheEnd(t *testing.T) {
	b := set(t)
	var all []*right
	for i := range 100 {
		all = append(all, b.put(b.object(fmt.Sprint("page", i), "text"), ""))
	}
	b.run().end()
	for _, r := range all {
		r.ended(t, cache.EndStored)
	}
	b.put(b.object("late", "text"), "").ended(t, cache.EndFailed)
	b.Void([]byte("late"), 0)
	if s := b.Stats(); s.Stored != 100 || s.Dropped != 1 || s.Lost != 1 {
		t.Errorf("%+v", s)
	}
}

// What is being written in the moment of the end is written.
func TestTheEndCutsNothingOff(t *testing.T) {
	b := set(t)
	b.server.Pause()
	r := b.put(b.object("page", "text"), "")
	b.run()
	harness.Eventually(t, "it is being written", 10*time.Second, func() bool { return b.Stats().Queued == 0 })
	b.stop()
	b.server.Resume()
	r.ended(t, cache.EndStored)
}

// A Redis that hangs holds the end up for a bounded time.
func TestTheEndIsBounded(t *testing.T) {
	b := set(t)
	var all []*right
	for i := range 100 {
		all = append(all, b.put(b.object(fmt.Sprint("page", i), "text"), ""))
	}
	b.server.Pause()
	defer b.server.Resume()
	began := time.Now()
	b.run().end()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	for _, r := range all {
		r.ended(t, cache.EndFailed)
	}
}
