package origin

import "sync"

// buffers are the idle ones of all pools; what is in them when taken is never looked at. They are kept
// as pointers to slices, which sync.Pool stores without an allocation.
type buffers struct {
	heads  sync.Pool // for a request's head and what fits behind it
	bodies sync.Pool // of bodyBuffer bytes
}

// bodyBuffer has room for a held body, or for a piece of a streamed one within its chunk's frame.
const bodyBuffer = chunkRoom + holdReady + 2

// chunkRoom is left before a piece of body for its chunk's head.
const chunkRoom = 16

// maxHeadBuffer is the largest head buffer that is kept.
const maxHeadBuffer = 128 << 10

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

func (b *buffers) body() *[]byte {
	if p, ok := b.bodies.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, bodyBuffer)
	return &p
}

func (b *buffers) giveBody(p *[]byte) { b.bodies.Put(p) }
