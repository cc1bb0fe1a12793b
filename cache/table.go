package cache

import (
	"bytes"
	"sync"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// table holds the fills that run, and those that have ended and are not visible in the tier yet, by primary
// key. Hits never come here.
type table struct {
	shards [64]struct {
		mu    sync.Mutex
		slots map[string]*slot
	}
}

// slot is what runs under one primary key.
type slot struct {
	record Object // the newest vary record made by these fills, if any
	fills  []*Fill
}

func newTable() *table {
	t := &table{}
	for i := range t.shards {
		t.shards[i].slots = make(map[string]*slot)
	}
	return t
}

// find returns the fill that answers q, newest first. It also tells r the vary record, where the tier does
// not show one yet.
func (t *table) find(q *Request, r *Result, now time.Time) *Fill {
	s := &t.shards[q.hash%uint64(len(t.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.slots[string(q.primaryKey())]
	if slot == nil {
		return nil
	}
	if slot.record.Exists() {
		r.record = slot.record
	}
	for i := len(slot.fills) - 1; i >= 0; i-- {
		if f := slot.fills[i]; f.answers(q) && f.usable(q, now) && f.covers(q, now) {
			return f
		}
	}
	return nil
}

// any reports whether something runs under q's primary key.
func (t *table) any(q *Request) bool {
	s := &t.shards[q.hash%uint64(len(t.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots[string(q.primaryKey())] != nil
}

// answers reports whether q's selecting fields are those the fill was made for (RFC 9111 §4.1), and whether
// q's authorization permits it.
func (f *Fill) answers(q *Request) bool {
	if f.judged.Traits&rfc9111.TraitForAuthorized == 0 && q.facts.authorization {
		return false
	}
	if !f.head.Exists() {
		return false
	}
	name := q.withSuffix(f.record)
	if f.verbatim {
		name = f.c.appendQuestion(name, q)
	}
	return bytes.Equal(f.head.Key(), name)
}

// usable reports whether a request that comes now may have the fill: it must be as good as a hit.
func (f *Fill) usable(q *Request, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.invalidated || f.abandoned || f.state == Failed || f.state == TooLarge || f.c.gone(f.head) {
		return false
	}
	s := f.head.stored(now)
	if s.Resident > f.delay && f.outpaced() {
		return false
	}
	return freshFor(q, &s)
}

// fresh reports whether o, at that moment, is a hit for q.
func (o Object) fresh(q *Request, now time.Time) bool {
	s := o.stored(now)
	return freshFor(q, &s)
}

func freshFor(q *Request, s *rfc9111.Stored) bool {
	use, _ := rfc9111.Reuse(s, &q.facts.directives, q.Policy.reload)
	return use == rfc9111.UseFresh
}

// update runs change with the slot of a primary key locked, made when it is not there and removed when it is
// empty afterwards.
func (t *table) update(hash uint64, primary []byte, change func(*slot)) {
	s := &t.shards[hash%uint64(len(t.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	sl := s.slots[string(primary)]
	fresh := sl == nil
	if fresh {
		sl = &slot{}
	}
	change(sl)
	switch {
	case len(sl.fills) == 0 && !fresh:
		delete(s.slots, string(primary))
	case len(sl.fills) > 0 && fresh:
		s.slots[string(primary)] = sl
	}
}

func (t *table) remove(f *Fill) {
	t.update(f.primary, f.head.Primary(), func(s *slot) {
		for i, other := range s.fills {
			if other == f {
				s.fills = append(s.fills[:i], s.fills[i+1:]...)
				return
			}
		}
	})
}
