package counters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	tzredis "github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/ratelimit"
)

// Rulings makes what an operator decides at one gateway hold at all: about once a second each tells Redis what it has decided
// since, and reads what is there when that has changed. Of two decisions about the same prefix the later one stays. What Redis
// has lost, it is told again.
//
//	rate:rulings  version → time of the last change · prefix → ms of the decision, s of its end, the ruling in JSON
type Rulings struct {
	o    RulingsOptions
	mu   sync.Mutex // one exchange at a time
	seen string     // version
	n    struct{ unknown atomic.Uint64 }
}

// RulingsOptions are what Rulings are made of.
type RulingsOptions struct {
	Client  redis.UniversalClient
	Keys    tzredis.Keys
	Limiter *ratelimit.Limiter
	Learned func()          // others have decided something
	Failed  func(err error) // the exchange failed, after one that did not
}

// NewRulings returns Rulings. Run has to run.
func NewRulings(o RulingsOptions) *Rulings { return &Rulings{o: o} }

// atOnce is how many rulings are told in one exchange.
const atOnce = 500

// exchange notes rulings that are newer than those there, and returns the version, and all where it is not the one seen.
// Arguments: version seen, then prefix, ms of the decision, s of the end and ruling, of each.
var exchange = redis.NewScript(`
local key, t = KEYS[1], redis.call('TIME')
local version, wrote = redis.call('HGET', key, 'version') or '', false
for i = 2, #ARGV, 4 do
  local old = redis.call('HGET', key, ARGV[i])
  local at = old and tonumber(string.match(old, '^(%d+) ')) or -1
  if at < tonumber(ARGV[i+1]) then
    redis.call('HSET', key, ARGV[i], ARGV[i+1] .. ' ' .. ARGV[i+2] .. ' ' .. ARGV[i+3])
    wrote = true
  end
end
if wrote then
  version = t[1] .. '.' .. t[2]
  redis.call('HSET', key, 'version', version)
  redis.call('PEXPIRE', key, 2764800000)
end
if version == ARGV[1] then return {version} end
local all, out = redis.call('HGETALL', key), {version}
for i = 1, #all, 2 do
  local ends = tonumber(string.match(all[i+1], '^%d+ (%d+) ') or '0')
  if all[i] ~= 'version' and ends < tonumber(t[1]) then
    redis.call('HDEL', key, all[i])
  elseif all[i] ~= 'version' then
    out[#out+1] = all[i+1]
  end
end
return out`)

// Run exchanges until ctx ends.
func (r *Rulings) Run(ctx context.Context) error {
	failed := false
	for {
		err := r.Exchange(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failed {
			r.o.Failed(err)
		}
		failed = err != nil
		r.o.Limiter.Expire(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every*3/4 + rand.N(every/2)):
		}
	}
}

// Exchange tells and hears. When it returns nil, Redis has all that was decided here.
func (r *Rulings) Exchange(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range 2 * ratelimit.MaxRulings / atOnce { // it ends after one or two, but for a Redis that forgets all the time
		mine := r.o.Limiter.Unsent(atOnce)
		theirs, version, err := r.exchange(ctx, mine)
		if err != nil {
			return err
		}
		r.o.Limiter.Sent(mine)
		if version != r.seen || version == "" {
			if r.o.Limiter.Learn(theirs, true, time.Now()) {
				r.o.Learned()
			}
		}
		r.seen = version
		if len(r.o.Limiter.Unsent(1)) == 0 {
			return nil
		}
	}
	return errors.New("cannot tell Redis what is ruled about addresses: it does not keep it")
}

func (r *Rulings) exchange(ctx context.Context, mine []ratelimit.Ruling) (theirs []ratelimit.Ruling, version string, err error) {
	args := []any{r.seen}
	for _, n := range mine {
		text, err := json.Marshal(n)
		if err != nil {
			return nil, "", fmt.Errorf("cannot write the ruling about %s: %w", n.Prefix, err)
		}
		args = append(args, n.Prefix.String(), n.Changed.UnixMilli(), n.Until.Unix()+1, text)
	}
	got, err := exchange.Run(ctx, r.o.Client, []string{r.o.Keys.Rulings()}, args...).StringSlice()
	switch {
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return nil, "", fmt.Errorf("what Redis has as %s are no rulings: give redis.prefix a value of its own, or delete it if it is nobody's", r.o.Keys.Rulings())
	case err != nil:
		return nil, "", fmt.Errorf("cannot tell the other gateways what is ruled about addresses: %w", err)
	case len(got) == 0:
		return nil, "", errors.New("redis answers nothing about rulings")
	}
	for _, text := range got[1:] {
		if n, ok := readRuling(text); ok {
			theirs = append(theirs, n)
		} else {
			r.n.unknown.Add(1)
		}
	}
	return theirs, got[0], nil
}

const maxRulingText = 1024

// readRuling reads what lies under a prefix.
func readRuling(text string) (n ratelimit.Ruling, ok bool) {
	at, rest, _ := strings.Cut(text, " ")
	_, about, _ := strings.Cut(rest, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil || len(text) > maxRulingText || json.Unmarshal([]byte(about), &n) != nil || n.Changed.UnixMilli() != ms {
		return ratelimit.Ruling{}, false
	}
	return n, true
}
