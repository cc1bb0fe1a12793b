package churn

import (
	"context"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/internal/collector"
)

var (
	full  = flag.Bool("full", false, "run the full sizes")
	write = flag.Bool("write", false, "write docs/churn.md")
)

const profileRate = 32 << 10

// itself is what the process needs beside the cache: there are no connections.
const itself = 16 << 20

func TestMain(m *testing.M) {
	runtime.MemProfileRate = profileRate
	flag.Parse()
	os.Exit(m.Run())
}

// plan is one size of the soak.
type plan struct {
	took    time.Duration
	hour    time.Duration // of the site's time that passes
	budget  int64
	keys    int
	workers int
	slow    int // of them
	pauses  int // in which the books are compared
}

func chosen() plan {
	if *full {
		return plan{took: 3 * time.Minute, hour: time.Hour, budget: 1 << 30, keys: 30000, workers: 24, slow: 8, pauses: 9}
	}
	return plan{took: 6 * time.Second, hour: 2 * time.Minute, budget: 384 << 20, keys: 4000, workers: 8, slow: 3, pauses: 2}
}

// outcome is what was seen.
type outcome struct {
	plan
	tier                cache.TierStats
	stats               cache.Stats
	most, mostRSS       int64   // bytes
	worst               float64 // of the books: the tier's bytes by the heap's, as far from 1 as they came
	profile             float64 // the same by the heap profile
	requests, hits      int64
	fills, validated    int64
	voided, bytes, errs int64
}

func TestChurn(t *testing.T) {
	p := chosen()
	o := soak(t, p)
	t.Logf("%+v", *o)
	if share := float64(o.most) / float64(p.budget); share > 1.3 {
		t.Errorf("memory: %.2f of the budget, want 1.3 at most", share)
	}
	if !raced && float64(o.mostRSS)/float64(p.budget) > 1.3 {
		t.Errorf("resident: %.2f of the budget, want 1.3 at most", float64(o.mostRSS)/float64(p.budget))
	}
	if math.Abs(o.worst-1) > .05 || math.Abs(o.profile-1) > .05 {
		t.Errorf("the tier's bytes are %.3f of the heap's, %.3f of the profile's; want within 5 %%", o.worst, o.profile)
	}
	if o.tier.Evicted == 0 || o.voided == 0 || o.hits == 0 || *full && o.tier.Moved == 0 {
		t.Errorf("nothing was evicted, invalidated, hit or moved")
	}
	if *write && !t.Failed() {
		report(t, o)
	}
}

func soak(t *testing.T, p plan) *outcome {
	b := &books{}
	b.open(t, p.budget)
	policy, err := cache.DefaultRoute().Compile()
	if err != nil {
		t.Fatal(err)
	}
	cfg := cache.Default()
	cfg.MaxObject = 11 << 20
	c := cache.New(cfg, b.tier)
	s := &site{cache: c, policy: policy, keys: p.keys, begin: time.Now(), second: time.Duration(float64(time.Second) * float64(p.hour) / float64(p.took))}
	b.cache()
	var run sync.WaitGroup
	pacing, stopPacing := context.WithCancel(context.Background())
	collector.Chosen{}.SetLimit(p.budget, itself, 64<<30)
	run.Go(func() { _ = collector.Chosen{}.Pace(pacing) })
	s.fillUp(b.tier)
	ctx, stop := context.WithTimeout(context.Background(), p.took)
	defer stop()
	var gate sync.RWMutex // closed while the books are compared
	for w := range p.workers {
		run.Go(func() { work(ctx, t, s, &gate, uint64(w), w < p.slow) })
	}
	o := &outcome{plan: p, worst: 1, profile: 1}
	watch(ctx, t, p, b, &gate, o)
	stopPacing()
	run.Wait()
	o.tier, o.stats = b.tier.Stats(), c.Stats()
	o.requests, o.hits, o.fills = s.requests.Load(), s.hits.Load(), s.fills.Load()
	o.validated, o.voided, o.bytes, o.errs = s.validated.Load(), s.voided.Load(), s.bytes.Load(), s.wrong.Load()
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return o
}

// work makes requests and, now and then, invalidates.
func work(ctx context.Context, t *testing.T, s *site, gate *sync.RWMutex, seed uint64, slow bool) {
	r := rand.New(rand.NewPCG(seed, 11))
	for ctx.Err() == nil {
		wait := time.Duration(0)
		if slow {
			wait = time.Duration(r.IntN(20)) * time.Millisecond
		}
		gate.RLock()
		v := s.visit(r, wait)
		if r.IntN(30) == 0 {
			s.voided.Add(1)
			s.cache.Invalidate(v.request(), s.now())
		}
		err := v.run(ctx)
		gate.RUnlock()
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// watch looks at the process's memory all the time, and compares the books in pauses.
func watch(ctx context.Context, t *testing.T, p plan, b *books, gate *sync.RWMutex, o *outcome) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	next := time.Now().Add(p.took / time.Duration(p.pauses+1))
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		o.most, o.mostRSS = max(o.most, taken()), max(o.mostRSS, resident(t))
		if time.Now().Before(next) {
			continue
		}
		gate.Lock()
		byHeap, byProfile := b.compare()
		gate.Unlock()
		t.Logf("the tier's bytes by the heap's %.3f, by the profile's %.3f; memory %d MiB, resident %d MiB; %+v", byHeap, byProfile,
			o.most>>20, o.mostRSS>>20, b.tier.Stats())
		o.worst, o.profile = further(o.worst, byHeap), further(o.profile, byProfile)
		next = time.Now().Add(p.took / time.Duration(p.pauses+1))
	}
}

func further(a, b float64) float64 {
	if math.Abs(b-1) > math.Abs(a-1) {
		return b
	}
	return a
}

// books knows the heap before there was a cache.
type books struct {
	tier             *l1.Tier
	heap, profile    int64
	base, baseInUse  int64 // before the tier
	cacheHeap, inUse int64 // of what is neither
}

func (b *books) open(t *testing.T, budget int64) {
	b.base, b.baseInUse = live(), inUse()
	tier, err := l1.New(budget, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.tier = tier
	b.heap, b.profile = live(), inUse()
}

// cache notes what the cache takes beside its tier.
func (b *books) cache() { b.cacheHeap, b.inUse = live()-b.heap, inUse()-b.profile }

// compare gives the tier's bytes by the heap's growth, and by the heap profile's. Nothing is under way.
func (b *books) compare() (byHeap, byProfile float64) {
	b.tier.Wait()
	time.Sleep(50 * time.Millisecond) // compaction, and the cache's own goroutines
	heap, profile := live(), inUse()
	says := float64(b.tier.Stats().Bytes)
	return says / float64(heap-b.base-b.cacheHeap), says / float64(profile-b.baseInUse-b.inUse)
}

// live is the heap in use after collections.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// inUse is the sum of the heap profile, scaled as pprof scales its samples.
func inUse() int64 {
	n, _ := runtime.MemProfile(nil, false)
	var records []runtime.MemProfileRecord
	for ok := false; !ok; {
		records = make([]runtime.MemProfileRecord, n+100)
		n, ok = runtime.MemProfile(records, false)
	}
	var sum float64
	for _, r := range records[:n] {
		if objects := float64(r.InUseObjects()); objects > 0 {
			size := float64(r.InUseBytes()) / objects
			sum += float64(r.InUseBytes()) / (1 - math.Exp(-size/profileRate))
		}
	}
	return int64(sum)
}

// taken is what the Go runtime has from the system: what GOMEMLIMIT is about. The race detector's own is not in it.
func taken() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}

func resident(t *testing.T) int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
