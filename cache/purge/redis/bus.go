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
	"slices"
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

	order  sync.Mutex    // held while purges are taken
	known  atomic.Uint64 // every purge up to this number of Redis's is applied
	lostAt time.Time     // since when the list of purges is gone from Redis; zero: it is there

	wake    chan struct{}
	mu      sync.Mutex
	later   []purge.Purge // purged here, and not told yet
	telling bool          // the first of later is on its way

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

type counts struct{ purges, heard, caughtUp, restored, unknown, forgotten atomic.Uint64 }

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Epoch     uint64 // the last purge applied
	Synced    bool   // all purges from before the start are known
	Cut       bool
	Purges    uint64 // made here
	Heard     uint64 // heard of by message
	CaughtUp  uint64 // times that purges were missed, and read
	Restored  uint64 // times that Redis had lost purges, and was told
	Forgotten uint64 // times that nobody knew what Redis had lost, and everything was purged
	Unknown   uint64 // messages that could not be read
	Later     int    // purges that Redis was not told yet
}

// New returns a Bus.
func New(o Options) *Bus {
	b := &Bus{o: o, wake: make(chan struct{}, 1)}
	b.lastOK.Store(time.Now().UnixMilli())
	return b
}

// Ready reports that all purges are known here, and those of this node to Redis.
func (b *Bus) Ready() bool {
	return b.synced.Load() && !b.cut.Load() && b.o.Epochs.Latest() <= b.known.Load()
}

// Stats returns a snapshot.
func (b *Bus) Stats() Stats {
	b.mu.Lock()
	later := len(b.later)
	b.mu.Unlock()
	return Stats{
		Epoch: b.o.Epochs.Latest(), Synced: b.synced.Load(), Cut: b.cut.Load(), Purges: b.n.purges.Load(), Heard: b.n.heard.Load(),
		CaughtUp: b.n.caughtUp.Load(), Restored: b.n.restored.Load(), Forgotten: b.n.forgotten.Load(), Unknown: b.n.unknown.Load(), Later: later,
	}
}

// The list of purges has a member of score 0 that is there while the list is complete. An eviction takes the list whole, and
// what is then begun anew, by a purge or by half of a restoration, must not pass for all of it.

