package l1

import "github.com/tzero-edge/tzero/cache"

// Segments of small objects get holes as objects go. When more than spareShare of them is holes, the emptiest
// segment is given back: what is still wanted in it moves to the open one.
//
// By how much the holes may grow is a matter of work and memory: with an eighth, the emptiest segment is on
// average a quarter holes or more when objects go at random, and every byte gained costs at most three copied.
const (
	spareShare = 8
	spareLeast = 4 * segmentSize // holes that nobody minds
)

// compaction is the goroutine that does it.
type compaction struct {
	wanted chan struct{}
	quit   chan struct{}
	done   chan struct{}
}

// start runs work, as long as it reports that it did something, whenever it is nudged.
func (c *compaction) start(work func() bool) {
	c.wanted, c.quit, c.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(c.done)
		for {
			select {
			case <-c.quit:
				return
			case <-c.wanted:
			}
			for more := true; more; {
				select {
				case <-c.quit:
					return
				default:
					more = work()
				}
			}
		}
	}()
}

func (c *compaction) stop() {
	close(c.quit)
	<-c.done
}

// nudge wakes the goroutine when there is something to do.
func (c *compaction) nudge(l *log) {
	if !l.sparse() {
		return
	}
	select {
	case c.wanted <- struct{}{}:
	default:
	}
}

// sparse reports whether holes take more than they may.
func (l *log) sparse() bool {
	all := l.smallBytes.Load()
	return all-l.live.Load() > max(all/spareShare, spareLeast)
}

// emptiest returns the sealed segment with the least that is wanted, when it is worth the work; or nil.
func (l *log) emptiest() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var best *segment
	for _, s := range l.small {
		if s.sealed && (best == nil || s.live < best.live) {
			best = s
		}
	}
	if best == nil || best.live > segmentSize-segmentSize/(2*spareShare) {
		return nil
	}
	return best
}

// compact gives one segment back; false when there is none to give.
func (t *Tier) compact() bool {
	if !t.log.sparse() {
		return false
	}
	s := t.log.emptiest()
	if s == nil {
		return false
	}
	return t.clear(s)
}

// clear moves what is wanted out of a sealed segment, which is dropped when all of it is.
func (t *Tier) clear(s *segment) bool {
	moved := false
	for at := 0; at < s.used; { // used does not change once it is sealed
		r := s.record(at)
		from := placeOf(s.id, at)
		at += int(r.size)
		if t.index.get(r.hash).bare() != from {
			continue // nobody's, or not in the index yet
		}
		moved = t.move(&r, from) || moved
	}
	return moved || t.log.gone(s)
}

// move copies a record to the open segment. Whoever replaces or removes it meanwhile is right: then the copy goes.
func (t *Tier) move(r *record, from place) bool {
	to, ok := t.log.add(r.hash, r.version, cache.Reopen(r.blob))
	if !ok {
		return false
	}
	if !t.index.move(r.hash, from, to) {
		t.log.release(to)
		return true
	}
	t.log.release(from)
	t.log.moved.Add(uint64(len(r.blob)))
	return true
}

func (l *log) gone(s *segment) bool { return l.slot(s.id).Load() != s }
