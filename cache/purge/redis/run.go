package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/cache/purge"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// Run listens, compares and watches until ctx ends.
func (b *Bus) Run(ctx context.Context) error {
	var group errgroup.Group
	for _, run := range []func(context.Context){b.listening, b.comparing, b.watching} {
		group.Go(func() error {
			run(ctx)
			return nil
		})
	}
	return group.Wait()
}

// listening applies what is published. The subscription is made again by itself when it breaks; what it missed is found
// by comparing.
func (b *Bus) listening(ctx context.Context) {
	sub := b.o.Client.Subscribe(ctx, b.o.Keys.Bus())
	defer sub.Close()
	messages := sub.Channel(redis.WithChannelSize(4096), redis.WithChannelHealthCheckInterval(time.Second))
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			b.receive(ctx, []byte(m.Payload))
		}
	}
}

func (b *Bus) receive(ctx context.Context, payload []byte) {
	if len(payload) > 0 && payload[0] != PurgeKind {
		b.o.Other(payload)
		return
	}
	p, before, ok := message(payload, limit())
	if !ok {
		b.n.unknown.Add(1)
		return
	}
	b.n.heard.Add(1)
	b.hear(ctx, p, before)
}

// comparing asks Redis once a second what the last purge was, and more often while there is no list.
func (b *Bus) comparing(ctx context.Context) {
	for {
		pause := compareEvery*3/4 + rand.N(compareEvery/4)
		switch err := b.compare(ctx); {
		case errors.Is(err, errLost):
			pause /= 4
		case err == nil && !b.synced.Load():
			pause = settle
		}
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		case <-time.After(pause):
		}
	}
}

func (b *Bus) compare(ctx context.Context) error {
	if err := b.catchUp(ctx); err != nil {
		if ctx.Err() == nil && !errors.Is(err, tzredis.ErrOpen) { // that one only says that there was another
			b.failed.Store(&err)
		}
		return err
	}
	b.failed.Store(nil)
	if !b.contact(time.Now()) {
		_, _ = b.issue(ctx, purge.Hard, nil) // a purge of nothing, whose number makes all others compare
		return nil
	}
	b.tellLater(ctx)
	b.align(ctx)
	return nil
}

// settle is how long a node that starts waits before it trusts the list: a replica that has just become master may have lost
// the end of it, and the others, who know it, are told to look.
const settle = 100 * time.Millisecond

// contact notes that all purges are known now, and reports whether they are to be trusted.
func (b *Bus) contact(now time.Time) bool {
	b.standing.Lock()
	defer b.standing.Unlock()
	b.lastOK = now
	if b.firstOK.IsZero() {
		b.firstOK = now
	}
	if now.Sub(b.firstOK) < settle {
		return false
	}
	first, cut := !b.synced.Swap(true), b.cut.Swap(false)
	if first || cut {
		b.o.Rejoined(now)
	}
	return true
}

// watching notices that nothing was compared for too long.
func (b *Bus) watching(ctx context.Context) {
	tick := time.NewTicker(cutAfter / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.watch(time.Now())
		}
	}
}

func (b *Bus) watch(now time.Time) {
	b.standing.Lock()
	defer b.standing.Unlock()
	if since := b.lastOK.Add(cutAfter); now.After(since) && !b.cut.Swap(true) {
		b.o.CutOff(since, b.why())
	}
}

// why is what keeps the node from learning of purges.
func (b *Bus) why() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return errors.New("redis was not asked for the number of the last purge for too long")
}
