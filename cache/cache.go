// Package cache keeps what origins send, as RFC 9111 permits, and fetches every object once however many
// ask for it.
//
// A request's way through it:
//
//	res := c.Lookup(&q, now)
//	switch res.Verdict {
//	case cache.Hit, cache.Stale: answer with res.Object (and c.Refresh when res.Refresh)
//	case cache.Follow:           answer from res.Fill.Reader(done)
//	case cache.Miss:             f, turn, err := c.Lead(&q, &res, run)
//	case cache.Alone:            fetch; unless res.Raw, offer the answer to c.Begin
//	case cache.Refuse:           504
//	}
//
// run, which one request of all those who miss the same executes, asks the origin and returns at the
// response's head: c.Begin(…), or c.Freshen(…) for a 304, or an error. Everybody then reads from the Fill.
// The fill belongs to the cache: it ends whether its requests stay or leave, fast or slow. One that nobody
// reads any more is given up only when memory is short.
//
// What may be stored and reused is package rfc9111's to say, what a request is called package key's, who
// fills package flight's; where objects stay is behind Tier.
package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/cache/flight"
	"github.com/tzero-edge/tzero/cache/purge"
)

// Cache is one process's cache. It is safe for concurrent use; Close it.
type Cache struct {
	tier      Tier
	config    Config
	seed      maphash.Seed
	maxObject int64
	maxHeld   int64            // bytes that all fills together may hold; see budget.go
	now       func() time.Time // for what a fill finds out long after its head

	salt        uint64         // of the lifetimes in this process
	exponential func() float64 // random numbers, exponentially distributed with mean 1

	epochs  *purge.Epochs
	sharing *Sharing     // nil where this process shares nothing
	cut     atomic.Int64 // Unix ms since when purges of other nodes are not heard of; 0 while they are

	life context.Context // ends when Close begins
	die  context.CancelFunc

	fills      *table
	flights    flight.Group[*Fill]
	marks      marks
	writes     writes // that took effect at once
	delayed    writes // that take effect a little later; see invalidate.go
	writers    writers
	searches   atomic.Bool // some response had No-Vary-Search
	orphans    orphans
	count      counters
	ids        atomic.Uint64
	running    atomic.Int64
	held       atomic.Int64
	refreshing refreshes
	parts      sync.Mutex // held while a part is stored

	settling chan *Fill
	closing  chan struct{}

	mu      sync.Mutex
	closed  bool
	fillers sync.WaitGroup // goroutines of fills and refreshes; grows under mu only while not closed
	settler sync.WaitGroup
}

// New returns a cache over tier, which it owns from then on. The configuration must be valid.
func New(cfg Config, tier Tier) *Cache {
	c := &Cache{
		tier:      tier,
		config:    cfg,
		seed:      maphash.MakeSeed(),
		epochs:    purge.NewEpochs(),
		salt:      rand.Uint64(),
		maxObject: int64(cfg.MaxObject),
		maxHeld:   max(tier.Stats().Capacity/8, 4*int64(cfg.MaxObject)),
		now:       time.Now,
		fills:     newTable(),
		settling:  make(chan *Fill, 1024),
		closing:   make(chan struct{}),

		exponential: rand.ExpFloat64,
	}
	c.ids.Store(rand.Uint64()) // they tell responses apart in the tier that processes share, too
	c.life, c.die = context.WithCancel(context.Background())
	c.writes.born, c.delayed.born = c.now(), c.now()
	c.settler.Add(1)
	go c.settle()
	return c
}

// Close waits until all fills and refreshes have ended, or ctx is over, and closes the tier. Close the
// origin's connections first: that ends what still runs.
func (c *Cache) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.closing)
	c.die()
	c.mu.Unlock()

	done := make(chan struct{})
	go func() {
		c.fillers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("cannot close the cache: %d fills still run: %w", c.running.Load(), ctx.Err())
	}
	close(c.settling)
	c.settler.Wait()
	c.tier.Close()
	return nil
}

// own starts a goroutine that Close waits for; false when the cache is closing.
func (c *Cache) own(work func()) bool {
	if !c.enter() {
		return false
	}
	go func() {
		defer c.fillers.Done()
		work()
	}()
	return true
}

// enter makes Close wait for the caller until c.fillers.Done.
func (c *Cache) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.fillers.Add(1)
	return true
}

// settle takes ended fills out of the table once the tier shows their objects. Until then the table answers
// for them: a Set is visible after a moment only, and a crowd arrives within it.
func (c *Cache) settle() {
	defer c.settler.Done()
	batch := make([]*Fill, 0, cap(c.settling))
	for f := range c.settling {
		batch = append(batch[:0], f)
		for more := true; more && len(batch) < cap(batch); {
			select {
			case f, ok := <-c.settling:
				if more = ok; ok {
					batch = append(batch, f)
				}
			default:
				more = false
			}
		}
		c.tier.Wait()
		for i, f := range batch {
			c.settled(f)
			batch[i] = nil
		}
	}
}

// settled checks that the tier shows what was stored. Of two Sets of a new key in quick succession the first
// may win: then the newer object is set again, which replaces what is visible at once.
func (c *Cache) settled(f *Fill) {
	o := c.tier.Peek(f.hash)
	switch {
	case f.object.Partial(): // kept with others: to lose one costs a fetch
	case !o.Exists():
		c.count.add(countDropped)
	case o.ID() != f.object.ID() && o.Received().Before(f.object.Received()) && !f.withdrawn():
		c.put(f, f.object)
	case o.ID() == f.object.ID() && f.outpaced():
		c.tier.Set(f.hash, f.curbed(o))
	}
	c.fills.remove(f)
}
