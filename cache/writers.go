package cache

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// numWriters bounds the memory of writers: 128 KiB. Clients that share a cell displace each other, which lets both
// write more than they might.
const numWriters = 1 << 14

// writers bounds how often a client's writes make what is stored void at once: a table of fixed size without locks.
//
// A cell holds a tag of the client (22 bits) and the theoretical arrival time of the generic cell rate algorithm, in
// Unix ms (42 bits).
type writers struct{ cells [numWriters]atomic.Uint64 }

const arrivalBits = 42

// spend takes one write off a client's account. It returns 0 where that was possible, otherwise how long it will be
// before the next one is, which is at most interval.
func (w *writers) spend(client uint64, burst int, interval time.Duration, at time.Time) time.Duration {
	cell, tag, now := &w.cells[client%numWriters], client>>arrivalBits, time.Duration(at.UnixMilli())*time.Millisecond
	for {
		old := cell.Load()
		arrival := time.Duration(0)
		if old>>arrivalBits == tag {
			arrival = time.Duration(old&(1<<arrivalBits-1)) * time.Millisecond
		}
		next, wait := conform(arrival, now, burst, interval)
		if wait > interval { // the clock was set back, or the route's bounds were narrowed
			next, wait = conform(0, now, burst, interval)
		}
		if wait > 0 {
			return wait
		}
		if cell.CompareAndSwap(old, tag<<arrivalBits|uint64(next/time.Millisecond)) {
			return 0
		}
	}
}

// conform is the algorithm: burst events may come at once, one per interval in the long run. Times count from one
// common beginning; arrival is what an earlier call returned, or 0.
func conform(arrival, now time.Duration, burst int, interval time.Duration) (next, wait time.Duration) {
	arrival = max(arrival, now)
	if ahead := arrival - now - time.Duration(burst-1)*interval; ahead > 0 {
		return arrival, ahead
	}
	return arrival + interval, 0
}

// clientHash names a client: an IPv4 address, or the /64 that an IPv6 client has to itself.
func clientHash(seed maphash.Seed, a netip.Addr) uint64 {
	b := a.Unmap().As16()
	if a.Unmap().Is6() {
		clear(b[8:])
	}
	return maphash.Bytes(seed, b[:])
}
