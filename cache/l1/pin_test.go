package l1_test

import (
	"fmt"
	"testing"
	"time"
)

// TestPinnedStays is the same for objects that nobody asks for until their time has come.
func TestPinnedStays(t *testing.T) {
	const capacity, planned = 16 << 20, 50
	c, tier := newPinningCache(t, capacity, 2<<20)
	p := policy(t)
	for i := range planned {
		path := fmt.Sprintf("/planned/%d", i)
		fill(c, p, path, make([]byte, 20000), t0)
		if !c.Pin(request(p, path)) {
			t.Fatalf("%s is not pinned: %+v", path, tier.Stats())
		}
	}
	for i := range 1500 {
		fill(c, p, fmt.Sprintf("/once/%d", i), make([]byte, 16000), t0)
		c.Lookup(request(p, fmt.Sprintf("/once/%d", i)), t0)
	}
	tier.Wait()
	for i := range planned {
		if res := c.Lookup(request(p, fmt.Sprintf("/planned/%d", i)), t0); !res.Object.Exists() {
			t.Errorf("planned object %d is gone", i)
		}
	}
	if s := tier.Stats(); s.Pinned != planned || s.PinnedBytes > s.PinnedCapacity {
		t.Errorf("%+v", s)
	}
	path := "/planned/7"
	fill(c, p, path, make([]byte, 30000), t0.Add(2*time.Minute)) // a refresh is pinned too
	if s := tier.Stats(); s.Pinned != planned {
		t.Errorf("%d are pinned after a refresh", s.Pinned)
	}
	c.Invalidate(request(p, path), t0.Add(3*time.Minute))
	if s := tier.Stats(); s.Pinned != planned-1 {
		t.Errorf("%d are pinned after an invalidation", s.Pinned)
	}
	for i := range planned {
		c.Unpin(request(p, fmt.Sprintf("/planned/%d", i)))
	}
	if s := tier.Stats(); s.Pinned != 0 || s.PinnedBytes != 0 {
		t.Errorf("after all were unpinned: %+v", s)
	}
}

// TestPinnedRegionHasItsOwnBudget pins more than fits: what does not is an object like all others.
func TestPinnedRegionHasItsOwnBudget(t *testing.T) {
	c, tier := newPinningCache(t, 16<<20, 1<<20)
	p := policy(t)
	refused := 0
	for i := range 100 {
		path := fmt.Sprintf("/planned/%d", i)
		fill(c, p, path, make([]byte, 20000), t0)
		if !c.Pin(request(p, path)) {
			refused++
		}
	}
	s := tier.Stats()
	if s.PinnedBytes > 1<<20 || s.PinnedBytes < 900<<10 || s.PinsRefused != uint64(refused) || s.Objects != 100 {
		t.Errorf("%d refused, %+v", refused, s)
	}
}
