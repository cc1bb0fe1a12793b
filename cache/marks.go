package cache

import (
	"sync/atomic"
	"time"
)

// markFor is how long an uncacheable answer is remembered.
const markFor = 10 * time.Second

// numMarks bounds the memory of marks: 128 KiB. Colliding marks displace each other, which costs a wait.
const numMarks = 1 << 14

// marks remembers for a while which keys proved uncacheable, by credential class, so that their requests
// stop waiting for each other. It is a table of fixed size without locks. A mark never prevents storing: it
// only says that nobody waits.
//
// A cell holds tag (28 bits of the hash) · kind (4 bits) · end (Unix s, 32 bits).
type marks struct{ cells [numMarks]atomic.Uint64 }

type markKind uint64

const (
	markUncacheable markKind = iota + 1
	markTooLarge
)

func markHash(hash uint64, c class) uint64 {
	return (hash ^ uint64(c)*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd
}

func (m *marks) set(hash uint64, c class, kind markKind, now time.Time) {
	h := markHash(hash, c)
	end := uint64(uint32(now.Add(markFor).Unix()))
	cell, v := &m.cells[h%numMarks], h>>36<<36|uint64(kind)<<32|end
	if cell.Load() != v { // once a second and key: processors share the cell
		cell.Store(v)
	}
}

func (m *marks) clear(hash uint64, c class) {
	h := markHash(hash, c)
	cell := &m.cells[h%numMarks]
	if v := cell.Load(); v>>36 == h>>36 {
		cell.CompareAndSwap(v, 0)
	}
}

func (m *marks) get(hash uint64, c class, now time.Time) Reason {
	h := markHash(hash, c)
	v := m.cells[h%numMarks].Load()
	if v == 0 || v>>36 != h>>36 || int64(uint32(v)) <= now.Unix() {
		return ""
	}
	if markKind(v>>32&0xf) == markTooLarge {
		return BypassTooLarge
	}
	return BypassUncacheable
}
