package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache/purge"
)

// maxNumbers is how many of the last numbers the list and every node remember: who was away for longer than that many purges
// cannot tell whether Redis has lost some meanwhile.
const maxNumbers = 1024

// maxNumber is the greatest: beyond it a float64, which scores are, does not know every number.
const maxNumber = 1<<53 - 2

// issue gives a purge the next number, above a floor that a node knows. It returns the number before and the number. A number
// of -1: there is no list; with ARGV[5] set it is begun, and -1 means that there is one already. -2: no number is left.
var issue = redis.NewScript(`
local newest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local last = math.max(0, -tonumber(newest[2] or '0'))
if (last > 0) == (ARGV[5] ~= '') then return {'0', '-1'} end
local t = redis.call('TIME')
local seq = math.max(2 * ((t[1] - 1767225600) * 1000000 + t[2]), last + 2, tonumber(ARGV[1]) + 2)
seq = seq - seq % 2
if not (seq <= tonumber(ARGV[6])) then return {'0', '-2'} end
local before, number = string.format('%.0f', last), string.format('%.0f', seq)
for i = 1, #ARGV[4], 4 do
  redis.call('ZADD', KEYS[1], 'GT', number, ARGV[2] .. struct.unpack('<I4', ARGV[4], i))
end
redis.call('ZADD', KEYS[1], '-' .. number, number)
local many = redis.call('ZCOUNT', KEYS[1], '-inf', '(0')
if many > tonumber(ARGV[7]) then redis.call('ZREMRANGEBYRANK', KEYS[1], ARGV[7], many - 1) end
redis.call('PUBLISH', ARGV[3], 'p' .. struct.pack('<I8', last) .. struct.pack('<I8', seq) .. ARGV[2] .. ARGV[4])
return {before, number}`)

// errLost: some of the nodes may know what was on the list.
var errLost = errors.New("redis has no list of purges yet: it is waited for a gateway that knows it, and then begun")

// number has Redis number a purge and tell it to all; anew: there is no list, and this purge begins it.
func (b *Bus) number(ctx context.Context, k purge.Kind, cells []purge.Cell, anew bool) (seq, before uint64, err error) {
	mode := ""
	if anew {
		mode = "anew"
	}
	got, err := issue.Run(ctx, b.o.Client, []string{b.o.Keys.Purges()},
		b.o.Epochs.Latest(), letter(k), b.o.Keys.Bus(), pack(cells), mode, maxNumber, maxNumbers).Int64Slice()
	switch {
	case err != nil:
		return 0, 0, b.explain(err)
	case len(got) != 2 || got[1] == -2:
		return 0, 0, b.errForeign()
	case got[1] == -1:
		return 0, 0, errLost
	case got[0] < 0 || got[1] <= got[0]:
		return 0, 0, fmt.Errorf("redis gave the purge number %d after %d", got[1], got[0])
	}
	return uint64(got[1]), uint64(got[0]), nil
}

// errForeign: it is left alone, for it may be somebody's.
func (b *Bus) errForeign() error {
	return fmt.Errorf("what Redis has as %s is no list of purges: give redis.prefix a value of its own, or delete it if it is nobody's", b.o.Keys.Purges())
}

func (b *Bus) explain(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return b.errForeign()
	}
	return err
}

// catchUp reads every purge that this node does not have, or tells Redis what it has lost.
func (b *Bus) catchUp(ctx context.Context) error {
	b.order.Lock()
	defer b.order.Unlock()
	return b.readMissed(ctx)
}

func (b *Bus) readMissed(ctx context.Context) error {
	known := b.known.Load()
	last, listed, err := b.look(ctx, known)
	switch {
	case err != nil:
		return err
	case last == 0:
		return b.lost(ctx, known)
	}
	b.lostAt = time.Time{}
	switch {
	case last == known:
		return nil
	case known == 0 || listed:
		return b.read(ctx, known)
	}
	return b.reconcile(ctx, known)
}

