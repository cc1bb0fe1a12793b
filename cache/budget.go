package cache

import (
	"sync"
	"time"
)

// All fills together hold at most Cache.maxHeld bytes. A fill asks before it takes:
//
//   - a body of known length is counted whole when the fill begins, however late it comes;
//   - a body of unknown length is counted as it grows, and from the start with the least window that it
//     falls back to when it may not grow: a fill that was admitted can always go on.
//
// What is counted is given back when nothing can refer to it any more. A slow reader keeps the memory that it
// is writing from, even after the fill outgrew it, ended, and was evicted from the tier; so the memory of a
// fill that has ended counts until its last reader is closed.

// MostHeld is what all fills together may hold, in bytes.
func (c *Cache) MostHeld() int64 { return c.maxHeld }

// reserve counts n bytes, if that many are left.
func (c *Cache) reserve(n int64) bool {
	if c.held.Add(n) > c.maxHeld {
		c.held.Add(-n)
		return false
	}
	return true
}

// block is one piece of memory that a fill's body is in, or was in before it grew.
type block struct {
	size    int64
	pins    int  // readers that write from it
	retired bool // the fill has moved on
}

// ask counts n more bytes for the fill, if that many are left.
func (f *Fill) ask(n int64) bool {
	if !f.c.reserve(n) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.charged += n
	return true
}

// adopt makes size bytes, of which asked were counted already, the fill's current block. Called with the
// lock.
func (f *Fill) adopt(size, asked int64) {
	f.give(asked - size)
	f.retire()
	f.block = &block{size: size}
}

// retire says that the fill has left its current block. Called with the lock.
func (f *Fill) retire() {
	b := f.block
	if b == nil {
		return
	}
	f.block, b.retired = nil, true
	if b.pins == 0 {
		f.give(b.size)
	}
}

// give counts n bytes back. Called with the lock.
func (f *Fill) give(n int64) {
	f.c.held.Add(-n)
	f.charged -= n
}

// settleUp gives back what a fill that has ended will not use any more: all of it once nobody reads. Called
// with the lock.
func (f *Fill) settleUp() {
	f.give(f.spare)
	f.spare = 0
	if len(f.readers) == 0 {
		f.give(f.charged)
		f.block = nil
	}
}

// pin keeps the current block for r until its next unpin. Called with the fill's lock.
func (r *Reader) pin() {
	r.unpin()
	if r.on = r.f.block; r.on != nil {
		r.on.pins++
	}
}

func (r *Reader) unpin() {
	b := r.on
	if b == nil {
		return
	}
	r.on = nil
	if b.pins--; b.pins == 0 && b.retired {
		r.f.give(b.size)
	}
}

// A fill that nobody reads is finished all the same, for those who come later, as long as there is memory
// enough. When more than half of it is taken, fills that had no reader for a while are abandoned.
const (
	orphanAfter = time.Second     // after the last reader left: the crowd behind a leader needs a moment
	firstReader = 5 * time.Second // without any: the leader may be slow, or may have no use for the content
)

// orphans are the running fills that nobody reads. The zero value is ready.
type orphans struct {
	mu    sync.Mutex
	fills map[*Fill]time.Time // abandoned from then on
}

func (o *orphans) add(f *Fill, due time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fills == nil {
		o.fills = make(map[*Fill]time.Time)
	}
	o.fills[f] = due
}

func (o *orphans) remove(f *Fill) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.fills, f)
}

// due takes out those whose time has come.
func (o *orphans) due(now time.Time) (due []*Fill) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for f, at := range o.fills {
		if !at.After(now) {
			due = append(due, f)
			delete(o.fills, f)
		}
	}
	return due
}

// relieve abandons orphans when memory is short. It is called by whoever took memory, without locks.
func (c *Cache) relieve() {
	if c.held.Load() <= c.maxHeld/2 {
		return
	}
	for _, f := range c.orphans.due(c.now()) {
		f.abandon()
	}
}

// abandon ends a fill that nobody reads. Its pump notices at its next step, and at once where the body can be
// aborted.
func (f *Fill) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) > 0 || f.over() {
		return
	}
	f.abandoned = true
	if f.abort != nil {
		f.abort()
	}
}

// over reports whether the pump has ended. Called with the lock.
func (f *Fill) over() bool {
	return f.state != Streaming && (f.state != TooLarge || f.spill.end_)
}