// issue gives a purge the next number, above a floor: Redis may have forgotten numbers that nodes remember. -1: the list is
// not complete; with ARGV[5] set it counts as complete from now on, and -1 means that it was already. -2: no number is left.
var issue = redis.NewScript(`
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local seq = math.max(last, tonumber(ARGV[1])) + 1
local complete = #redis.call('ZRANGEBYSCORE', KEYS[2], 0, 0) > 0 or seq == 1
if complete == (ARGV[5] ~= '') then return -1 end
if seq > 2147483647 then return -2 end
redis.call('ZADD', KEYS[2], 0, 'complete')
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

// errLost: some of the gateways may know what was on the list.
var errLost = errors.New("redis has lost the list of purges: waiting for a gateway that knows it")

func (b *Bus) issue(ctx context.Context, k purge.Kind, cells []purge.Cell) (uint64, error) {
	seq, err := b.number(ctx, k, cells, "")
	if errors.Is(err, errLost) {
		if err = b.catchUp(ctx); err == nil { // which restores the list, if this node can
			seq, err = b.number(ctx, k, cells, "")
		}
	}
	if err != nil {
		return 0, err
	}
	b.hear(ctx, purge.Purge{Seq: uint32(seq), Kind: k, Cells: cells})
	return seq, nil
}

// number has Redis number a purge and tell it to all; anew: the list is not complete and is begun with this purge.
func (b *Bus) number(ctx context.Context, k purge.Kind, cells []purge.Cell, anew string) (uint64, error) {
	seq, err := issue.Run(ctx, b.o.Client, []string{b.o.Keys.Sequence(), b.o.Keys.Purges()},
		b.o.Epochs.Latest(), letter(k), b.o.Keys.Bus(), pack(cells), anew).Int64()
	switch {
	case err != nil:
		return 0, err
	case seq == -1:
		return 0, errLost
	case seq == -2:
		return 0, b.errForeign()
	case seq < 1 || seq > maxNumber:
		return 0, fmt.Errorf("redis gave the purge number %d", seq)
	}
	return uint64(seq), nil
}

// maxNumber is far beyond what purges come to, and leaves room for those that a node numbers while Redis is away.
const maxNumber = math.MaxInt32

// Later purges at this node at once and at the others soon.
func (b *Bus) Later(k purge.Kind, cells []purge.Cell) uint64 {
	seq := b.o.Epochs.Next(k, cells)
	b.mu.Lock()
	b.wait(purge.Purge{Kind: k, Cells: cells})
	b.mu.Unlock()
	b.o.Applied()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return seq
}

// wait adds a purge to those that the others are to be told. One that waits already need not wait twice, but for the one
// that is being told: it may have its number by now. Too many become one purge of everything, softly if all of them are.
func (b *Bus) wait(p purge.Purge) {
	waiting := b.later
	if b.telling && len(waiting) > 0 {
		waiting = waiting[1:]
	}
	soft := p.Kind == purge.Soft
	for _, w := range b.later {
		soft = soft && w.Kind == purge.Soft
	}
	for _, w := range waiting {
		if w.Kind == p.Kind && slices.Equal(w.Cells, p.Cells) {
			return
		}
	}
	if len(b.later) < maxLater {
		b.later = append(b.later, p)
		return
	}
	p = purge.Purge{Kind: purge.Hard, Cells: []purge.Cell{purge.Everything}}
	if soft {
		p.Kind = purge.Soft
	}
	b.later, b.telling = []purge.Purge{p}, false
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
		b.telling = true
		b.mu.Unlock()
		_, err := b.issue(ctx, p.Kind, p.Cells)
		b.mu.Lock()
		if err == nil && b.telling { // otherwise it was made one with others meanwhile, which are still to be told
			b.later = b.later[1:]
		}
		b.telling = false
		b.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// align has Redis reach the number that this node has come to by numbering purges itself, when all of them are told. Until
// then nothing is shared: Redis may give the same number to another purge, and a response with it would outlive that.
func (b *Bus) align(ctx context.Context) {
	b.mu.Lock()
	waiting := len(b.later)
	b.mu.Unlock()
	latest := b.o.Epochs.Latest()
	if waiting > 0 || latest <= b.known.Load() {
		return
	}
	if err := merge.Run(ctx, b.o.Client, []string{b.o.Keys.Sequence(), b.o.Keys.Purges()}, latest).Err(); err == nil {
		_ = b.catchUp(ctx) // the next comparison tries again
	}
}

// hear applies a purge that Redis has numbered. Where numbers are missing in between, all that is missing is read: were
// the greater number taken, nobody would ever ask for the smaller ones.
func (b *Bus) hear(ctx context.Context, p purge.Purge) {
	b.order.Lock()
	defer b.order.Unlock()
	switch {
	case !b.synced.Load() || uint64(p.Seq) > b.known.Load()+1:
		_ = b.readMissed(ctx) // the next comparison tries again
		return
	case uint64(p.Seq) == b.known.Load()+1:
		b.known.Add(1)
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
	seq, complete, err := b.last(ctx)
	if err != nil {
		return err
	}
	known := b.known.Load()
	switch {
	case seq < known, seq == known && !complete && b.synced.Load() && b.o.Epochs.Latest() > 0:
		b.n.restored.Add(1)
		return b.restore(ctx)
	case seq > 0 && !complete:
		return b.lost(ctx)
	}
	b.lostAt = time.Time{}
	if seq == known && b.synced.Load() {
		return nil
	}
	missed, err := b.o.Client.ZRangeByScoreWithScores(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "(" + strconv.FormatUint(known, 10), Max: "+inf"}).Result()
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
	b.known.Store(seq)
	b.o.Epochs.Reach(seq)
	b.o.Applied()
	return nil
}

// last asks Redis for the number of the last purge, and whether the list of purges is complete.
func (b *Bus) last(ctx context.Context) (seq uint64, complete bool, err error) {
	var text *redis.StringCmd
	var mark *redis.StringSliceCmd
	_, err = b.o.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		text = p.Get(ctx, b.o.Keys.Sequence())
		mark = p.ZRangeByScore(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "0", Max: "0"})
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, fmt.Errorf("cannot ask Redis for the number of the last purge: %w", err)
	}
	if err := mark.Err(); err != nil {
		return 0, false, fmt.Errorf("cannot ask Redis for the list of purges: %w", err)
	}
	seq, err = strconv.ParseUint(cmp.Or(text.Val(), "0"), 10, 31)
	if err != nil {
		return 0, false, b.errForeign()
	}
	return seq, len(mark.Val()) > 0, nil
}

// patience is how long a list that is lost is waited for: gateways that know it look once a second.
const patience = 3 * time.Second

// lost waits for a gateway that knows the list. Where there is none, nobody can say what was purged: everything is.
func (b *Bus) lost(ctx context.Context) error {
	switch now := time.Now(); {
	case b.lostAt.IsZero():
		b.lostAt = now
	case now.Sub(b.lostAt) > patience:
		if _, err := b.number(ctx, purge.Hard, []purge.Cell{purge.Everything}, "anew"); err != nil && !errors.Is(err, errLost) {
			return err
		}
		b.lostAt = time.Time{}
		b.n.forgotten.Add(1)
	}
	return errLost // what was numbered is read by the next comparison
}

// merge puts purges back: what Redis has and is newer stays. With a number it is the last part, which makes the list complete
// unless Redis knows of later purges than this node. Keys as those of issue.
var merge = redis.NewScript(`
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[2], 'GT', ARGV[i + 1], ARGV[i]) end
local last, seq = tonumber(redis.call('GET', KEYS[1]) or '0') or 0, tonumber(ARGV[1])
if seq > 0 and last <= seq then
  redis.call('SET', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[2], 0, 'complete')
end
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
		b.known.Store(seq)
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
