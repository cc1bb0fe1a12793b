package proxy

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/proxy/encode"
)

// copyQueue bounds the copies that wait to be made. What finds no room is compressed in passing, and asked
// for again by the next request.
const copyQueue = 256

// Copyist compresses stored objects once, in the background, and keeps the copies beside them.
type Copyist struct {
	cache *cache.Cache
	jobs  chan copyJob

	mu    sync.Mutex
	asked map[copyKey]struct{} // waiting or being made

	made, postponed atomic.Int64
}

type copyKey struct {
	object uint64
	coding encode.Coding
}

type copyJob struct {
	copyKey
	o   cache.Object
	enc *encode.Encoder
}

func newCopyist(c *cache.Cache) *Copyist {
	return &Copyist{cache: c, jobs: make(chan copyJob, copyQueue), asked: make(map[copyKey]struct{})}
}

// copyOf returns o's content in a coding, as an object's body. known is false while there is no copy yet; one is
// being made then. An empty copy that is known means that compressing o does not pay.
func (c *Copyist) copyOf(enc *encode.Encoder, o cache.Object, coding encode.Coding) (copied cache.Object, known bool) {
	if d, ok := c.cache.GetDerived(o, coding.String()); ok {
		return d, true
	}
	c.ask(copyJob{copyKey{o.ID(), coding}, o, enc})
	return cache.Object{}, false
}

func (c *Copyist) ask(j copyJob) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, waiting := c.asked[j.copyKey]; waiting {
		return
	}
	select {
	case c.jobs <- j:
		c.asked[j.copyKey] = struct{}{}
	default:
		c.postponed.Add(1)
	}
}

// Run makes copies, one at a time, until ctx ends.
func (c *Copyist) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-c.jobs:
			c.make(j)
			c.mu.Lock()
			delete(c.asked, j.copyKey)
			c.mu.Unlock()
		}
	}
}

// make keeps the copy; an empty one says that it does not pay, so that nobody tries again.
func (c *Copyist) make(j copyJob) {
	body, result := j.enc.Once(j.coding, j.o.Body())
	if result == encode.Busy {
		c.postponed.Add(1)
		return
	}
	c.cache.PutDerived(j.o, j.coding.String(), body)
	c.made.Add(1)
}
