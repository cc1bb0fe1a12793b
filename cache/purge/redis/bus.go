// Package bus makes the nodes that share a Redis purge together.
//
// In Redis lie the number of the last purge and, in a sorted set, what was purged by its last purge's number: the table
// of package purge, as far as it is not empty. Whoever purges changes both and publishes the change in one step. A
// message is only for speed: once a second every node compares the number with its own and reads what it missed, so
// that a lost message costs a second, and a node that hears nothing for some knows that it is cut off.
//
//	epoch:{bus}:sequence  57
//	epoch:{bus}:purges    h8191 → 57, s17 → 12 …   cell 8191 was purged by number 57, cell 17 softly by 12
//	bus                   p · u32 number · h or s · u32 cell …
//
// What a node has to purge while Redis is away it purges for itself, and tells the others when Redis is back.
package bus

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache/purge"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

const (
	compareEvery = time.Second
	cutAfter     = 2500 * time.Millisecond // with what it takes to notice, known within 3 s
	maxLater     = 1000                    // purges that wait for Redis; what is more becomes a purge of everything
)

// Bus is one node's end of it. Run owns its goroutines.
type Bus struct {
	o Options

	synced atomic.Bool
	cut    atomic.Bool
	lastOK atomic.Int64          // Unix ms
	failed atomic.Pointer[error] // what the last comparison failed with

	order sync.Mutex // held while purges are taken
	known uint64     // every purge up to this number of Redis's is applied

	wake  chan struct{}
	mu    sync.Mutex
	later []purge.Purge // purged here, and not told yet

	n counts
}

// Options are what a Bus is made of. The callbacks must not block.
type Options struct {
	Client redis.UniversalClient
	Keys   tzredis.Keys
	Epochs *purge.Epochs
	// Applied is told that purges up to a number have taken effect here.
	Applied func()
	// CutOff and Rejoined are told when this node does not learn of purges any more, and when it does and has learned of
	// all of them.
	CutOff   func(at time.Time, why error)
	Rejoined func(at time.Time)
	// Other gets the messages that are none of package bus.
	Other func(payload []byte)
}

type counts struct{ purges, heard, caughtUp, restored, unknown atomic.Uint64 }

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Epoch    uint64 // the last purge applied
	Synced   bool   // all purges from before the start are known
	Cut      bool
	Purges   uint64 // made here
	Heard    uint64 // heard of by message
	CaughtUp uint64 // times that purges were missed, and read
	Restored uint64 // times that Redis had lost purges, and was told
	Unknown  uint64 // messages that could not be read
	Later    int    // purges that Redis was not told yet
}

// New returns a Bus.
func New(o Options) *Bus {
	b := &Bus{o: o, wake: make(chan struct{}, 1)}
	b.lastOK.Store(time.Now().UnixMilli())
	return b
}

// Ready reports that all purges are known.
func (b *Bus) Ready() bool { return b.synced.Load() && !b.cut.Load() }

// Stats returns a snapshot.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	later := len(b.later)
	b.mu.Unlock()
	return Stats{
		Epoch: b.o.Epochs.Latest(), Synced: b.synced.Load(), Cut: b.cut.Load(), Purges: b.n.purges.Load(), Heard: b.n.heard.Load(),
		CaughtUp: b.n.caughtUp.Load(), Restored: b.n.restored.Load(), Unknown: b.n.unknown.Load(), Later: later,
	}
}

// issue gives a purge the next number, above a floor: Redis may have forgotten numbers that nodes remember.
var issue = redis.NewScript(`
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local seq = math.max(last, tonumber(ARGV[1])) + 1
for i = 1, #ARGV[4], 4 do
  redis.call('ZADD', KEYS[2], 'GT', seq, ARGV[2] .. struct.unpack('<I4', ARGV[4], i))
end
redis.call('SET', KEYS[1], string.format('%d', seq))
redis.call('PUBLISH', ARGV[3], 'p' .. struct.pack('<I4', seq) .. ARGV[2] .. ARGV[4])
return seq`)

