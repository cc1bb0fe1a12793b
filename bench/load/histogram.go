//go:build linux

package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in slots whose width is at most 1/128 of their value.
type Histogram struct {
	Slots []int64
	N     int64
	Max   time.Duration
}

const (
	slotBits  = 7
	slotsEach = 1 << slotBits
	slotCount = (64 - slotBits + 1) * slotsEach
)

func slotOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < slotsEach {
		return int(v)
	}
	shift := bits.Len64(v) - slotBits - 1
	return (shift+1)*slotsEach + int(v>>shift) - slotsEach
}

// upperEnd is the largest duration of a slot.
func upperEnd(slot int) time.Duration {
	if slot < slotsEach {
		return time.Duration(slot)
	}
	shift := slot/slotsEach - 1
	return time.Duration((uint64(slot%slotsEach+slotsEach)+1)<<shift - 1)
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) {
	if h.Slots == nil {
		h.Slots = make([]int64, slotCount)
	}
	h.Slots[slotOf(d)]++
	h.N++
	h.Max = max(h.Max, d)
}

// Add counts what another has counted.
func (h *Histogram) Add(o *Histogram) {
	if o.N == 0 {
		return
	}
	if h.Slots == nil {
		h.Slots = make([]int64, slotCount)
	}
	for i, n := range o.Slots {
		h.Slots[i] += n
	}
	h.N += o.N
	h.Max = max(h.Max, o.Max)
}

// Quantile returns the duration that a share q of all do not exceed.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := int64(q*float64(h.N) + 0.5)
	var seen int64
	for i, n := range h.Slots {
		if seen += n; n > 0 && seen >= rank {
			return min(upperEnd(i), h.Max)
		}
	}
	return h.Max
}
