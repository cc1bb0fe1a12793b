package l1

import "testing"

func TestGetAllocatesNothing(t *testing.T) {
	x := tier(t, 64<<20, 0)
	t.Cleanup(x.Close)
	for k := range 16 {
		x.Set(spread(k), blob(spread(k), 1, 1126))
	}
	x.Wait()
	k := 0
	if n := testing.AllocsPerRun(5000, func() { k++; x.Get(spread(k % 32)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
