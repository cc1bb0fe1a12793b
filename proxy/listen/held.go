package listen

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// held is the memory, of a stored object or of many together, that an answer is being sent from. A client that takes
// it slowly keeps it, also after the cache has let it go.
type held struct {
	id    atomic.Uint64 // 0: none
	bytes atomic.Int64
}

// pinned is an object by its id, and the bytes that sending from it keeps in memory.
type pinned struct {
	id    uint64
	bytes int64
}

func (h *held) set(p pinned) {
	h.id.Store(p.id)
	h.bytes.Store(p.bytes)
}

const (
	smallObject = 16 << 10 // the kernel's buffers take so much
	pinsAfter   = 1000     // milliseconds without taking the next piece
)

// unpin bounds the memory that slow readers keep: beyond limit bytes of distinct objects, those who take
// their answers slowest are ended.
func (s *Server) unpin(now, limit int64) {
	var slow []candidate
	s.reg.each(func(c *conn) {
		p, lasted, word := c.out.read(now)
		if p == phaseWriting && lasted > pinsAfter && c.held.bytes.Load() > smallObject {
			slow = append(slow, candidate{c, &c.out, lasted, word})
		}
	})
	if len(slow) == 0 {
		return
	}
	// The quickest come first and keep their objects; who shares one of those costs nothing more.
	slices.SortFunc(slow, func(a, b candidate) int { return cmp.Compare(a.age, b.age) })
	kept := make(map[uint64]bool, len(slow))
	var total int64
	for _, k := range slow {
		id, n := k.c.held.id.Load(), k.c.held.bytes.Load()
		if kept[id] {
			continue
		}
		if total+n > limit {
			if k.end() {
				s.counters.unpinned.Add(1)
			}
			continue
		}
		kept[id] = true
		total += n
	}
}
