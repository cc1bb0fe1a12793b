package metrics

import (
	"sync"
	"time"
	"unsafe"

	"github.com/tzero-edge/tzero/proxy"
)

const (
	maxCells   = 4096 // label combinations a shard keeps; what comes later is counted under otherRoute
	maxOrigins = 1024 // origins × classes
	maxReasons = 128  // distinct words; what comes later is counted under otherReason
	numHints   = 256  // a power of two

	noRoute     = "(none)"
	otherRoute  = "(other)"
	noReason    = "none"
	otherReason = "other"
)

// numClasses: no answer at all, then 1xx to 5xx.
const numClasses = 6

// classOf folds a status into its class, 0 where there was no (valid) status.
func classOf(status int) uint8 {
	if status < 100 || status > 599 {
		return 0
	}
	return uint8(status / 100)
}

func className(class uint8) string {
	return [numClasses]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}[class]
}

// key is one combination of labels.
type key struct {
	route  string
	reason proxy.Reason
	class  uint8
	cache  proxy.CacheClass
}

// cell counts the requests of one combination of labels in one shard.
type cell struct {
	key
	buckets [numBuckets]uint64
	nanos   uint64
	in, out uint64
	aborted uint64
	// Rounds the size up to whole cache lines, which is also an allocation size: cells of two shards
	// never share a line.
	_ [cellPad]byte
}

const (
	cellSize = int(unsafe.Sizeof(key{})) + 8*(numBuckets+4)
	cellPad  = (64 - cellSize%64) % 64
)

type originKey struct {
	origin string
	class  uint8 // of the origin's answer; 0: it gave none
}

type originCell struct {
	buckets  [numBuckets]uint64
	nanos    uint64
	attempts uint64
}

// shard is one processor's share of the counters. Everything in it is plain memory under mu, which
// costs two atomic operations for a whole observation where atomic counters cost one each. The
// padding at both ends keeps neighbouring shards from sharing a cache line.
type shard struct {
	_  [64]byte
	mu sync.Mutex
	// hints remembers the cell of recent combinations, so that the usual lookup is a few comparisons
	// instead of hashing two strings.
	hints    [numHints]*cell
	cells    map[key]*cell
	origins  map[originKey]*originCell
	last     originKey // and its counters: requests come in runs for one origin
	lastCell *originCell
	refusals map[proxy.Reason]uint64
	faults   [numFaults]uint64
	_        [64]byte
}

const numFaults = int(proxy.FaultGateway) + 1

func newShard() *shard {
	return &shard{
		cells:    make(map[key]*cell),
		origins:  make(map[originKey]*originCell),
		refusals: make(map[proxy.Reason]uint64),
	}
}

// cell finds the counters of o's labels. Comparing the strings is cheap: they come from the current
// generation and from constants, so equal ones are nearly always the same memory.
func (s *shard) cell(o *proxy.Outcome) *cell {
	class := classOf(o.Status)
	hint := &s.hints[hintOf(o, class)]
	if c := *hint; c != nil && c.class == class && c.cache == o.Cache && c.route == o.Route && c.reason == o.CacheReason {
		return c
	}
	k := key{route: o.Route, reason: o.CacheReason, class: class, cache: o.Cache}
	c, ok := s.cells[k]
	if !ok {
		if len(s.cells) >= maxCells {
			return s.overflow(k)
		}
		c = s.add(k)
	}
	*hint = c
	return c
}

func (s *shard) add(k key) *cell {
	c := &cell{key: k}
	s.cells[k] = c
	return c
}

// overflow bounds memory: at most classes × cache classes cells are added beyond maxCells.
func (s *shard) overflow(k key) *cell {
	k.route, k.reason = otherRoute, otherReason
	if c, ok := s.cells[k]; ok {
		return c
	}
	return s.add(k)
}

// hintOf spreads combinations over the hints; names usually differ in length or in the last letter.
func hintOf(o *proxy.Outcome, class uint8) int {
	h := uint(class) + uint(o.Cache)<<3 + uint(len(o.Route))*29 + uint(len(o.CacheReason))*53
	if n := len(o.Route); n > 0 {
		h += uint(o.Route[n-1])*7 + uint(o.Route[n/2])*13
	}
	if n := len(o.CacheReason); n > 0 {
		h += uint(o.CacheReason[n-1]) * 17
	}
	return int(h & (numHints - 1))
}

// origin counts a request that an origin was asked.
func (s *shard) origin(o *proxy.Outcome) {
	k := originKey{origin: o.Origin, class: classOf(o.OriginStatus)}
	c := s.lastCell
	if c == nil || k != s.last {
		c = s.originCell(k)
		s.last, s.lastCell = k, c
	}
	c.attempts += uint64(max(o.Attempts, 0))
	c.buckets[bucketOf(o.OriginTime)]++
	c.nanos += nanos(o.OriginTime)
}

func (s *shard) originCell(k originKey) *originCell {
	c, ok := s.origins[k]
	if !ok && len(s.origins) >= maxOrigins {
		k.origin = otherRoute
		c, ok = s.origins[k]
	}
	if !ok {
		c = &originCell{}
		s.origins[k] = c
	}
	return c
}

// refuse counts an answer that the gateway itself made up to say no.
func (s *shard) refuse(reason proxy.Reason) {
	if _, ok := s.refusals[reason]; !ok && len(s.refusals) >= maxReasons {
		reason = otherReason
	}
	s.refusals[reason]++
}

// refusal returns the word for which the gateway itself made up an answer that says no: the word of the
// synth step or, where that has none, of the step that led to it.
func refusal(status int, steps []proxy.Step) (reason proxy.Reason, refused bool) {
	if status < 400 {
		return "", false
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].State != proxy.StateSynth {
			continue
		}
		for ; i >= 0; i-- {
			if steps[i].Reason != "" {
				return steps[i].Reason, true
			}
		}
		return noReason, true
	}
	return "", false
}

func nanos(d time.Duration) uint64 { return uint64(max(d, 0)) }
