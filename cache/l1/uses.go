package l1

import "sync"

// usesBatch is how many uses travel together.
const usesBatch = 64

// uses carries the hashes of what is asked for to ristretto's counters, in batches and off the path of those who
// ask. When the counters are behind, a batch is lost: the counts are a sample then.
type uses struct {
	open   sync.Pool // of *batch, about one for each processor
	full   chan *batch
	empty  chan *batch
	closed chan struct{}
	done   chan struct{}
}

type batch struct {
	n      int
	hashes [usesBatch]uint64
}

// countUses starts a goroutine that calls count for every use noted.
func countUses(count func(hash uint64)) *uses {
	u := &uses{
		full: make(chan *batch, 8), empty: make(chan *batch, 16),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	u.open.New = func() any { return new(batch) }
	go func() {
		defer close(u.done)
		for {
			select {
			case b := <-u.full:
				for _, hash := range b.hashes[:b.n] {
					count(hash)
				}
				b.n = 0
				select {
				case u.empty <- b:
				default:
				}
			case <-u.closed:
				return
			}
		}
	}()
	return u
}

// note counts a use of hash. It neither blocks nor, but for the first times, allocates.
func (u *uses) note(hash uint64) {
	b := u.open.Get().(*batch)
	b.hashes[b.n] = hash
	if b.n++; b.n == usesBatch {
		b = u.exchange(b)
	}
	u.open.Put(b)
}

// exchange gives a full batch away for an empty one.
func (u *uses) exchange(b *batch) *batch {
	select {
	case u.full <- b:
	default:
		b.n = 0
		return b
	}
	select {
	case b = <-u.empty:
		return b
	default:
		return new(batch)
	}
}

func (u *uses) stop() {
	close(u.closed)
	<-u.done
}
