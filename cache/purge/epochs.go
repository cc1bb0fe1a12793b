// Package purge says what of the stored responses was purged, without a list of who has which tag.
//
// Every purge has a number, greater than those before it: even where the nodes that share a Redis have agreed on it, odd
// where a node has purged for itself. Whatever can be purged (a page, what lies under a path, a
// tag, everything) has by its hash a cell in a table of fixed size, which holds the number of the last purge that hit
// it. A response carries the cells that speak of it, and the number of the last purge before its fill began: it was
// purged where one of its cells has a greater number. Two things that share a cell are purged together, which costs a
// fetch and never an error.
package purge

import (
	"encoding/binary"
	"sync/atomic"
)

// Verdict is what purges have done to a response.
type Verdict uint8

// The verdicts.
const (
	Clean      Verdict = iota
	SoftPurged         // stale, to be used while a new one is fetched
	HardPurged         // gone
)

// Kind tells soft purges from hard ones.
type Kind uint8

// The kinds.
const (
	Hard Kind = iota
	Soft
)

func (k Kind) String() string {
	if k == Soft {
		return "soft"
	}
	return "hard"
}

// Cells is the number of cells: the table takes 4 MiB. With a thousand tags purged since a response was stored, one
// that carries ten cells has been hit by chance once in 26 times.
const Cells = 1 << 18

// Cell is a place in the table.
type Cell uint32

// Everything is the cell that every response has without carrying it.
const Everything Cell = 0

// Purge is one purge as nodes tell each other.
type Purge struct {
	Seq   uint64 // its number; 0 is none
	Kind  Kind
	Cells []Cell
}

// Epochs is the table. It is safe for concurrent use; reading takes no lock.
type Epochs struct {
	latest atomic.Uint64
	cells  [Cells]cell
}

// cell has the numbers of the last purges of either kind that hit it.
type cell struct{ hard, soft atomic.Uint64 }

// NewEpochs returns a table without purges.
func NewEpochs() *Epochs { return new(Epochs) }

// Latest is the number of the last purge that is known.
func (e *Epochs) Latest() uint64 { return e.latest.Load() }

// Check says what purges after since have done to a response that carries cells, u32 little-endian each.
func (e *Epochs) Check(since uint64, cells []byte) Verdict {
	if since >= e.latest.Load() {
		return Clean
	}
	v := e.cells[Everything].judge(since)
	for ; len(cells) >= 4 && v != HardPurged; cells = cells[4:] {
		v = max(v, e.cells[binary.LittleEndian.Uint32(cells)%Cells].judge(since))
	}
	return v
}

func (c *cell) judge(since uint64) Verdict {
	switch {
	case c.hard.Load() > since:
		return HardPurged
	case c.soft.Load() > since:
		return SoftPurged
	}
	return Clean
}

// Apply notes a purge, all before which are noted. Purges may come in any order, and more than once.
func (e *Epochs) Apply(p Purge) {
	e.Note(p)
	e.Reach(uint64(p.Seq)) // after the cells: who sees the number sees what it hit
}

// Note notes what a purge hit, and leaves the number of the last one to Reach.
func (e *Epochs) Note(p Purge) {
	for _, c := range p.Cells {
		e.cells[c%Cells].raise(p.Kind, p.Seq)
	}
}

// Reach says that every purge up to seq is noted.
func (e *Epochs) Reach(seq uint64) { raise(&e.latest, seq) }

func (c *cell) raise(k Kind, seq uint64) {
	if k == Soft {
		raise(&c.soft, seq)
		return
	}
	raise(&c.hard, seq)
}

func raise(n *atomic.Uint64, to uint64) {
	for {
		old := n.Load()
		if to <= old || n.CompareAndSwap(old, to) {
			return
		}
	}
}

// Next purges in this process alone, and returns the purge's number, which is odd.
func (e *Epochs) Next(k Kind, cells []Cell) uint64 {
	for {
		last := e.latest.Load()
		next := (last + 1) | 1
		for _, c := range cells { // before the number is known: whoever began to fill meanwhile is hit, too
			e.cells[c%Cells].raise(k, next)
		}
		if e.latest.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Own reports whether a number, of a purge or of the last one before a fill, is one that a process gave for itself: it says
// nothing to others.
func Own(seq uint64) bool { return seq&1 == 1 }

// Each calls yield for everything that was purged, with the number of the last time.
func (e *Epochs) Each(yield func(c Cell, k Kind, seq uint64)) {
	for i := range e.cells {
		if hard := e.cells[i].hard.Load(); hard > 0 {
			yield(Cell(i), Hard, hard)
		}
		if soft := e.cells[i].soft.Load(); soft > 0 {
			yield(Cell(i), Soft, soft)
		}
	}
}
