package leases

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/cache"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

type ending struct {
	lease *lease
	end   cache.LeaseEnd
}

// Run tells ends and renews what is held until ctx ends; then it gives up what is still held.
func (l *Leases) Run(ctx context.Context) error {
	var group errgroup.Group
	own := func(run func(context.Context)) {
		group.Go(func() error {
			run(ctx)
			return nil
		})
	}
	own(l.renewing)
	own(l.told.run)
	for range enders {
		own(l.telling)
	}
	_ = group.Wait()
	return l.giveUp(context.WithoutCancel(ctx))
}

func (l *Leases) telling(ctx context.Context) {
	for {
		select {
		case e := <-l.ends:
			l.tell(ctx, l.batch(e))
		case <-ctx.Done():
			return
		}
	}
}

// giveUp ends what is held, so that nobody waits for a gateway that was stopped.
func (l *Leases) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	for _, h := range l.all() {
		h.End(cache.EndFailed)
	}
	for ctx.Err() == nil {
		select {
		case e := <-l.ends:
			l.tell(ctx, l.batch(e))
			continue
		default:
		}
		break
	}
	return nil
}

// release gives a lease up, leaves a word about what became of it, and tells those who wait. What needs no memory comes
// first.
var release = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[4], 'e')
if ARGV[2] ~= '' then redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`)

// batch is an end and those that wait behind it, as far as one exchange may carry them.
func (l *Leases) batch(first ending) []ending {
	some := []ending{first}
	for len(some) < tellAtOnce {
		select {
		case e := <-l.ends:
			some = append(some, e)
		default:
			return some
		}
	}
	return some
}

func (l *Leases) tell(ctx context.Context, some []ending) {
	calls := make([]tzredis.Call, len(some))
	for i, e := range some {
		word := ""
		switch e.end {
		case cache.EndUncacheable:
			word = fmt.Sprint("U", 1<<e.lease.class)
		case cache.EndTooLarge:
			word = "T"
		}
		h := e.lease
		calls[i] = tzredis.Call{Script: release, Keys: []string{h.names.lease}, Args: []any{h.token, word, remembered.Milliseconds(), h.names.channel}}
	}
	for _, cmd := range tzredis.RunAll(ctx, l.client, calls) {
		if cmd.Err() != nil {
			l.n.dropped.Add(1)
		}
	}
}

// prolong gives a lease that is still held a new end.
var prolong = redis.NewScript(`if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

const (
	tellAtOnce  = 64
	renewAtOnce = 256
)

func (l *Leases) renewing(ctx context.Context) {
	tick := time.NewTicker(l.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for all := l.all(); len(all) > 0; {
			n := min(len(all), renewAtOnce)
			l.renew(ctx, all[:n])
			all = all[n:]
		}
	}
}

// renew leaves those alone of which nothing is heard: they may be held, or over.
func (l *Leases) renew(ctx context.Context, some []*lease) {
	calls := make([]tzredis.Call, len(some))
	for i, h := range some {
		calls[i] = tzredis.Call{Script: prolong, Keys: []string{h.names.lease}, Args: []any{h.token, l.ttl.Milliseconds()}}
	}
	for i, cmd := range tzredis.RunAll(ctx, l.client, calls) {
		if n, err := cmd.Int(); err == nil && n == 0 && some[i].ended.CompareAndSwap(false, true) { // and not given up meanwhile
			l.n.lost.Add(1)
			l.drop(some[i])
		}
	}
}
