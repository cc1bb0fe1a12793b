package bus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache/purge"
)

// maxNumbers is how many of the last numbers the list and every node remember: who was away for longer than that many purges
// cannot tell whether Redis has lost some meanwhile.
const maxNumbers = 1024

// begin is when numbers begin; ahead is by how much a number may be later than a node's own clock says. A list with numbers
// beyond is not believed: they would be above those of all purges to come.
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ahead = 24 * time.Hour

// numberAt is the number of a purge at a time.
func numberAt(t time.Time) uint64 { return 2 * uint64(max(t.Sub(begin), 0)/time.Microsecond) }

// limit is the greatest number that is believed. Scores are of float64, which know every number below 2^53.
func limit() uint64 { return min(numberAt(time.Now().Add(ahead)), 1<<53-2) }

// maxStep is in what range the distance to the number before is drawn by lot where the clock is no help. When Redis has lost
// the end of the list, and the clock is behind, the next number is hardly one of those that were lost.
const maxStep = 1 << 13

// issue gives a purge the next number, above a floor that a node knows. It returns the number before and the number. A number
// of -1: there is no list; with ARGV[5] set it is begun, and -1 means that there is one already. -2: it would be beyond ARGV[6].
var issue = redis.NewScript(`
local newest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local last = math.max(0, -tonumber(newest[2] or '0'))
if (last > 0) == (ARGV[5] ~= '') then return {'0', '-1'} end
local t = redis.call('TIME')
local seq = 2 * ((t[1] - tonumber(ARGV[9])) * 1000000 + t[2])
local floor = math.max(last, tonumber(ARGV[1]))
if seq <= floor then seq = floor + tonumber(ARGV[8]) end
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
		b.floor(), letter(k), b.o.Keys.Bus(), pack(cells), mode, limit(), maxNumbers, 2+rand.Uint64N(maxStep), begin.Unix()).Int64Slice()
	switch {
	case err != nil:
		return 0, 0, b.explain(err)
	case len(got) != 2:
		return 0, 0, b.errForeign()
	case got[1] == -2:
		return 0, 0, b.errAhead()
	case got[1] == -1:
		return 0, 0, errLost
	case got[0] < 0 || got[1] <= got[0]:
		return 0, 0, fmt.Errorf("redis gave the purge number %d after %d", got[1], got[0])
	}
	return uint64(got[1]), uint64(got[0]), nil
}

// floor is the greatest number that is known to have been given: by this node, or acknowledged by another.
func (b *Bus) floor() uint64 {
	n := b.o.Epochs.Latest()
	if b.o.Acknowledged == nil {
		return n
	}
	if others := b.o.Acknowledged(); others <= limit() {
		n = max(n, others)
	}
	return n
}

// errAhead: whose clock is wrong only people can say.
func (b *Bus) errAhead() error {
	return fmt.Errorf("purges in Redis (%s) are numbered by a clock that is %s ahead of this machine's, or more: set the clocks right, and delete that key if it was Redis' clock that was wrong", b.o.Keys.Purges(), ahead)
}

// errForeign: it is left alone, for it may be somebody's.
func (b *Bus) errForeign() error {
	return fmt.Errorf("what Redis has as %s is no list of purges: give redis.prefix a value of its own, or delete it if it is nobody's", b.o.Keys.Purges())
}

func (b *Bus) explain(err error) error {
	if strings.Contains(err.Error(), "WRONGTYPE") { // not always in front: a script may have said it
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
	l, err := b.look(ctx, known)
	switch {
	case err != nil:
		return err
	case l.last == 0:
		return b.lost(ctx, known)
	}
	b.lostAt = time.Time{}
	if l.last != known {
		b.learn(l, known)
	}
	return nil
}

// look is what a node that knows the list up to number ARGV[1] is to see of it, in one step: the last number; whether ARGV[1]
// is on it; and of numbers and cells those since, or all where it is not.
var look = redis.NewScript(`
local newest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if newest[1] == ARGV[1] or tonumber(newest[2] or '0') >= 0 then return {newest, 1, {}, {}} end
local listed, to, from = 1, '(-' .. ARGV[1], '(' .. ARGV[1]
if ARGV[1] ~= '0' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then listed, to, from = 0, '(0', '(0' end
return {newest, listed,
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', to, 'WITHSCORES', 'LIMIT', 0, ARGV[2]),
  redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[3])}`)

// seen is what look saw.
type seen struct {
	last    uint64 // 0: there is no list
	listed  bool   // what the node knows last is on it
	numbers []uint64
	cells   []purge.Purge // of one cell each
	unknown int           // entries that are neither
}

// look asks Redis for what has come to the list since a number, or for all of it where that number is not on it.
func (b *Bus) look(ctx context.Context, known uint64) (seen, error) {
	const numbers, cells = 2 * maxNumbers, 4 * purge.Cells // more than there can be
	got, err := look.Run(ctx, b.o.Client, []string{b.o.Keys.Purges()}, strconv.FormatUint(known, 10), numbers, cells).Slice()
	if err != nil {
		return seen{}, fmt.Errorf("cannot read the list of purges: %w", b.explain(err))
	}
	s, err := b.readSeen(got, limit())
	if err != nil {
		return seen{}, err
	}
	b.n.unknown.Add(uint64(s.unknown))
	return s, nil
}

func (b *Bus) readSeen(got []any, limit uint64) (s seen, err error) {
	if len(got) != 4 {
		return seen{}, b.errForeign()
	}
	newest, numbers, cells := entries(got[0]), entries(got[2]), entries(got[3])
	if len(newest) == 0 || !(newest[0].Score < 0) { // cells without numbers are no list yet
		return seen{}, nil
	}
	s.last = numberOf(newest[0])
	switch {
	case s.last == 0:
		return seen{}, b.errForeign()
	case s.last > limit:
		return seen{}, b.errAhead()
	}
	s.listed = got[1] == int64(1)
	for _, z := range numbers {
		if n := numberOf(z); n != 0 {
			s.numbers = append(s.numbers, n)
		} else {
			s.unknown++
		}
	}
	for _, z := range cells {
		p, ok := member(z)
		if !ok || p.Seq > limit {
			s.unknown++
			continue
		}
		// A cell beyond the last number was put back by a node that knows more, and has not said so yet: what is on the
		// list is at least hit once.
		p.Seq = min(p.Seq, s.last)
		s.cells = append(s.cells, p)
	}
	return s, nil
}

// entries reads members with their scores as a script returns them.
func entries(v any) []redis.Z {
	flat, _ := v.([]any)
	zs := make([]redis.Z, 0, len(flat)/2)
	for ; len(flat) >= 2; flat = flat[2:] {
		text, _ := flat[1].(string)
		score, err := strconv.ParseFloat(text, 64)
		if err != nil {
			score = math.NaN()
		}
		zs = append(zs, redis.Z{Member: flat[0], Score: score})
	}
	return zs
}

// learn takes what is on the list and not known here. Where the list does not have what is known last, Redis has lost what it
// had, or the list was begun anew: each then learns from the other. What both know ends at the greatest number that is known
// to both; a node that was away for more purges than the list remembers the numbers of knows the list up to its last.
func (b *Bus) learn(l seen, known uint64) {
	since := known
	if !l.listed {
		var common, oldest uint64 = 0, math.MaxUint64
		for _, n := range l.numbers {
			oldest = min(oldest, n)
			if b.history.has(n) {
				common = max(common, n)
			}
		}
		if known >= oldest {
			since = common
		}
		b.n.diverged.Add(1)
		b.retell(l.cells)
		b.history = nil
	}
	for _, n := range l.numbers {
		b.history.add(n)
	}
	cells := slices.DeleteFunc(l.cells, func(p purge.Purge) bool { return p.Seq <= since })
	b.known.Store(l.last)
	b.take(cells)
	b.n.caughtUp.Add(1)
	b.o.Applied()
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
		return b.readMissed(ctx)
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
	if err != nil || n >= 1<<53 || z.Score != -float64(n) || purge.Own(n) {
		return 0
	}
	return n
}

// member reads an entry that is a cell.
func member(z redis.Z) (purge.Purge, bool) {
	s, ok := z.Member.(string)
	if !ok || len(s) < 2 || !(z.Score >= 1 && z.Score < 1<<53) {
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

// message reads one. Numbers above limit are not believed.
func message(b []byte, limit uint64) (p purge.Purge, before uint64, ok bool) {
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
	return p, before, ok && before < p.Seq && p.Seq <= limit && !purge.Own(p.Seq)
}
