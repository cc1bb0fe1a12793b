//go:build !race

package l1_test

import (
	"fmt"
	"testing"
	"time"
)

// With the race detector sync.Pool forgets at random, on purpose, and with it what ristretto counts. `make test` runs
// this file without.

// TestLaunchPageStays sends a stream of pages that are asked for once through a full cache, twenty times its size,
// while the launch page's objects are asked for now and then. They must not be fetched again.
func TestLaunchPageStays(t *testing.T) {
	const capacity, page = 16 << 20, 40
	c, tier := newCache(t, capacity)
	p := policy(t)
	for i := range page {
		fill(c, p, fmt.Sprintf("/launch/%d", i), make([]byte, 40000*(i%2)+2000), t0)
	}
	tier.Wait()
	missed := 0
	now := t0
	for i := range 20000 {
		fill(c, p, fmt.Sprintf("/once/%d", i), make([]byte, 16000), now)
		for j := range 4 {
			path := fmt.Sprintf("/launch/%d", (i*4+j)%page)
			if res := c.Lookup(request(p, path), now); !res.Object.Exists() {
				missed++
				fill(c, p, path, make([]byte, 2000), now)
			}
		}
		now = now.Add(time.Millisecond)
	}
	tier.Wait()
	s := tier.Stats()
	t.Logf("%d of %d requests for the launch page missed; %+v", missed, 20000*4, s)
	if missed > 8 {
		t.Errorf("the launch page was pushed out: %d misses of %d requests", missed, 20000*4)
	}
	if s.Bytes > capacity {
		t.Errorf("%d bytes of %d", s.Bytes, capacity)
	}
}