// look asks Redis for the last number on the list, 0: there is none, and whether a number is on it.
func (b *Bus) look(ctx context.Context, number uint64) (last uint64, listed bool, err error) {
	var newest *redis.ZSliceCmd
	var score *redis.FloatCmd
	_, err = b.o.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		newest = p.ZRangeWithScores(ctx, b.o.Keys.Purges(), 0, 0)
		score = p.ZScore(ctx, b.o.Keys.Purges(), strconv.FormatUint(number, 10))
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, false, fmt.Errorf("cannot ask Redis for the number of the last purge: %w", b.explain(err))
	}
	if entries := newest.Val(); len(entries) == 1 && entries[0].Score < 0 {
		if last = numberOf(entries[0]); last == 0 {
			return 0, false, b.errForeign()
		}
	}
	return last, score.Err() == nil, nil
}

// read takes what is on the list since a number.
func (b *Bus) read(ctx context.Context, since uint64) error {
	text := strconv.FormatUint(since, 10)
	var numbers, cells *redis.ZSliceCmd
	_, err := b.o.Client.Pipelined(ctx, func(p redis.Pipeliner) error {
		// The numbers first: what is purged between the two is known too early, which does no harm.
		numbers = p.ZRangeByScoreWithScores(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "-inf", Max: "(-" + text})
		cells = p.ZRangeByScoreWithScores(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "(" + text, Max: "+inf"})
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the list of purges: %w", b.explain(err))
	}
	last := since
	for _, z := range numbers.Val() {
		n := numberOf(z)
		if n == 0 {
			b.n.unknown.Add(1)
			continue
		}
		b.history.add(n)
		last = max(last, n)
	}
	var missed []purge.Purge
	for _, z := range cells.Val() {
		if p, ok := member(z); ok {
			missed = append(missed, p)
		} else {
			b.n.unknown.Add(1)
		}
	}
	b.known.Store(last)
	b.take(missed)
	b.n.caughtUp.Add(1)
	b.o.Applied()
	return nil
}

// replicates is how much a failover can lose of what a master had: purges from that long before are told again where
// nothing better is known, in numbers.
const replicates = 2 * uint64(10*time.Second/time.Microsecond)

// reconcile finds out from where on the list and this node know different purges: Redis has lost what it had, or the list was
// begun anew. Each then learns from the other.
func (b *Bus) reconcile(ctx context.Context, known uint64) error {
	entries, err := b.o.Client.ZRangeByScoreWithScores(ctx, b.o.Keys.Purges(), &redis.ZRangeBy{Min: "-inf", Max: "(0"}).Result()
	if err != nil {
		return fmt.Errorf("cannot read the numbers of the last purges: %w", b.explain(err))
	}
	var common, oldest uint64 = 0, math.MaxUint64
	for _, z := range entries {
		n := numberOf(z)
		oldest = min(oldest, n)
		if b.history.has(n) {
			common = max(common, n)
		}
	}
	since, told := common, common
	switch {
	case common > 0:
	case known < oldest: // more purges than the list remembers the numbers of: what they hit is on it all the same
		since, told = known, known-min(known, replicates)
	default: // begun by one whose clock is behind
		told = oldest
	}
	b.n.diverged.Add(1)
	b.retell(told)
	return b.read(ctx, since)
}

// patience is how long a node that knows no list waits for one that does, which looks once a second after it has found Redis
// again.
const patience = 3 * time.Second

// lost restores a list that is gone, or waits for a node that can. A node that was cut off leaves it to others first, which
// may know more. Where nobody can, nobody can say what was purged: everything is.
func (b *Bus) lost(ctx context.Context, known uint64) error {
	now := time.Now()
	if b.lostAt.IsZero() {
		b.lostAt = now
	}
	waited := now.Sub(b.lostAt)
	switch {
	case known > 0 && (!b.cut.Load() || waited > patience/3):
		return b.restore(ctx)
	case known == 0 && waited > patience:
		if _, _, err := b.number(ctx, purge.Hard, []purge.Cell{purge.Everything}, true); err != nil && !errors.Is(err, errLost) {
			return err
		}
		b.n.begun.Add(1)
		return b.read(ctx, 0)
	}
	return errLost
}

