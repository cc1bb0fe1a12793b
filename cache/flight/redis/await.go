package leases

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tzero-edge/tzero/cache"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

// The net under the telling: a message can be lost, and a holder that dies tells nothing.
const (
	pollEvery       = 100 * time.Millisecond
	subscribeWithin = 250 * time.Millisecond
)

// Await is cache.Leases.
func (l *Leases) Await(ctx context.Context, a cache.LeaseAsk) {
	l.n.waiting.Add(1)
	defer l.n.waiting.Add(-1)
	n := l.names(a)
	end, ok := l.told.join(ctx, n.channel)
	if !ok {
		return
	}
	defer l.told.leave(n.channel, end)
	// What ended before the subscription is seen by this first look.
	first, err := l.client.Get(ctx, n.lease).Result()
	if l.over(err) || err == nil && !strings.HasPrefix(first, "L") {
		l.n.polled.Add(1)
		return
	}
	for {
		select {
		case <-end:
			l.n.told.Add(1)
			return
		case <-ctx.Done():
			return
		case <-time.After(pollEvery + rand.N(pollEvery)):
		}
		switch v, err := l.client.Get(ctx, n.lease).Result(); {
		case l.over(err), err == nil && first != "" && v != first:
			l.n.polled.Add(1)
			return
		case err == nil:
			first = v // where the first look was late
		}
	}
}

// over reports whether an error ends the wait: nobody holds the lease, or Redis cannot say.
func (l *Leases) over(err error) bool {
	return err != nil && !(tzredis.Late(err) && l.there())
}

// told hands out what is published about the ends of leases: one connection for all that are waited for.
type told struct {
	client redis.UniversalClient

	wire  sync.Mutex // held while a subscription changes
	heard map[string]bool

	mu      sync.Mutex
	sub     *redis.PubSub
	waiters map[string][]chan struct{}
}

func newTold(client redis.UniversalClient) *told {
	return &told{client: client, waiters: make(map[string][]chan struct{}), heard: make(map[string]bool)}
}

// run receives until ctx ends.
func (t *told) run(ctx context.Context) {
	sub := t.client.Subscribe(ctx)
	t.mu.Lock()
	t.sub = sub
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.sub = nil
		t.mu.Unlock()
		_ = sub.Close()
	}()
	for messages := sub.Channel(redis.WithChannelSize(1024)); ; {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			t.fire(m.Channel)
		}
	}
}

// fire wakes all who wait for a channel now; each has its own, which it finds closed.
func (t *told) fire(channel string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiters[channel] {
		close(w)
	}
	if len(t.waiters[channel]) > 0 {
		t.waiters[channel] = []chan struct{}{}
	}
}

// join begins to wait; false where nothing can be heard.
func (t *told) join(ctx context.Context, channel string) (chan struct{}, bool) {
	end := make(chan struct{})
	t.mu.Lock()
	t.waiters[channel] = append(t.waiters[channel], end)
	t.mu.Unlock()
	if !t.listen(ctx, channel) {
		t.leave(channel, end)
		return nil, false
	}
	return end, true
}

func (t *told) leave(channel string, end chan struct{}) {
	t.mu.Lock()
	rest := t.waiters[channel]
	for i, w := range rest {
		if w == end {
			rest = append(rest[:i], rest[i+1:]...)
			break
		}
	}
	t.waiters[channel] = rest
	if len(rest) == 0 {
		delete(t.waiters, channel)
	}
	t.mu.Unlock()
	t.listen(context.Background(), channel)
}

// listen subscribes to a channel that somebody waits for, or gives up one that nobody does. It reports whether nothing
// is left to do.
func (t *told) listen(ctx context.Context, channel string) bool {
	ctx, cancel := context.WithTimeout(ctx, subscribeWithin)
	defer cancel()
	t.wire.Lock()
	defer t.wire.Unlock()
	t.mu.Lock()
	sub, wanted, have := t.sub, len(t.waiters[channel]) > 0, t.heard[channel]
	t.mu.Unlock()
	switch {
	case sub == nil:
		return false
	case wanted == have:
		return true
	case wanted:
		if sub.Subscribe(ctx, channel) != nil {
			return false
		}
		t.heard[channel] = true
		return true
	}
	delete(t.heard, channel)
	return sub.Unsubscribe(ctx, channel) == nil
}
