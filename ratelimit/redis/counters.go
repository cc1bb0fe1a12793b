// Package counters has gateways count requests together, in Redis.
//
// Redis keeps for every key what a gateway keeps: the theoretical arrival time, by Redis's own clock. About once a second
// each gateway adds what it has let pass since, and hears how far the time lies ahead with what the others have added. No
// request waits for that. A key expires when its allowance is whole, so that nothing has to be removed.
package counters

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	tzredis "github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/ratelimit"
)

const (
	every     = time.Second
	aloneFrom = 3 * time.Second // without a word from Redis, each gateway lets its part of the rates pass
	perScript = 128             // keys
	perTurn   = 8               // scripts in an exchange
	maxKeys   = 50_000          // a round; the rest waits for the next
	shards    = 16              // keys of one lie on one master of a Cluster
)

// Counters implements ratelimit.Shared.
type Counters struct {
	o      Options
	lastOK atomic.Int64 // Unix ms
	alone  atomic.Int64 // gateways, while they count each for itself; 0: they count together
	n      struct{ rounds, failed, sent, left, asked, late atomic.Uint64 }
}

// Options are what Counters are made of.
type Options struct {
	Client  redis.UniversalClient
	Keys    tzredis.Keys
	Limiter *ratelimit.Limiter
	Nodes   func() int // gateways that were heard of lately, with this one
	Alone   func(gateways int, why error)
	Again   func() // they count together again
}

// New returns Counters. Run has to run.
func New(o Options) *Counters {
	c := &Counters{o: o}
	c.lastOK.Store(time.Now().UnixMilli())
	return c
}

// Stats is a snapshot. Counters count from the start.
type Stats struct {
	Rounds, Failed uint64 // exchanges with Redis about once a second
	Sent           uint64 // keys that were told
	Left           uint64 // keys that had to wait for the next round, since too many were due
	Asked, Late    uint64 // requests under exact policies; of them those that Redis did not answer
	Alone          int    // gateways that count each for itself; 0: they count together
}

// Stats returns a snapshot.
func (c *Counters) Stats() Stats {
	return Stats{c.n.rounds.Load(), c.n.failed.Load(), c.n.sent.Load(), c.n.left.Load(), c.n.asked.Load(), c.n.late.Load(), int(c.alone.Load())}
}

// Run exchanges until ctx ends.
func (c *Counters) Run(ctx context.Context) error {
	for round := 0; ; round++ {
		err := c.secret(ctx, round)
		if err == nil {
			err = c.round(ctx, time.Now())
		}
		if ctx.Err() != nil {
			return nil
		}
		c.judge(err, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every*3/4 + rand.N(every/2)):
		}
	}
}

// judge notices that Redis is away for long, and that it is back.
func (c *Counters) judge(err error, now time.Time) {
	c.n.rounds.Add(1)
	if err == nil {
		c.lastOK.Store(now.UnixMilli())
		if c.alone.Swap(0) != 0 {
			c.o.Limiter.Alone(1)
			c.o.Again()
		}
		return
	}
	c.n.failed.Add(1)
	if now.UnixMilli()-c.lastOK.Load() < aloneFrom.Milliseconds() || c.alone.Load() != 0 {
		return
	}
	n := max(c.o.Nodes(), 1)
	c.alone.Store(int64(n))
	c.o.Limiter.Alone(n)
	c.o.Alone(n, err)
}

// agree returns the secret that is there, or puts ours there.
var agree = redis.NewScript(`
local have = redis.pcall('GET', KEYS[1])
if type(have) == 'string' and string.match(have, '^[1-9]%d*$') and #have <= 20 then return have end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`)

// secret takes over the secret that all gateways hash with, now and then: a Redis that was emptied has lost it.
func (c *Counters) secret(ctx context.Context, round int) error {
	if round%5 != 0 && c.alone.Load() == 0 {
		return nil
	}
	ours := c.o.Limiter.Secret()
	text, err := agree.Run(ctx, c.o.Client, []string{c.o.Keys.RateSecret()}, strconv.FormatUint(max(ours, 1), 10)).Text()
	if err != nil {
		return fmt.Errorf("cannot agree on how to name clients: %w", err)
	}
	theirs, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("cannot read what Redis has as %s: delete it", c.o.Keys.RateSecret())
	}
	if theirs != ours {
		c.o.Limiter.UseSecret(theirs)
	}
	return nil
}

// add adds to each key what was taken, at most so far ahead, and returns how far it is ahead, in microseconds. A key that is
// not there counts from what the gateway knows: Redis may have been emptied. Arguments: taken, ahead, most, for each key.
var add = redis.NewScript(`
local t = redis.call('TIME')
local now, out = t[1] * 1000000 + t[2], {}
for i, key in ipairs(KEYS) do
  local taken, known, most = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local have = redis.pcall('GET', key)
  local tat = type(have) == 'string' and tonumber(have) or now + known - taken
  local ahead = math.min(math.max(0, tat - now) + taken, most)
  if ahead >= 1 then
    redis.call('SET', key, string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
  else
    redis.call('DEL', key)
  end
  out[i] = math.floor(ahead)
end
return out`)