// Purge purges at all nodes, and returns the purge's number once Redis and this node have it. On an error this node has
// purged all the same, and tells the others as soon as Redis lets it.
func (b *Bus) Purge(ctx context.Context, k purge.Kind, cells []purge.Cell) (uint64, error) {
	b.n.purges.Add(1)
	seq, err := b.issue(ctx, k, cells)
	if err == nil {
		return seq, nil
	}
	return b.Later(k, cells), fmt.Errorf("cannot tell the other nodes yet: %w", err)
}

func (b *Bus) issue(ctx context.Context, k purge.Kind, cells []purge.Cell) (uint64, error) {
	seq, err := issue.Run(ctx, b.o.Client, []string{b.o.Keys.Sequence(), b.o.Keys.Purges()},
		b.o.Epochs.Latest(), letter(k), b.o.Keys.Bus(), pack(cells)).Uint64()
	if err != nil {
		return 0, err
	}
	if seq == 0 || seq > math.MaxUint32 {
		return 0, fmt.Errorf("redis gave the purge number %d", seq)
	}
	b.hear(ctx, purge.Purge{Seq: uint32(seq), Kind: k, Cells: cells})
	return seq, nil
}

// Later purges at this node at once and at the others soon.
func (b *Bus) Later(k purge.Kind, cells []purge.Cell) uint64 {
	seq := b.o.Epochs.Next(k, cells)
	b.mu.Lock()
	if len(b.later) < maxLater {
		b.later = append(b.later, purge.Purge{Kind: k, Cells: cells})
	} else {
		b.later = []purge.Purge{{Kind: purge.Hard, Cells: []purge.Cell{purge.Everything}}}
	}
	b.mu.Unlock()
	b.o.Applied()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return seq
}

// tellLater tells what waits, in order.
func (b *Bus) tellLater(ctx context.Context) {
	for {
		b.mu.Lock()
		if len(b.later) == 0 {
			b.mu.Unlock()
			return
		}
		p := b.later[0]
		b.mu.Unlock()
		if _, err := b.issue(ctx, p.Kind, p.Cells); err != nil {
			return
		}
		b.mu.Lock()
		if len(b.later) > 0 {
			b.later = b.later[1:]
		}
		b.mu.Unlock()
	}
}

// hear applies a purge that Redis has numbered. Where numbers are missing in between, all that is missing is read: were
// the greater number taken, nobody would ever ask for the smaller ones.
func (b *Bus) hear(ctx context.Context, p purge.Purge) {
	b.order.Lock()
	defer b.order.Unlock()
	switch {
	case !b.synced.Load() || uint64(p.Seq) > b.known+1:
		_ = b.readMissed(ctx) // the next comparison tries again
		return
	case uint64(p.Seq) == b.known+1:
		b.known++
		b.take(p)
	}
	b.o.Applied()
}

// take applies a purge. Its number may have been given here as well, to a purge that Redis was not told yet: then there
// may be responses that carry the number and are from before the purge, and it needs another one here.
func (b *Bus) take(p purge.Purge) {
	switch {
	case uint64(p.Seq) > b.o.Epochs.Latest():
		b.o.Epochs.Apply(p)
	case !b.o.Epochs.Noted(p):
		b.o.Epochs.Next(p.Kind, p.Cells)
	}
}

// errForeign: it is left alone, for it may be somebody's.
func (b *Bus) errForeign() error {
	return fmt.Errorf("what Redis has as %s is no number of a purge: give redis.prefix a value of its own, or delete it if it is nobody's", b.o.Keys.Sequence())
}

// catchUp reads every purge that this node does not have, or tells Redis what it has lost.
func (b *Bus) catchUp(ctx context.Context) error {
	b.order.Lock()
	defer b.order.Unlock()
	return b.readMissed(ctx)
}

