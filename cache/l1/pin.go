package l1

// leastPinned bounds, by the budget, how many keys may be pinned: one for so many bytes.
const leastPinned = 512

// pin takes room for a record in the pinned region, if there is any. Called with the shard's lock.
func (t *Tier) pin(r *record) bool {
	cost := t.size.cost(r)
	if t.pinnedBytes.Add(cost) > t.size.pinned {
		t.pinnedBytes.Add(-cost)
		t.refused.Add(1)
		return false
	}
	t.pinned.Add(1)
	return true
}

// Pin keeps what is under hash, now and after every Set; see cache.Tier.
func (t *Tier) Pin(hash uint64) bool {
	hash = real(hash)
	w := t.writer(hash)
	w.Lock()
	defer w.Unlock()
	s := t.index.shard(hash)
	s.mu.Lock()
	if _, known := s.pins[hash]; !known {
		if t.pins.Add(1) > t.size.pinned/leastPinned {
			t.pins.Add(-1)
			t.refused.Add(1)
			s.mu.Unlock()
			return false
		}
		if s.pins == nil {
			s.pins = make(map[uint64]struct{})
		}
		s.pins[hash] = struct{}{}
	}
	p := t.index.get(hash)
	if p == 0 || p.pinned() {
		s.mu.Unlock()
		return p != 0
	}
	r, _ := t.log.at(p)
	there := t.pin(&r)
	if there {
		t.index.put(s, hash, p|pinned)
	}
	s.mu.Unlock()
	if there { // ristretto's copy is of no use any more; what it says about it is not heard
		t.unlist(w, hash)
	}
	return there
}

// Unpin hands what is under hash to ristretto, which may refuse it.
func (t *Tier) Unpin(hash uint64) {
	hash = real(hash)
	w := t.writer(hash)
	w.Lock()
	defer w.Unlock()
	t.catchUp(w) // what it says of the removal that pinning was must not be heard any more
	s := t.index.shard(hash)
	s.mu.Lock()
	if _, known := s.pins[hash]; known {
		delete(s.pins, hash)
		t.pins.Add(-1)
	}
	p := t.index.get(hash)
	if !p.pinned() {
		s.mu.Unlock()
		return
	}
	r, _ := t.log.at(p)
	p = p.bare()
	t.index.put(s, hash, p)
	t.pinned.Add(-1)
	t.pinnedBytes.Add(-t.size.cost(&r))
	s.mu.Unlock()
	t.announce(w, p, &r, 0, 0)
}
