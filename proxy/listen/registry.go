package listen

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

const shards = 16

// registry holds every open connection, for the sweeper and the drain.
type registry struct {
	shards [shards]shard
	next   atomic.Uint32
	n      atomic.Int64

	mu        sync.Mutex
	addresses map[netip.Prefix]int // open connections by address; only while that limit is on
}

type shard struct {
	mu    sync.Mutex
	conns []*conn
}

// add registers c. It reports false when c's address has too many connections already.
func (r *registry) add(c *conn, perAddress int) bool {
	if !r.count(c, perAddress) {
		return false
	}
	s := &r.shards[r.next.Add(1)%shards]
	c.shard = s
	s.mu.Lock()
	c.at = len(s.conns)
	s.conns = append(s.conns, c)
	s.mu.Unlock()
	r.n.Add(1)
	return true
}

// count counts c under its address, if that limit is on; false when the address has too many already.
func (r *registry) count(c *conn, perAddress int) bool {
	address := addressOf(c.peer.Addr())
	if perAddress <= 0 || !address.IsValid() {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.addresses == nil {
		r.addresses = make(map[netip.Prefix]int)
	}
	if r.addresses[address] >= perAddress {
		return false
	}
	r.addresses[address]++
	c.address = address
	return true
}

// remove forgets c; a second call does nothing.
func (r *registry) remove(c *conn) {
	s := c.shard
	if s == nil {
		return
	}
	s.mu.Lock()
	if c.at < 0 {
		s.mu.Unlock()
		return
	}
	last := len(s.conns) - 1
	moved := s.conns[last]
	s.conns[c.at], moved.at = moved, c.at
	s.conns[last] = nil
	s.conns = s.conns[:last]
	c.at = -1
	s.mu.Unlock()
	r.n.Add(-1)
	if c.address.IsValid() {
		r.mu.Lock()
		if r.addresses[c.address]--; r.addresses[c.address] <= 0 {
			delete(r.addresses, c.address)
		}
		r.mu.Unlock()
	}
}

func (r *registry) len() int { return int(r.n.Load()) }

// each calls f for every connection, shard by shard under its lock; f must not block.
func (r *registry) each(f func(*conn)) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, c := range s.conns {
			f(c)
		}
		s.mu.Unlock()
	}
}

// sample calls f for up to n connections of one shard, and of the next ones while f has found none to its liking.
func (r *registry) sample(n int, from uint32, f func(*conn) bool) {
	for i := range uint32(shards) {
		if r.shards[(from+i)%shards].sample(n, int(from/shards), f) {
			return
		}
	}
}

func (s *shard) sample(n, from int, f func(*conn) bool) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range min(n, len(s.conns)) {
		if f(s.conns[(from+i)%len(s.conns)]) {
			found = true
		}
	}
	return found
}
