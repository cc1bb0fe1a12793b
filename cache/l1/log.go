package l1

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/tzero-edge/tzero/cache"
)

// The log holds the blobs. Objects of up to smallest-of-its-own bytes are copied one behind the other into
// segments of a fixed size, so that the garbage collector sees one piece of memory without pointers where there
// are hundreds of objects; a larger object stays where it is and is a segment of its own.
//
// Memory is never used twice: a segment is filled once, from its beginning to its end, and dropped when nothing in
// it is wanted any more. Whoever still reads from it keeps it, and the collector takes it after the last one. That
// is all the protection that readers need.
//
// A segment of small objects is a sequence of records, each at a multiple of 8:
//
//	 0 u64  hash of the key
//	 8 u64  version: a number that no other record has, except a copy that compaction made of it
//	16 u32  length of the blob, n
//	20 u32  reserved
//	24 n bytes of blob, and up to 7 of padding
const (
	segmentSize = cache.SharedMemory
	ownSegment  = 32 << 10 // a blob above this length is a segment of its own
	recordHead  = 24
)

// place says where a record is: id of the segment · offset/8 in it (16 bits) · 1 where the object is pinned. The
// zero place is none.
type place uint64

const pinned place = 1

const offsetBits = 16

func (p place) id() uint64   { return uint64(p) >> (offsetBits + 1) }
func (p place) offset() int  { return int(p>>1) & (1<<offsetBits - 1) << 3 }
func (p place) pinned() bool { return p&pinned != 0 }
func (p place) bare() place  { return p &^ pinned }

func placeOf(id uint64, offset int) place {
	return place(id<<(offsetBits+1) | uint64(offset)>>3<<1)
}

type segment struct {
	id  uint64
	b   []byte // with the records, or the one blob of a large object
	own bool   // a large object's; then its record is here:

	hash, version uint64
	size          int64 // bytes that it takes

	// Guarded by log.mu.
	live   int64 // bytes of the records that are wanted, or may come to be
	used   int
	sealed bool
	at     int // in log.small
}

// record is what a place leads to.
type record struct {
	hash, version uint64
	blob          []byte
	size          int64 // bytes that it takes of the log
}

// footprint is how many bytes of a segment a small record takes.
func footprint(blob int) int64 { return int64(recordHead+blob+7) &^ 7 }

func (s *segment) record(offset int) record {
	if s.own {
		return record{s.hash, s.version, s.b, s.size}
	}
	h := s.b[offset:]
	n := int(binary.LittleEndian.Uint32(h[16:]))
	return record{binary.LittleEndian.Uint64(h), binary.LittleEndian.Uint64(h[8:]),
		h[recordHead : recordHead+n : recordHead+n], footprint(n)}
}

// log is safe for concurrent use. Readers take no lock.
type log struct {
	slots []atomic.Pointer[segment] // by id modulo their number

	mu    sync.Mutex
	last  uint64   // id of the newest segment
	open  *segment // where the next small record goes, or nil
	small []*segment

	bytes      atomic.Int64 // of all segments
	smallBytes atomic.Int64 // of those of small objects
	live       atomic.Int64 // bytes of all small records that are wanted
	moved      atomic.Uint64
}

// newLog returns a log for capacity bytes and some more.
func newLog(capacity int64) *log {
	n := 1 << 10
	for int64(n) < 2*capacity/ownSegment {
		n *= 2
	}
	return &log{slots: make([]atomic.Pointer[segment], n)}
}

func (l *log) slot(id uint64) *atomic.Pointer[segment] { return &l.slots[id&uint64(len(l.slots)-1)] }

// at returns the record at p; false when its segment is gone.
func (l *log) at(p place) (record, bool) {
	id := p.id()
	s := l.slot(id).Load()
	if s == nil || s.id != id {
		return record{}, false
	}
	return s.record(p.offset()), true
}

// add appends a record, which counts as wanted until it is released. false when there are too many segments.
func (l *log) add(hash, version uint64, o cache.Object) (place, bool) {
	blob := o.Bytes()
	if len(blob) > ownSegment {
		return l.addOwn(hash, version, o)
	}
	size := int(footprint(len(blob)))
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.room(size) {
		return 0, false
	}
	s := l.open
	p := placeOf(s.id, s.used)
	h := s.b[s.used:]
	binary.LittleEndian.PutUint64(h, hash)
	binary.LittleEndian.PutUint64(h[8:], version)
	binary.LittleEndian.PutUint32(h[16:], uint32(len(blob)))
	o.CopyTo(h[recordHead:], uint32(s.id)|1<<31) // never 0
	s.used += size
	s.live += int64(size)
	l.live.Add(int64(size))
	return p, true
}

func (l *log) addOwn(hash, version uint64, o cache.Object) (place, bool) {
	size := pages(int64(o.Size()))
	s := &segment{b: o.Bytes(), own: true, hash: hash, version: version, sealed: true, size: size, live: size}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.enter(s) {
		return 0, false
	}
	l.bytes.Add(size)
	return placeOf(s.id, 0), true
}

// room makes sure that the open segment has size bytes left. Called with the lock.
func (l *log) room(size int) bool {
	if l.open != nil && l.open.used+size <= segmentSize {
		return true
	}
	l.seal()
	s := &segment{b: make([]byte, segmentSize), at: len(l.small)}
	if !l.enter(s) {
		return false
	}
	l.open = s
	l.small = append(l.small, s)
	l.bytes.Add(segmentSize)
	l.smallBytes.Add(segmentSize)
	return true
}

// enter gives the segment an id whose slot is free, so that it can be found. Called with the lock.
func (l *log) enter(s *segment) bool {
	for range l.slots {
		l.last++
		if slot := l.slot(l.last); slot.Load() == nil {
			s.id = l.last
			slot.Store(s)
			return true
		}
	}
	return false
}

// seal ends the open segment. Called with the lock.
func (l *log) seal() {
	if s := l.open; s != nil {
		l.open, s.sealed = nil, true
		if s.live == 0 {
			l.drop(s)
		}
	}
}

// release says that the record at p, which must have been wanted, is so no more.
func (l *log) release(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.slot(p.id()).Load()
	n := s.record(p.offset()).size
	s.live -= n
	if !s.own {
		l.live.Add(-n)
	}
	if s.live == 0 && s.sealed {
		l.drop(s)
	}
}

// drop forgets a segment. Called with the lock.
func (l *log) drop(s *segment) {
	l.slot(s.id).Store(nil)
	if s.own {
		l.bytes.Add(-s.size)
		return
	}
	last := len(l.small) - 1
	l.small[s.at] = l.small[last]
	l.small[s.at].at = s.at
	l.small[last] = nil
	l.small = l.small[:last]
	l.bytes.Add(-segmentSize)
	l.smallBytes.Add(-segmentSize)
}

// pages is what the allocator takes for n bytes of a large object.
func pages(n int64) int64 { return (n + pageSize - 1) &^ (pageSize - 1) }

const pageSize = 8 << 10
