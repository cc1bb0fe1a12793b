package origin

import (
	"sync"
	"sync/atomic"
)

// buffers are the idle ones of all pools; what is in them when taken is never looked at. They are kept
// as pointers to slices, which sync.Pool stores without an allocation.
type buffers struct {
	heads  sync.Pool // for a request's head and what fits behind it
	pieces sync.Pool // of pieceBuffer bytes
	bodies [heldSizes]sync.Pool

	holding atomic.Int64 // bytes of all buffers that hold a body now
	mayHold int64
}

// pieceBuffer has room for a piece of a streamed body within its chunk's frame.
const pieceBuffer = chunkRoom + 64<<10 + 2

// chunkRoom is left before a piece of body for its chunk's head.
const chunkRoom = 16

// maxHeadBuffer is the largest head buffer that is kept.
const maxHeadBuffer = 128 << 10

// A held body has a buffer of 4, 16 or 64 KiB, so that small ones, which are the most, take little of what
// may be held altogether.
const (
	heldSizes = 3
	maxHeld   = 64 << 20 // bytes of bodies held at the same time; what comes on top is streamed
)

func heldSize(i int) int { return 4 << 10 << (2 * i) }

func (b *buffers) head() *[]byte {
	if p, ok := b.heads.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, 4<<10)
	return &p
}

func (b *buffers) giveHead(p *[]byte) {
	if cap(*p) <= maxHeadBuffer {
		b.heads.Put(p)
	}
}

func (b *buffers) piece() *[]byte {
	if p, ok := b.pieces.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, pieceBuffer)
	return &p
}

func (b *buffers) givePiece(p *[]byte) { b.pieces.Put(p) }

// hold returns a buffer for a body of n bytes, of up to the largest size where n is unknown (-1); nil when
// so much is held already that no more may be.
func (b *buffers) hold(n int64) *[]byte {
	i := heldSizes - 1
	for n >= 0 && i > 0 && n <= int64(heldSize(i-1)) {
		i--
	}
	size := heldSize(i)
	if b.holding.Add(int64(size)) > b.mayHold {
		b.holding.Add(-int64(size))
		return nil
	}
	if p, ok := b.bodies[i].Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, size)
	return &p
}

func (b *buffers) letGo(p *[]byte) {
	b.holding.Add(-int64(len(*p)))
	for i := range b.bodies {
		if heldSize(i) == len(*p) {
			b.bodies[i].Put(p)
		}
	}
}
