package l1

import (
	"sync"
	"sync/atomic"
)

// index finds the place of the record under a hash. It is a table with open addressing in numShards parts; readers
// take no lock, and the collector sees no pointers in it.
//
// A cell belongs to its hash for as long as its table lives, also while there is nothing under the hash: so hash
// and place of a cell always fit together, whoever reads them in between. Cells without a place are left behind
// when the table is replaced by a larger, or a smaller, one.
type index struct {
	shards [numShards]shard
	bytes  atomic.Int64 // of all tables
}

const (
	numShards = 64
	leastRoom = 16 // cells of a table
	cellSize  = 16 // bytes
)

type cell struct{ hash, place atomic.Uint64 }

type shard struct {
	table atomic.Pointer[[]cell] // a power of two of them
	mu    sync.Mutex             // for all writes
	used  int                    // cells that have a hash
	full  int                    // of them, those with a place
	pins  map[uint64]struct{}
	_     [64]byte
}

func newIndex() *index {
	x := &index{}
	for i := range x.shards {
		t := make([]cell, leastRoom)
		x.shards[i].table.Store(&t)
	}
	x.bytes.Store(numShards * leastRoom * cellSize)
	return x
}

// shard of a hash; its low bits choose the cell.
func (x *index) shard(hash uint64) *shard { return &x.shards[hash>>(64-6)] }

// get returns the place of what is under hash, or none.
func (x *index) get(hash uint64) place {
	t := *x.shard(hash).table.Load()
	for i := hash; ; i++ {
		c := &t[i&uint64(len(t)-1)]
		switch c.hash.Load() {
		case hash:
			return place(c.place.Load())
		case 0:
			return 0
		}
	}
}

// find returns the cell of a hash, or the free one where it would be. Called with the lock.
func (s *shard) find(hash uint64) *cell {
	t := *s.table.Load()
	for i := hash; ; i++ {
		c := &t[i&uint64(len(t)-1)]
		if h := c.hash.Load(); h == hash || h == 0 {
			return c
		}
	}
}

// put sets the place of a hash, 0 for none, and returns what it was. Called with the shard's lock.
func (x *index) put(s *shard, hash uint64, p place) (was place) {
	c := s.find(hash)
	if c.hash.Load() == 0 {
		if p == 0 {
			return 0
		}
		if s.used >= len(*s.table.Load())*3/4 {
			x.rebuild(s)
			c = s.find(hash)
		}
		s.used++
		c.place.Store(uint64(p)) // before the hash, with which readers begin
		c.hash.Store(hash)
		s.full++
		return 0
	}
	was = place(c.place.Load())
	c.place.Store(uint64(p))
	switch {
	case was == 0 && p != 0:
		s.full++
	case was != 0 && p == 0:
		s.full--
	}
	return was
}

// rebuild copies the cells that have a place into a table that they fill to three eighths at most. Called with
// the shard's lock.
func (x *index) rebuild(s *shard) {
	old := *s.table.Load()
	n := leastRoom
	for s.full*8 > n*3 {
		n *= 2
	}
	t := make([]cell, n)
	s.used = 0
	for i := range old {
		p := old[i].place.Load()
		if p == 0 {
			continue
		}
		hash := old[i].hash.Load()
		for j := hash; ; j++ {
			if c := &t[j&uint64(n-1)]; c.hash.Load() == 0 {
				c.place.Store(p)
				c.hash.Store(hash)
				break
			}
		}
		s.used++
	}
	s.table.Store(&t)
	x.bytes.Add(int64(n-len(old)) * cellSize)
}

// move sets the place of a hash from one to another and keeps the pin; false when it is not the one any more.
func (x *index) move(hash uint64, from, to place) bool {
	s := x.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.find(hash)
	p := place(c.place.Load())
	if p == 0 || p.bare() != from {
		return false
	}
	c.place.Store(uint64(to | p&pinned))
	return true
}
