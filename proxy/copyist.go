package proxy

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/http1"
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
// being made then. An empty copy that is known means that compressing o does not pay. With dress the copy gets o's
// present head, for the requests to come.
func (c *Copyist) copyOf(enc *encode.Encoder, o cache.Object, coding encode.Coding, dress bool) (copied cache.Object, known bool) {
	copied, known = c.cache.GetDerived(o, coding.String())
	if !known || dress && len(copied.Body()) > 0 && !copied.Dresses(o) {
		c.ask(copyJob{copyKey{o.ID(), coding}, o, enc})
	}
	return copied, known
}

// dressed returns o's copy in a coding if it has the head as well that o is to be sent with.
func (c *Copyist) dressed(o cache.Object, coding encode.Coding) (cache.Object, bool) {
	d, ok := c.cache.GetDerived(o, coding.String())
	return d, ok && len(d.Body()) > 0 && d.Dresses(o)
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

// make keeps the copy; an empty one says that it does not pay, so that nobody tries again. A copy that is there lacks
// no more than the head.
func (c *Copyist) make(j copyJob) {
	coding := j.coding.String()
	if d, ok := c.cache.GetDerived(j.o, coding); ok {
		c.cache.PutDerived(j.o, coding, headOf(j.o, j.coding), d.Body())
		return
	}
	body, result := j.enc.Once(j.coding, j.o.Body())
	if result == encode.Busy {
		c.postponed.Add(1)
		return
	}
	c.cache.PutDerived(j.o, coding, headOf(j.o, j.coding), body)
	c.made.Add(1)
}

// headOf is what o is sent with in a coding, but for the fields that each answer has of its own.
func headOf(o cache.Object, coding encode.Coding) []byte {
	fields := o.Fields(nil)
	encode.Adjust(&fields, coding, nil)
	return http1.AppendFields(nil, fields)
}
