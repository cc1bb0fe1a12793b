// Package bus makes the nodes that share a Redis purge together.
//
// In Redis lies one sorted set, the list of purges: what was purged with the number of its last purge as score, which is the
// table of package purge as far as it is not empty, and the last numbers themselves, with negative scores. Whoever purges
// changes the list and publishes the change in one step. A message is only for speed: once a second every node compares the
// last number with its own and reads what it missed, so that a lost message costs a second, and a node that hears nothing
// for some knows that it is cut off.
//
//	epoch:{bus}:purges    8191-56000000 → h…, s…   cell 8191 was purged by number …
//	bus                   p · u64 number before · u64 number · h or s · u32 cell …
//
// Numbers are times: half microseconds since 2026 by the clock of Redis, always even and always above all that are on the
// list and that the node which purges knows. So no number is given twice, whatever Redis forgets: a list that is begun anew
// is above every response that was stored before.
//
// What may be lost, and what comes of it:
//
//   - The list, by an eviction or a restart: a node that knows it puts it back. Where none does, the list begins with a purge
//     of everything.
//   - The end of the list, by a failover: a node whose last number is not on the list tells again what it knows and the
//     list does not.
//   - A node's contact: it purges for itself, with odd numbers that mean nothing to others, and tells them when Redis is back.
package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache/purge"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

const (
	compareEvery = time.Second
	cutAfter     = 2500 * time.Millisecond // with what it takes to notice, known within 3 s
	maxLater     = 1000                    // purges that wait for Redis; what is more becomes a purge of everything
)

// Bus is one node's end of it. Run owns its goroutines.
type Bus struct {
	o Options

	synced atomic.Bool
	cut    atomic.Bool
	failed atomic.Pointer[error] // what the last comparison failed with

	standing        sync.Mutex // held while synced and cut change, and while others are told
	firstOK, lastOK time.Time  // the first and the last time that all purges were known

	order   sync.Mutex    // held while purges are taken
	known   atomic.Uint64 // every purge of the list up to this number is known
	applied atomic.Uint64 // and has taken effect
	history history       // the numbers before known
	lostAt  time.Time     // since when there is no list; zero: there is one

	wake    chan struct{}
	mu      sync.Mutex
	later   []purge.Purge // purged here, and not told yet
	telling bool          // the first of later is on its way

	n counts
}

// Options are what a Bus is made of. The callbacks must not block.
type Options struct {
	Client redis.UniversalClient
	Keys   tzredis.Keys
	Epochs *purge.Epochs
	// Acknowledged is the greatest number that a node is known to have applied: the next purge gets a greater one, also where
	// Redis has lost that number. nil: there are no others.
	Acknowledged func() uint64
	// Applied is told that purges up to a number have taken effect here.
	Applied func()
	// CutOff and Rejoined are told when this node does not learn of purges any more, and when it does and has learned of
	// all of them.
	CutOff   func(at time.Time, why error)
	Rejoined func(at time.Time)
	// Other gets the messages that are none of package bus.
	Other func(payload []byte)
}

type counts struct{ purges, heard, caughtUp, restored, diverged, unknown, begun atomic.Uint64 }

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Epoch    uint64 // the last purge applied
	Synced   bool   // all purges from before the start are known
	Cut      bool
	Purges   uint64 // made here
	Heard    uint64 // heard of by message
	CaughtUp uint64 // times that purges were missed, and read
	Restored uint64 // times that Redis had lost the list, and was told
	Diverged uint64 // times that Redis had lost the end of the list, and was told again
	Begun    uint64 // times that there was no list and nobody who knew it, and one was begun by purging everything
	Unknown  uint64 // messages and entries that could not be read
	Later    int    // purges that Redis was not told yet
}

// New returns a Bus.
func New(o Options) *Bus {
	b := &Bus{o: o, wake: make(chan struct{}, 1)}
	b.lastOK = time.Now()
	return b
}

// Ready reports that all purges are known here, and those of this node to Redis.
func (b *Bus) Ready() bool {
	return b.synced.Load() && !b.cut.Load() && b.o.Epochs.Latest() <= b.known.Load() && b.waiting() == 0
}

// waiting is how many purges Redis was not told yet.
func (b *Bus) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.later)
}

// Stats returns a snapshot.
func (b *Bus) Stats() Stats {
	return Stats{
		Epoch: b.o.Epochs.Latest(), Synced: b.synced.Load(), Cut: b.cut.Load(), Purges: b.n.purges.Load(), Heard: b.n.heard.Load(),
		CaughtUp: b.n.caughtUp.Load(), Restored: b.n.restored.Load(), Diverged: b.n.diverged.Load(), Begun: b.n.begun.Load(),
		Unknown: b.n.unknown.Load(), Later: b.waiting(),
	}
}

// Applied is the last of the numbers that Redis gave up to which every purge has taken effect here.
func (b *Bus) Applied() uint64 { return b.applied.Load() }

// Purge purges at all nodes, and returns the purge's number once Redis and this node have it. On an error this node has
// purged all the same, and tells the others as soon as Redis lets it.
func (b *Bus) Purge(ctx context.Context, k purge.Kind, cells []purge.Cell) (uint64, error) {
	b.n.purges.Add(1)
	seq, err := b.issue(ctx, k, cells)
	if err == nil {
		return seq, nil
	}
	return b.Later(k, cells), fmt.Errorf("cannot tell the other nodes yet: %w", err)
}