// round tells Redis what was taken here, and the limiter what was taken everywhere.
func (c *Counters) round(ctx context.Context, now time.Time) error {
	var byShard [shards][]ratelimit.Used
	n, single := 0, c.o.Nodes() < 2
	c.o.Limiter.Drain(now, func(u ratelimit.Used) bool {
		if single {
			return true // a gateway that joins learns what is taken from then on
		}
		if n >= maxKeys {
			c.n.left.Add(1)
			return false
		}
		s := shardOf(u.Hash())
		byShard[s] = append(byShard[s], u)
		n++
		return true
	})
	if n == 0 {
		return c.o.Client.Get(ctx, c.o.Keys.RateSecret()).Err() // whether Redis is there
	}
	var calls []tzredis.Call
	var told [][]ratelimit.Used
	for s, all := range byShard {
		for len(all) > 0 {
			part := all[:min(len(all), perScript)]
			all = all[len(part):]
			calls, told = append(calls, c.call(s, part)), append(told, part)
		}
	}
	var errs []error
	for len(calls) > 0 {
		k := min(len(calls), perTurn)
		at := time.Now() // before the exchange: what passes meanwhile must not be added again and again
		for i, cmd := range tzredis.RunAll(ctx, c.o.Client, calls[:k]) {
			if err := c.heard(told[i], cmd, at); err != nil {
				errs = append(errs, err)
			}
		}
		calls, told = calls[k:], told[k:]
		if len(errs) > 0 {
			return fmt.Errorf("cannot count with the other gateways: %w", errors.Join(errs[0]))
		}
	}
	return nil
}

func (c *Counters) call(shard int, part []ratelimit.Used) tzredis.Call {
	call := tzredis.Call{Script: add, Keys: make([]string, len(part)), Args: make([]any, 0, 3*len(part))}
	for i, u := range part {
		call.Keys[i] = c.key(shard, u)
		call.Args = append(call.Args, u.Taken/1000, u.Ahead/1000, ratelimit.MaxDebt*u.Quota.Burst/1000)
	}
	return call
}

func (c *Counters) key(shard int, u ratelimit.Used) string {
	if u.Policy.Exact {
		return c.o.Keys.Rate(u.Policy.Name, u.Hash())
	}
	return c.o.Keys.Rate(strconv.Itoa(shard), u.Hash())
}

func shardOf(hash uint64) int { return int(hash >> 60) }

func (c *Counters) heard(told []ratelimit.Used, cmd *redis.Cmd, at time.Time) error {
	got, err := cmd.Int64Slice()
	if err != nil {
		return err
	}
	if len(got) != len(told) {
		return fmt.Errorf("redis answers %d keys with %d numbers", len(told), len(got))
	}
	for i, u := range told {
		if got[i] > 0 && got[i] <= math.MaxInt64/2000 {
			c.o.Limiter.Reach(u.Key, got[i]*1000, at)
		}
	}
	c.n.sent.Add(uint64(len(told)))
	return nil
}

// take charges a request to all keys or to none. Arguments: interval and burst in microseconds, for each
// key, and how many bursts it can be ahead. It returns the
// number of the key that does not permit it, 0 where all do, and how far each is ahead.
var take = redis.NewScript(`
local t = redis.call('TIME')
local now, out = t[1] * 1000000 + t[2], {0}
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2*i-1]), tonumber(ARGV[2*i])
  local have = redis.pcall('GET', key)
  local tat = type(have) == 'string' and tonumber(have) or now
  local ahead = math.min(math.max(0, tat - now), tonumber(ARGV[#ARGV]) * burst)
  out[i+1] = ahead
  if ahead + interval > burst and out[1] == 0 then out[1] = i end
end
for i, key in ipairs(KEYS) do
  if out[1] == 0 then
    out[i+1] = out[i+1] + tonumber(ARGV[2*i-1])
    redis.call('SET', key, string.format('%.0f', now + out[i+1]), 'PX', math.ceil(out[i+1] / 1000))
  end
  out[i+1] = math.ceil(out[i+1])
end
return out`)

// Take implements ratelimit.Shared.
func (c *Counters) Take(ctx context.Context, policy string, keys []ratelimit.SharedKey) (failed int, err error) {
	c.n.asked.Add(1)
	names, args := make([]string, len(keys)), make([]any, 0, 2*len(keys))
	for i, k := range keys {
		names[i] = c.o.Keys.Rate(policy, k.Hash)
		args = append(args, max(k.Quota.Interval/1000, 1), max(k.Quota.Burst/1000, 1))
	}
	args = append(args, ratelimit.MaxDebt)
	got, err := take.Run(ctx, c.o.Client, names, args...).Int64Slice()
	if err == nil && len(got) != len(keys)+1 {
		err = fmt.Errorf("redis answers %d keys with %d numbers", len(keys), len(got))
	}
	if err != nil {
		c.n.late.Add(1)
		return 0, fmt.Errorf("cannot ask Redis about a rate limit: %w", err)
	}
	for i := range keys {
		keys[i].Ahead = max(got[i+1], 0) * 1000
	}
	return int(got[0]) - 1, nil
}
