package proxy

import (
	"fmt"
	"testing"
	"testing/quick"
)

// TestHexDigits: the lowest digit comes first.
func TestHexDigits(t *testing.T) {
	same := func(v uint32) bool {
		got, want := hexDigits(v), fmt.Sprintf("%08x", v)
		for i := range 8 {
			if byte(got>>(8*i)) != want[7-i] {
				return false
			}
		}
		return true
	}
	for _, v := range []uint32{0, 0x0123_4567, 0x89ab_cdef, 0xffff_ffff, 0x9a9a_a9a9} {
		if !same(v) {
			t.Errorf("%08x became %x", v, hexDigits(v))
		}
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}
