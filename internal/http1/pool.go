package http1

import "sync"

// The buffers' sizes. A head begins with the smallest and doubles; a large body is read through the largest.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// Idle buffers, shared by all Readers of the process. They carry no state: what is in them when taken is
// never looked at.
var (
	pool4  sync.Pool
	pool8  sync.Pool
	pool16 sync.Pool
	pool32 sync.Pool
)

// take returns a buffer of at least n bytes; beyond largeBuffer it is not pooled.
func take(n int) []byte {
	switch {
	case n <= smallBuffer:
		if p, ok := pool4.Get().(*[4 << 10]byte); ok {
			return p[:]
		}
		return make([]byte, 4<<10)
	case n <= 8<<10:
		if p, ok := pool8.Get().(*[8 << 10]byte); ok {
			return p[:]
		}
		return make([]byte, 8<<10)
	case n <= 16<<10:
		if p, ok := pool16.Get().(*[16 << 10]byte); ok {
			return p[:]
		}
		return make([]byte, 16<<10)
	case n <= largeBuffer:
		if p, ok := pool32.Get().(*[32 << 10]byte); ok {
			return p[:]
		}
		return make([]byte, 32<<10)
	}
	return make([]byte, n)
}

// give returns a buffer from take. Nothing may point into it any more; race builds overwrite it, so that a
// slice which outlived its exchange shows itself.
func give(b []byte) {
	if poison {
		overwrite(b)
	}
	switch len(b) {
	case 4 << 10:
		pool4.Put((*[4 << 10]byte)(b))
	case 8 << 10:
		pool8.Put((*[8 << 10]byte)(b))
	case 16 << 10:
		pool16.Put((*[16 << 10]byte)(b))
	case 32 << 10:
		pool32.Put((*[32 << 10]byte)(b))
	}
}

// overwrite fills b with a byte that no message has. The race detector need not watch it do so: that would
// take longer than everything else.
//
//go:norace
func overwrite(b []byte) {
	b[0] = 0xDD
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}