// merge puts purges back: what Redis has and is newer stays.
var merge = redis.NewScript(`
for i = 1, #ARGV, 2 do redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i]) end`)

// complete puts the numbers back, which makes it a list. It returns 0 where there is one already.
var complete = redis.NewScript(`
local newest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if tonumber(newest[2] or '0') < 0 then return 0 end
for i = 1, #ARGV do redis.call('ZADD', KEYS[1], '-' .. ARGV[i], ARGV[i]) end
return 1`)

const mergeAtOnce = 500

// restore tells Redis all purges that this node knows of, the numbers last: who sees them finds all.
func (b *Bus) restore(ctx context.Context) error {
	var all []any
	b.o.Epochs.Each(func(c purge.Cell, k purge.Kind, n uint64) {
		all = append(all, letter(k)+strconv.FormatUint(uint64(c), 10), n)
	})
	keys := []string{b.o.Keys.Purges()}
	for part := range slices.Chunk(all, 2*mergeAtOnce) {
		if err := merge.Run(ctx, b.o.Client, keys, part...).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("cannot put the list of purges back: %w", b.explain(err))
		}
	}
	numbers := make([]any, 0, maxNumbers)
	for _, n := range b.history {
		numbers = append(numbers, n)
	}
	mine, err := complete.Run(ctx, b.o.Client, keys, numbers...).Bool()
	switch {
	case err != nil:
		return fmt.Errorf("cannot put the numbers of the purges back: %w", b.explain(err))
	case !mine:
		return errLost // somebody else did: the next comparison reads it
	}
	b.lostAt = time.Time{}
	b.n.restored.Add(1)
	return nil
}

// history is the last numbers that a node has learned, rising.
type history []uint64

func (h *history) add(n uint64) {
	i, there := slices.BinarySearch(*h, n)
	if there {
		return
	}
	*h = slices.Insert(*h, i, n)
	if len(*h) > maxNumbers {
		*h = slices.Delete(*h, 0, len(*h)-maxNumbers)
	}
}

func (h history) has(n uint64) bool {
	_, there := slices.BinarySearch(h, n)
	return there
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

// numberOf reads an entry that is a number. 0: it is none.
func numberOf(z redis.Z) uint64 {
	s, _ := z.Member.(string)
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxNumber || z.Score != -float64(n) || purge.Own(n) {
		return 0
	}
	return n
}

// member reads an entry that is a cell.
func member(z redis.Z) (purge.Purge, bool) {
	s, ok := z.Member.(string)
	if !ok || len(s) < 2 || !(z.Score >= 1 && z.Score <= maxNumber) {
		return purge.Purge{}, false
	}
	k, ok := kindOf(s[0])
	cell, err := strconv.ParseUint(s[1:], 10, 32)
	if !ok || err != nil || cell >= purge.Cells {
		return purge.Purge{}, false
	}
	return purge.Purge{Seq: uint64(z.Score), Kind: k, Cells: []purge.Cell{purge.Cell(cell)}}, true
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

const messageHead = 1 + 8 + 8 + 1

// message reads one.
func message(b []byte) (p purge.Purge, before uint64, ok bool) {
	if len(b) < messageHead || b[0] != PurgeKind || (len(b)-messageHead)%4 != 0 || len(b) > messageHead+4*purge.MaxTargets {
		return purge.Purge{}, 0, false
	}
	before = binary.LittleEndian.Uint64(b[1:])
	k, ok := kindOf(b[messageHead-1])
	p = purge.Purge{Seq: binary.LittleEndian.Uint64(b[9:]), Kind: k}
	for b = b[messageHead:]; len(b) > 0; b = b[4:] {
		c := purge.Cell(binary.LittleEndian.Uint32(b))
		ok = ok && c < purge.Cells
		p.Cells = append(p.Cells, c)
	}
	return p, before, ok && before < p.Seq && p.Seq <= maxNumber && !purge.Own(p.Seq)
}
