// Package ratelimit decides whether a client may go on. It counts by the Generic Cell Rate Algorithm in a table of
// fixed size: of each client it keeps one number, the theoretical arrival time (TAT) at which its allowance would be
// whole again. (ITU-T I.371, Annex A; as a rate limiter: Brandur Leach, "Rate Limiting, Cells, and GCRA", 2015.)
//
// The package is pure: time comes as an argument, in nanoseconds on a clock that never steps back.
package ratelimit

import (
	"math/bits"
	"sync/atomic"
)

// Quota is what one key may take. Both are in nanoseconds: a request moves the key's TAT by Interval, and the TAT may
// lie at most Burst ahead of now. So Burst/Interval requests pass at once, and afterwards one an Interval.
type Quota struct {
	Interval int64
	Burst    int64
}

// Remaining returns how many requests still pass at once where the TAT lies ahead of now by so much.
func (q Quota) Remaining(ahead int64) int64 { return max(q.Burst-ahead, 0) / q.Interval }

// Wait returns the time until a request passes, 0 where one passes now.
func (q Quota) Wait(ahead int64) int64 { return max(ahead+q.Interval-q.Burst, 0) }

// Refill returns the time until one more request passes than now does; 0 where the allowance is whole.
func (q Quota) Refill(ahead int64) int64 {
	if ahead <= 0 {
		return 0
	}
	return ahead - (q.Burst - (q.Remaining(ahead)+1)*q.Interval)
}

// Table holds the TATs of as many keys as it was made for. A key is a hash; zero is taken as one.
//
// The places lie in rows of four, a row a cache line. A key has two rows it may lie in, and a new one goes where more
// is free (the power of two choices: Azar et al. 1994), so that the table fills nearly whole before anybody has to leave.
// A place whose TAT has passed is free: to forget it changes nothing. Where all eight are taken, the one whose TAT ends
// first leaves, which forgives its key less than an allowance; that is counted.
//
// Nothing is locked. When a place changes hands while somebody charges it, a charge may fall on the wrong key or be
// lost: one request, once.
type Table struct {
	places  []place
	rows    uint64
	tally   []atomic.Int32  // by place: requests charged since Used was last called
	dirty   []atomic.Uint64 // by place, a bit: the tally is not 0
	evicted atomic.Uint64
}

type place struct {
	key atomic.Uint64 // 0: nobody's
	tat atomic.Int64
}

const rowSize = 4

// NewTable returns a table for so many keys at five eighths of its places, where one in thousands finds its eight places
// taken. It takes 20 bytes a place, which is 32 a key.
func NewTable(keys int) *Table {
	rows := max((keys*8/5+rowSize-1)/rowSize, 2)
	n := rows * rowSize
	return &Table{
		places: make([]place, n), rows: uint64(rows),
		tally: make([]atomic.Int32, n), dirty: make([]atomic.Uint64, (n+63)/64),
	}
}

// Capacity returns the number of places.
func (t *Table) Capacity() int { return len(t.places) }

// Evicted counts keys that were forgotten before their allowance was whole.
func (t *Table) Evicted() uint64 { return t.evicted.Load() }

// Take charges one request to key, if q permits it at now. ahead is how far the TAT lies ahead of now afterwards.
func (t *Table) Take(key uint64, q Quota, now int64) (ahead int64, ok bool) {
	i := t.claim(&key, now)
	if i < 0 {
		return 0, true // the places changed hands faster than one was won: nobody is refused for that
	}
	p := &t.places[i]
	for {
		old := p.tat.Load()
		ahead = clamp(old-now, q.Burst)
		if ahead+q.Interval > q.Burst {
			return ahead, false
		}
		if p.tat.CompareAndSwap(old, now+ahead+q.Interval) {
			t.note(i, 1)
			return ahead + q.Interval, true
		}
	}
}

// MaxDebt times a burst is how far a TAT may lie ahead: several gateways can each let a whole burst pass before they hear of
// each other, and what was too much is paid back.
const MaxDebt = 4

// clamp keeps what a TAT is ahead by within what its quota can have put there: a reload may have made the burst smaller.
func clamp(ahead, burst int64) int64 { return min(max(ahead, 0), MaxDebt*burst) }

// Peek returns how far key's TAT lies ahead of now, and charges nothing.
func (t *Table) Peek(key uint64, q Quota, now int64) (ahead int64) {
	if i := t.find(whole(key)); i >= 0 {
		return clamp(t.places[i].tat.Load()-now, q.Burst)
	}
	return 0
}

