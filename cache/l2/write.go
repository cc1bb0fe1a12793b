package l2

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/cespare/xxhash/v2"

	"github.com/tzero-edge/tzero/cache"
	tzredis "github.com/tzero-edge/tzero/internal/redis"
)

const (
	workers     = 2
	putsLength  = 2048 // jobs in one queue beyond which it takes no more responses; their bytes are bounded by Config.Queue
	voidsLength = 4096 // room in one queue that only writes have
	drainWithin = 2 * time.Second

	mostAtOnce      = 32      // jobs in one exchange
	mostBytesAtOnce = 1 << 20 // and bytes, after which no other job is added

	longestLife = 7 * 24 * time.Hour
	leastLife   = time.Second
	toValidate  = time.Hour // what has a validator is of use that long after its end
	fenceLife   = 3 * time.Minute
	fenced      = fenceLife * 2 / 3 // what took longer may be from before a write whose fence is gone
)

// job is something to write: a response, or that its page is void.
type job struct {
	put     cache.Put
	primary []byte // of a void
	wait    time.Duration
	bytes   int64
	length  int // of the value that is written, in bytes
}

// queue is that of a page: what is told of one page is written in order.
func (t *Tier) queue(primary []byte) chan job { return t.queues[xxhash.Sum64(primary)%workers] }

// Put is cache.Shared. What is too large however it is compressed does not wait for that.
func (t *Tier) Put(p cache.Put) bool {
	t.n.puts.Add(1)
	if t.hopeless(p.Object) {
		t.n.large.Add(1)
		p.Lease.End(cache.EndTooLarge)
		return true
	}
	size := int64(len(p.Object.Bytes()))
	q := t.queue(p.Object.Primary())
	if t.queued.Add(size) > int64(t.config.Queue) || len(q) >= putsLength || !t.offer(q, job{put: p, bytes: size}) {
		t.queued.Add(-size)
		t.n.dropped.Add(1)
		p.Lease.End(cache.EndFailed)
		return false
	}
	return true
}

// Void is cache.Shared.
func (t *Tier) Void(primary []byte, wait time.Duration) {
	t.n.voids.Add(1)
	if len(primary) > mostPrimary || !t.offer(t.queue(primary), job{primary: append([]byte(nil), primary...), wait: wait}) {
		t.n.lost.Add(1)
	}
}

// hopeless reports whether no value of the object can be small enough.
func (t *Tier) hopeless(o cache.Object) bool {
	const most = 16 // no page is compressed by more
	size := valueHead + int64(len(o.Bytes()))
	return size > most*t.most || size > t.most && !o.MayTransform()
}

func (t *Tier) offer(q chan job, j job) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.closed {
		return false
	}
	select {
	case q <- j:
		return true
	default:
		return false
	}
}

// Run writes until ctx ends, and then for a moment what is left. It runs once; what comes after it is refused.
func (t *Tier) Run(ctx context.Context) error {
	defer t.codec.close()
	work, end := context.WithCancel(context.WithoutCancel(ctx)) // what is being written when ctx ends is not cut off
	defer end()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(drainWithin):
			end()
		case <-work.Done():
		}
	})
	defer stop()
	var group errgroup.Group
	for _, q := range t.queues {
		group.Go(func() error {
			t.serve(work, ctx.Done(), q)
			return nil
		})
	}
	err := group.Wait()
	t.shut()
	return err
}

// shut refuses what comes from now on, and ends what came while the last was written.
func (t *Tier) shut() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	for _, q := range t.queues {
		close(q)
		for j := range q {
			t.give(j)
		}
	}
}

// give gives a job up.
func (t *Tier) give(j job) {
	if !j.put.Object.Exists() {
		t.n.lost.Add(1)
		return
	}
	t.queued.Add(-j.bytes)
	t.n.dropped.Add(1)
	j.put.Lease.End(cache.EndFailed)
}

// serve does what is in a queue until over, and then what is left; work bounds that.
func (t *Tier) serve(work context.Context, over <-chan struct{}, q chan job) {
	for {
		select {
		case j := <-q:
			t.do(work, batch(q, j))
			continue
		case <-over:
		}
		break
	}
	for {
		select {
		case j := <-q:
			t.do(work, batch(q, j))
		default:
			return
		}
	}
}

// batch is a job and what waits behind it, as far as one exchange may carry it.
func batch(q chan job, first job) []job {
	jobs, bytes := []job{first}, first.bytes
	for len(jobs) < mostAtOnce && bytes < mostBytesAtOnce {
		select {
		case j := <-q:
			jobs, bytes = append(jobs, j), bytes+j.bytes
		default:
			return jobs
		}
	}
	return jobs
}

