package cache

import (
	"sync/atomic"
	"time"
)

// numWrites bounds the memory of writes: 512 KiB. Keys that share a cell share their writes, which may cost a
// fetch and never an error.
const numWrites = 1 << 16

// writes remembers, by the hash of the primary key, when a key was last invalidated. An answer that was asked
// for before a write may tell of the time before it, however late it comes: storing it would undo the
// invalidation (RFC 9111 §4.4).
//
// A cell holds nanoseconds since born, and grows with every write; 0 is never. It serves as the epoch of its
// keys, too: whoever begins after a write does not join a flight from before it.
type writes struct {
	born  time.Time // differences to it are taken on the monotonic clock
	cells [numWrites]atomic.Int64
}

func (w *writes) cell(hash uint64) *atomic.Int64 { return &w.cells[hash%numWrites] }

// epoch is the number of the writes to the key so far.
func (w *writes) epoch(hash uint64) int64 { return w.cell(hash).Load() }

// note remembers a write.
func (w *writes) note(hash uint64, now time.Time) {
	cell, at := w.cell(hash), int64(now.Sub(w.born))
	for {
		old := cell.Load()
		next := at
		if old != 0 {
			next = max(at, old+1)
		}
		if next == 0 {
			next = 1
		}
		if cell.CompareAndSwap(old, next) {
			return
		}
	}
}

// since reports whether the key may have been written after asked.
func (w *writes) since(hash uint64, asked time.Time) bool {
	last := w.cell(hash).Load()
	return last != 0 && int64(asked.Sub(w.born)) <= last
}