func (b *Bus) readMissed(ctx context.Context) error {
	text, err := b.o.Client.Get(ctx, b.o.Keys.Sequence()).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("cannot ask Redis for the number of the last purge: %w", err)
	}
	seq, err := strconv.ParseUint(cmp.Or(text, "0"), 10, 32)
	if err != nil {
		return b.errForeign()
	}
	switch {
	case seq < b.known:
		b.n.restored.Add(1)
		return b.restore(ctx)
	case seq == b.known && b.synced.Load():
		return nil
	}
	missed, err := b.o.Client.ZRangeByScoreWithScores(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "(" + strconv.FormatUint(b.known, 10), Max: "+inf"}).Result()
	if err != nil {
		return err
	}
	for _, z := range missed {
		p, ok := member(z)
		switch {
		case !ok:
			b.n.unknown.Add(1)
		case uint64(p.Seq) > b.o.Epochs.Latest():
			b.o.Epochs.Note(p) // the greatest number last, when all are noted
		default:
			b.take(p)
		}
	}
	b.n.caughtUp.Add(1)
	b.known = seq
	b.o.Epochs.Reach(seq)
	b.o.Applied()
	return nil
}

// merge puts purges back: what Redis has and is newer stays. Keys as those of issue.
var merge = redis.NewScript(`
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 1], ARGV[i]) end
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
if last < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return 1`)

const mergeAtOnce = 500

// restore tells Redis all purges that this node knows of, the number last: who sees it finds them.
func (b *Bus) restore(ctx context.Context) error {
	seq := b.o.Epochs.Latest()
	var args []any
	var err error
	flush := func(last uint64) {
		if err == nil {
			err = merge.Run(ctx, b.o.Client, []string{b.o.Keys.Sequence(), b.o.Keys.Purges()}, append([]any{last}, args...)...).Err()
		}
		args = args[:0]
	}
	b.o.Epochs.Each(func(c purge.Cell, k purge.Kind, n uint32) {
		args = append(args, letter(k)+strconv.FormatUint(uint64(c), 10), n)
		if len(args) == 2*mergeAtOnce {
			flush(0)
		}
	})
	flush(seq)
	if err == nil {
		b.known = seq
	}
	return err
}

func letter(k purge.Kind) string {
	if k == purge.Soft {
		return "s"
	}
	return "h"
}

func kindOf(c byte) (purge.Kind, bool) {
	switch c {
	case 'h':
		return purge.Hard, true
	case 's':
		return purge.Soft, true
	}
	return 0, false
}

// member reads a member of the sorted set.
func member(z redis.Z) (purge.Purge, bool) {
	s, ok := z.Member.(string)
	if !ok || len(s) < 2 || !(z.Score >= 1 && z.Score <= math.MaxUint32) {
		return purge.Purge{}, false
	}
	k, ok := kindOf(s[0])
	cell, err := strconv.ParseUint(s[1:], 10, 32)
	if !ok || err != nil || cell >= purge.Cells {
		return purge.Purge{}, false
	}
	return purge.Purge{Seq: uint32(z.Score), Kind: k, Cells: []purge.Cell{purge.Cell(cell)}}, true
}

func pack(cells []purge.Cell) []byte {
	b := make([]byte, 0, 4*len(cells))
	for _, c := range cells {
		b = binary.LittleEndian.AppendUint32(b, uint32(c))
	}
	return b
}

// PurgeKind is the first byte of a message about a purge.
const PurgeKind = 'p'

// message reads one.
func message(b []byte) (purge.Purge, bool) {
	if len(b) < 10 || b[0] != PurgeKind || (len(b)-6)%4 != 0 || len(b) > 6+4*purge.MaxTargets {
		return purge.Purge{}, false
	}
	k, ok := kindOf(b[5])
	p := purge.Purge{Seq: binary.LittleEndian.Uint32(b[1:]), Kind: k}
	for b = b[6:]; len(b) > 0; b = b[4:] {
		c := purge.Cell(binary.LittleEndian.Uint32(b))
		ok = ok && c < purge.Cells
		p.Cells = append(p.Cells, c)
	}
	return p, ok && p.Seq > 0
}