// Return gives a request back that was charged and not made.
func (t *Table) Return(key uint64, q Quota) {
	if i := t.find(whole(key)); i >= 0 {
		t.places[i].tat.Add(-q.Interval)
		t.note(i, -1)
	}
}

// Reach moves key's TAT to at least ahead of now: others have charged the key as well.
func (t *Table) Reach(key uint64, ahead, now int64) {
	if ahead <= 0 {
		return
	}
	i := t.claim(&key, now)
	if i < 0 {
		return
	}
	p := &t.places[i]
	for old := p.tat.Load(); old < now+ahead && !p.tat.CompareAndSwap(old, now+ahead); old = p.tat.Load() {
	}
}

func (t *Table) note(i int, taken int32) {
	t.tally[i].Add(taken)
	bit := uint64(1) << (i & 63)
	if word := &t.dirty[i>>6]; word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// Used tells f of every key that was charged since the last call, how many requests (less than none where more was given
// back than taken), and its TAT. Where f returns false the charges are kept for the next call.
func (t *Table) Used(f func(key uint64, requests int, tat int64) bool) {
	for w := range t.dirty {
		if t.dirty[w].Load() == 0 {
			continue
		}
		for word := t.dirty[w].Swap(0); word != 0; word &= word - 1 {
			i := w<<6 + bits.TrailingZeros64(word)
			key := t.places[i].key.Load()
			n := t.tally[i].Load()
			if n == 0 || key == 0 {
				continue
			}
			if f(key, int(n), t.places[i].tat.Load()) {
				n = t.tally[i].Add(-n)
			}
			if n != 0 {
				t.dirty[w].Or(word & -word)
			}
		}
	}
}

// Busy counts the keys whose allowance is not whole. It reads the whole table.
func (t *Table) Busy(now int64) int {
	n := 0
	for i := range t.places {
		if t.places[i].key.Load() != 0 && t.places[i].tat.Load() > now {
			n++
		}
	}
	return n
}

func whole(key uint64) uint64 { return max(key, 1) }

// choices returns the first places of a key's two rows.
func (t *Table) choices(key uint64) (a, b int) {
	hi, _ := bits.Mul64(key*0x9e3779b97f4a7c15, t.rows)
	other, _ := bits.Mul64(bits.RotateLeft64(key, 31)*0xd6e8feb86659fd93, t.rows)
	return int(hi) * rowSize, int(other) * rowSize
}

func (t *Table) find(key uint64) int {
	a, b := t.choices(key)
	if i := t.findIn(a, key); i >= 0 {
		return i
	}
	return t.findIn(b, key)
}

func (t *Table) findIn(row int, key uint64) int {
	places := t.places[row : row+rowSize]
	for i := range places {
		if places[i].key.Load() == key {
			return row + i
		}
	}
	return -1
}

// claim finds key's place, or gets one for it; -1 after losing it to others again and again.
func (t *Table) claim(key *uint64, now int64) int {
	*key = whole(*key)
	for range 8 {
		if i := t.find(*key); i >= 0 {
			return i
		}
		a, b := t.choices(*key)
		i, live := t.best(a, b, now)
		p := &t.places[i]
		old := p.key.Load()
		if old == *key {
			return i
		}
		if live {
			p.tat.Store(0) // before the place is the new key's: it must not inherit the debt
		}
		if p.key.CompareAndSwap(old, *key) {
			t.tally[i].Store(0)
			if live {
				t.evicted.Add(1)
			}
			return i
		}
	}
	return -1
}

// best returns the place of two rows that a new key should have, and whether that is a living key's.
func (t *Table) best(a, b int, now int64) (i int, live bool) {
	freeA, inA, soonA := t.free(a, now)
	freeB, inB, soonB := t.free(b, now)
	switch {
	case inA+inB == 0 && t.places[soonA].tat.Load() <= t.places[soonB].tat.Load():
		return soonA, true
	case inA+inB == 0:
		return soonB, true
	case inA >= inB:
		return freeA, false
	}
	return freeB, false
}

// free counts the free places of a row, and returns the first of them and the one whose TAT ends first.
func (t *Table) free(row int, now int64) (first, n, soonest int) {
	first, soonest = row, row
	least := int64(1<<63 - 1)
	for i := row; i < row+rowSize; i++ {
		tat := t.places[i].tat.Load()
		if tat <= now || t.places[i].key.Load() == 0 {
			if n++; n == 1 {
				first = i
			}
		}
		if tat < least {
			least, soonest = tat, i
		}
	}
	return first, n, soonest
}
