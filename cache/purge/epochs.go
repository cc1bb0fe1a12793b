// Package purge says what of the stored responses was purged, without a list of who has which tag.
//
// Every purge has a number, one more than the one before it. Whatever can be purged (a page, what lies under a path, a
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

// Cells is the number of cells: the table takes 2 MiB. With a thousand tags purged since a response was stored, one
// that carries ten cells has been hit by chance once in 26 times.
const Cells = 1 << 18

// Cell is a place in the table.
type Cell uint32

// Everything is the cell that every response has without carrying it.
const Everything Cell = 0

// Purge is one purge as nodes tell each other.
type Purge struct {
	Seq   uint32 // its number; 0 is none
	Kind  Kind
	Cells []Cell
}

// Epochs is the table. It is safe for concurrent use; reading takes no lock.
type Epochs struct {
	latest atomic.Uint64
	cells  [Cells]atomic.Uint64 // number of the last hard purge · number of the last soft one
}

// NewEpochs returns a table without purges.
func NewEpochs() *Epochs { return new(Epochs) }

// Latest is the number of the last purge that is known.
func (e *Epochs) Latest() uint64 { return e.latest.Load() }

// Check says what purges after since have done to a response that carries cells, u32 little-endian each.
func (e *Epochs) Check(since uint64, cells []byte) Verdict {
	if since >= e.latest.Load() {
		return Clean
	}
	v := judge(e.cells[Everything].Load(), since)
	for ; len(cells) >= 4 && v != HardPurged; cells = cells[4:] {
		v = max(v, judge(e.cells[binary.LittleEndian.Uint32(cells)%Cells].Load(), since))
	}
	return v
}

func judge(cell, since uint64) Verdict {
	switch {
	case cell>>32 > since:
		return HardPurged
	case cell&0xffff_ffff > since:
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
		raise(&e.cells[c%Cells], p.Kind, p.Seq)
	}
}

// Noted reports whether everything that a purge hits was hit by it or by a later one of its kind.
func (e *Epochs) Noted(p Purge) bool {
	for _, c := range p.Cells {
		n := e.cells[c%Cells].Load()
		if p.Kind == Hard && uint32(n>>32) < p.Seq || p.Kind == Soft && uint32(n) < p.Seq {
			return false
		}
	}
	return true
}

// Reach says that every purge up to seq is noted.
func (e *Epochs) Reach(seq uint64) {
	for {
		last := e.latest.Load()
		if seq <= last || e.latest.CompareAndSwap(last, seq) {
			return
		}
	}
}

func raise(cell *atomic.Uint64, k Kind, seq uint32) {
	for {
		old := cell.Load()
		hard, soft := uint32(old>>32), uint32(old)
		if k == Hard {
			hard = max(hard, seq)
		} else {
			soft = max(soft, seq)
		}
		next := uint64(hard)<<32 | uint64(soft)
		if next == old || cell.CompareAndSwap(old, next) {
			return
		}
	}
}

// Next purges in a process that has no others to tell, and returns the purge's number.
func (e *Epochs) Next(k Kind, cells []Cell) uint64 {
	for {
		last := e.latest.Load()
		for _, c := range cells { // before the number is known: whoever began to fill meanwhile is hit, too
			raise(&e.cells[c%Cells], k, uint32(last+1))
		}
		if e.latest.CompareAndSwap(last, last+1) {
			return last + 1
		}
	}
}

// Each calls yield for everything that was purged, with the number of the last time.
func (e *Epochs) Each(yield func(c Cell, k Kind, seq uint32)) {
	for i := range e.cells {
		v := e.cells[i].Load()
		if hard := uint32(v >> 32); hard > 0 {
			yield(Cell(i), Hard, hard)
		}
		if soft := uint32(v); soft > 0 {
			yield(Cell(i), Soft, soft)
		}
	}
}