// do tells Redis of jobs in one exchange, in their order.
func (t *Tier) do(ctx context.Context, jobs []job) {
	calls, asked := make([]tzredis.Call, 0, len(jobs)), make([]job, 0, len(jobs))
	now := time.Now()
	for _, j := range jobs {
		if !j.put.Object.Exists() {
			calls, asked = append(calls, t.revoking(j)), append(asked, j)
			continue
		}
		t.queued.Add(-j.bytes)
		call, end := t.storing(&j, now)
		if end != cache.EndStored {
			j.put.Lease.End(end)
			continue
		}
		calls, asked = append(calls, call), append(asked, j)
	}
	for i, cmd := range tzredis.RunAll(ctx, t.writes, calls) {
		done, err := cmd.Int()
		if j := asked[i]; j.put.Object.Exists() {
			j.put.Lease.End(t.stored(j, done, err))
		} else if err != nil {
			t.n.lost.Add(1)
		}
	}
}

// store sets a response, and with it the vary record that leads to it, unless its page was written since the lease was
// granted. The keys are the page's fence, and what is set: the object, or record and variant.
var store = redis.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if #KEYS == 3 then
  local same = redis.call('GETRANGE', KEYS[2], 0, #ARGV[5] - 1) == ARGV[5]
  if not same or redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
  end
end
redis.call('SET', KEYS[#KEYS], ARGV[2], 'PX', ARGV[3])
return 1`)

// storing is the call that stores a response, unless it is none for Redis.
func (t *Tier) storing(j *job, now time.Time) (tzredis.Call, cache.LeaseEnd) {
	p := j.put
	life := lifeOf(p.Object, now)
	if life < leastLife || p.Object.Resident(now)+p.Object.Took() > fenced {
		t.n.failed.Add(1)
		return tzredis.Call{}, cache.EndFailed
	}
	value := t.codec.encode(p.Object, t.stamp(), life, now)
	if j.length = len(value); int64(j.length) > t.most {
		t.n.large.Add(1)
		return tzredis.Call{}, cache.EndTooLarge
	}
	primary := p.Object.Primary()
	tag := tzredis.Tag(primary)
	keys := []string{t.keys.Fence(tag), t.keys.Object(tag)}
	args := []any{p.Lease.Fence(), value, life.Milliseconds()}
	if p.Record.Exists() {
		stamp := stampOf(p.Record)
		keys = append(keys, t.keys.Variant(tag, p.Object.Key()))
		args = append(args, t.codec.encode(p.Record, stamp, life, now), stamp[:])
	}
	return tzredis.Call{Script: store, Keys: keys, Args: args}, cache.EndStored
}

// stored counts what Redis made of a response.
func (t *Tier) stored(j job, done int, err error) cache.LeaseEnd {
	switch {
	case err != nil:
		t.n.failed.Add(1)
		return cache.EndFailed
	case done == 0:
		t.n.fenced.Add(1)
		return cache.EndFailed
	}
	t.n.stored.Add(1)
	t.n.bytesOut.Add(uint64(j.length))
	t.n.saved.Add(uint64(max(0, len(j.put.Object.Bytes())+valueHead-j.length)))
	return cache.EndStored
}

// lifeOf is how long a response is of use to anybody.
func lifeOf(o cache.Object, now time.Time) time.Duration {
	stale := o.StaleFor()
	if o.CanValidate() {
		stale = max(stale, toValidate)
	}
	return min(o.Left(now)+stale, longestLife)
}

// revoke makes a page void: at once, or after a wait at the latest. The fence gets a value that it never had: a number
// would begin again where its key has ended, and let an answer pass that was asked for under the same number before. Redis
// refuses what needs memory while it has none, but not after a script's first write: therefore the DEL.
var revoke = redis.NewScript(`
if tonumber(ARGV[1]) == 0 then
  redis.call('DEL', KEYS[2])
else
  local left = redis.call('PTTL', KEYS[2])
  if left == -1 or left > tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[2], ARGV[1]) end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[4])
return 1`)

func (t *Tier) revoking(j job) tzredis.Call {
	tag := tzredis.Tag(j.primary)
	told := AppendWritten(nil, Written{Node: t.node, Wait: j.wait, Primary: j.primary})
	fence := t.stamp()
	return tzredis.Call{Script: revoke, Keys: []string{t.keys.Fence(tag), t.keys.Object(tag)},
		Args: []any{j.wait.Milliseconds(), t.keys.Bus(), told, fenceLife.Milliseconds(), fence[:]}}
}