func (b *Bus) issue(ctx context.Context, k purge.Kind, cells []purge.Cell) (uint64, error) {
	seq, before, err := b.number(ctx, k, cells, false)
	if errors.Is(err, errLost) {
		if err = b.catchUp(ctx); err == nil { // which restores the list, if this node can
			seq, before, err = b.number(ctx, k, cells, false)
		}
	}
	if err != nil {
		return 0, err
	}
	b.hear(ctx, purge.Purge{Seq: seq, Kind: k, Cells: cells}, before)
	if b.applied.Load() < seq { // Redis could not say what was purged before: until it can, this counts here
		b.o.Epochs.Next(k, cells)
	}
	return seq, nil
}

// Later purges at this node at once and at the others soon.
func (b *Bus) Later(k purge.Kind, cells []purge.Cell) uint64 {
	seq := b.o.Epochs.Next(k, cells)
	b.mu.Lock()
	b.wait(purge.Purge{Kind: k, Cells: cells})
	b.mu.Unlock()
	b.o.Applied()
	b.rouse()
	return seq
}

// rouse has what waits told at once.
func (b *Bus) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// wait adds a purge to those that the others are to be told. One that waits already need not wait twice, but for the one
// that is being told: it may have its number by now. Too many become one purge of everything, softly if all of them are.
func (b *Bus) wait(p purge.Purge) {
	waiting := b.later
	if b.telling && len(waiting) > 0 {
		waiting = waiting[1:]
	}
	soft := p.Kind == purge.Soft
	for _, w := range b.later {
		soft = soft && w.Kind == purge.Soft
	}
	for _, w := range waiting {
		if w.Kind == p.Kind && slices.Equal(w.Cells, p.Cells) {
			return
		}
	}
	if len(b.later) < maxLater {
		b.later = append(b.later, p)
		return
	}
	p = purge.Purge{Kind: purge.Hard, Cells: []purge.Cell{purge.Everything}}
	if soft {
		p.Kind = purge.Soft
	}
	b.later, b.telling = []purge.Purge{p}, false
}

// tellLater tells what waits, in order.
func (b *Bus) tellLater(ctx context.Context) {
	for {
		b.mu.Lock()
		if len(b.later) == 0 {
			b.mu.Unlock()
			return
		}
		p := b.later[0]
		b.telling = true
		b.mu.Unlock()
		_, err := b.issue(ctx, p.Kind, p.Cells)
		b.mu.Lock()
		if err == nil && b.telling { // otherwise it was made one with others meanwhile, which are still to be told
			b.later = b.later[1:]
		}
		b.telling = false
		b.mu.Unlock()
		if err != nil {
			return
		}
		b.contact(time.Now()) // what is to be told may take long
	}
}

// retell has the others purge again what is not on the list as this node knows it: Redis has lost it.
func (b *Bus) retell(list []purge.Purge) {
	type spot struct {
		kind purge.Kind
		cell purge.Cell
	}
	on := make(map[spot]uint64, len(list))
	for _, p := range list {
		on[spot{p.Kind, p.Cells[0]}] = p.Seq
	}
	cells := map[purge.Kind][]purge.Cell{}
	b.o.Epochs.Each(func(c purge.Cell, k purge.Kind, seq uint64) {
		if seq > on[spot{k, c}] && !purge.Own(seq) { // those of its own wait already
			cells[k] = append(cells[k], c)
		}
	})
	b.waitFor(cells)
}

// waitFor has cells purged at all nodes soon.
func (b *Bus) waitFor(cells map[purge.Kind][]purge.Cell) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, cells := range cells {
		for part := range slices.Chunk(cells, purge.MaxTargets) {
			b.wait(purge.Purge{Kind: k, Cells: part})
		}
	}
	if len(cells) > 0 {
		b.rouse()
	}
}

// align gets above the numbers that this node gave itself, when all of its purges are told. Until then nothing is shared.
func (b *Bus) align(ctx context.Context) {
	if b.waiting() == 0 && b.o.Epochs.Latest() > b.known.Load() {
		_, _ = b.issue(ctx, purge.Hard, nil) // a purge of nothing; the next comparison tries again
	}
}

// hear applies a purge that Redis has numbered after before. Where this node knows another one before it, the list is read.
func (b *Bus) hear(ctx context.Context, p purge.Purge, before uint64) {
	b.order.Lock()
	defer b.order.Unlock()
	switch known := b.known.Load(); {
	case b.history.has(p.Seq):
	case b.synced.Load() && before == known:
		b.known.Store(p.Seq)
		b.history.add(p.Seq)
		b.take([]purge.Purge{p})
	default:
		_ = b.readMissed(ctx) // the next comparison tries again
	}
	b.o.Applied()
}

// take applies purges that are new here. Where a greater number was known there may be responses that carry that one and are
// from before the purge, here or at others: it needs another one.
func (b *Bus) take(purges []purge.Purge) {
	for _, p := range purges {
		b.o.Epochs.Note(p)
	}
	latest := b.o.Epochs.Latest() // after they are noted: what is fetched under a number given from now on is from after them
	again := map[purge.Kind][]purge.Cell{}
	for _, p := range purges {
		if p.Seq <= latest {
			again[p.Kind] = append(again[p.Kind], p.Cells...)
		}
	}
	b.o.Epochs.Reach(b.known.Load())
	for k, cells := range again {
		b.o.Epochs.Next(k, cells)
	}
	b.waitFor(again)
	b.applied.Store(b.known.Load())
}
