package bus

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

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
	p, before, ok := message(payload)
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
		if errors.Is(b.compare(ctx), errLost) {
			pause /= 4
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
	b.lastOK.Store(time.Now().UnixMilli())
	first := !b.synced.Swap(true)
	if b.cut.Swap(false) || first {
		b.o.Rejoined(time.Now())
	}
	b.tellLater(ctx)
	b.align(ctx)
	return nil
}

// watching notices that nothing was compared for too long.
func (b *Bus) watching(ctx context.Context) {
	tick := time.NewTicker(cutAfter / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if now.UnixMilli()-b.lastOK.Load() > cutAfter.Milliseconds() && !b.cut.Swap(true) {
				b.o.CutOff(now, b.why())
			}
		}
	}
}

// why is what keeps the node from learning of purges.
func (b *Bus) why() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return errors.New("redis was not asked for the number of the last purge for too long")
}
