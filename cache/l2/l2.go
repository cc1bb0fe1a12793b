package l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// Tier keeps responses in Redis. What a request reads is asked for at once, what is written waits in queues that Run
// serves.
type Tier struct {
	reads, writes redis.UniversalClient
	keys          tzredis.Keys
	config        Config
	codec         *codec
	node          string
	random        func() uint64
	there         func() bool
	most          int64 // of a value, in bytes

	queues [workers]chan job
	queued atomic.Int64 // bytes

	mu     sync.RWMutex // held for reading while something is put into a queue
	closed bool         // nobody serves the queues any more

	n counts
}

var _ cache.Shared = (*Tier)(nil)

// Options are what a Tier is made of.
type Options struct {
	Reads, Writes redis.UniversalClient
	Keys          tzredis.Keys
	Config        Config
	Node          string        // id of this process
	MaxBody       int64         // no longer body is taken from Redis, in bytes
	Random        func() uint64 // safe for concurrent use
	There         func() bool   // reports whether Redis has answered lately
}

// New returns a tier; Run serves its queues.
func New(o Options) (*Tier, error) {
	c, err := newCodec(int(o.Config.CompressAbove), o.MaxBody)
	if err != nil {
		return nil, fmt.Errorf("cannot set up the compression of shared pages: %w", err)
	}
	t := &Tier{reads: o.Reads, writes: o.Writes, keys: o.Keys, config: o.Config, codec: c, node: o.Node, random: o.Random, there: o.There, most: int64(o.Config.MaxObject)}
	for i := range t.queues {
		t.queues[i] = make(chan job, putsLength+voidsLength)
	}
	return t, nil
}

// counts are the tier's account.
type counts struct {
	gets, hits, corrupt, foreign, errors         atomic.Uint64
	puts, stored, fenced, failed, dropped, large atomic.Uint64
	voids, lost, bytesIn, bytesOut, saved        atomic.Uint64
}

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Gets     uint64 // names asked for
	Hits     uint64 // of these, there
	Corrupt  uint64 // of these, damaged or of another layout
	Foreign  uint64 // of these, of another page
	Errors   uint64 // reads that failed, of any number of names
	Puts     uint64 // responses to store
	Stored   uint64 // of these, stored
	Fenced   uint64 // of these, from before a write to their page
	Failed   uint64 // of these, that Redis did not take
	Dropped  uint64 // of these, for which there was no room in the queue
	TooLarge uint64 // of these
	Voids    uint64 // writes told
	Lost     uint64 // of these, for which there was no room in the queue, or that Redis did not take
	BytesIn  uint64 // read
	BytesOut uint64 // written
	Saved    uint64 // by compression, of what was written
	Queued   int64  // bytes that wait
}

// Stats returns one.
func (t *Tier) Stats() Stats {
	n := &t.n
	return Stats{
		Gets: n.gets.Load(), Hits: n.hits.Load(), Corrupt: n.corrupt.Load(), Foreign: n.foreign.Load(), Errors: n.errors.Load(),
		Puts: n.puts.Load(), Stored: n.stored.Load(), Fenced: n.fenced.Load(), Failed: n.failed.Load(), Dropped: n.dropped.Load(),
		TooLarge: n.large.Load(), Voids: n.voids.Load(), Lost: n.lost.Load(), BytesIn: n.bytesIn.Load(), BytesOut: n.bytesOut.Load(),
		Saved: n.saved.Load(), Queued: t.queued.Load(),
	}
}

// Get is cache.Shared.
func (t *Tier) Get(ctx context.Context, primary []byte, names [][]byte, now time.Time) ([]cache.Found, error) {
	tag := tzredis.Tag(primary)
	values, lives := make([]*redis.StringCmd, len(names)), make([]*redis.DurationCmd, len(names))
	_, err := t.reads.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, name := range names {
			k := t.keyOf(tag, primary, name)
			// The life first: of a value that replaces another between the two, one may only think that it has been here for
			// longer than it has, never for less.
			lives[i] = p.PTTL(ctx, k)
			values[i] = p.GetRange(ctx, k, 0, t.most) // one byte more than there may be
		}
		return nil
	})
	t.n.gets.Add(uint64(len(names)))
	if err != nil && !errors.Is(err, redis.Nil) {
		t.n.errors.Add(1)
		if tzredis.Late(err) && t.there() {
			return nil, fmt.Errorf("%w: %w", cache.ErrLate, err)
		}
		return nil, err
	}
	found := make([]cache.Found, len(names))
	for i, name := range names {
		value, err := values[i].Bytes()
		if err != nil || len(value) == 0 {
			continue
		}
		t.n.bytesIn.Add(uint64(len(value)))
		found[i] = t.found(value, lives[i].Val(), primary, name, now)
	}
	return found, nil
}

// found reads a value. What is none is there all the same, for whoever wants to write in its place.
func (t *Tier) found(value []byte, left time.Duration, primary, name []byte, now time.Time) cache.Found {
	f := cache.Found{Stamp: string(value[:min(len(value), StampSize)])}
	if int64(len(value)) > t.most || left < 0 {
		t.n.foreign.Add(1)
		return f
	}
	o, ok := t.codec.decode(value, left, now)
	switch {
	case !ok:
		t.n.corrupt.Add(1)
	case string(o.Key()) != string(name) || string(o.Primary()) != string(primary):
		t.n.foreign.Add(1)
	default:
		t.n.hits.Add(1)
		f.Object = o
	}
	return f
}

func (t *Tier) keyOf(tag string, primary, name []byte) string {
	if len(name) == len(primary) {
		return t.keys.Object(tag)
	}
	return t.keys.Variant(tag, name)
}

// stamp makes one that no other value has.
func (t *Tier) stamp() (s [StampSize]byte) {
	binary.LittleEndian.PutUint64(s[:], t.random())
	binary.LittleEndian.PutUint64(s[8:], t.random())
	return s
}

// stampOf makes the one of a vary record, by its content.
func stampOf(record cache.Object) (s [StampSize]byte) {
	binary.LittleEndian.PutUint64(s[:], record.ID())
	binary.LittleEndian.PutUint64(s[8:], xxhash.Sum64(record.Body()))
	return s
}
