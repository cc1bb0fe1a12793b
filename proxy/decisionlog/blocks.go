package decisionlog

import "sync"

// blocks is the memory between requests and writer: two blocks of bytes. Requests append whole lines
// to the active one while the writer is busy with the other. A request holds the lock only for
// copying a finished line; one lock instead of a ring per processor keeps the lines in the order in
// which the requests ended.
type blocks struct {
	some chan struct{} // the active block is no longer empty
	half chan struct{} // it is half full: time to write

	mu      sync.Mutex
	active  []byte
	lines   uint64
	spare   []byte // nil while the writer has it
	size    int    // of a block
	dropped uint64
}

func newBlocks(size int) *blocks {
	return &blocks{
		some:   make(chan struct{}, 1),
		half:   make(chan struct{}, 1),
		active: make([]byte, 0, size),
		spare:  make([]byte, 0, size),
		size:   size,
	}
}

// put copies line into the active block, or drops it when there is no room.
func (b *blocks) put(line []byte) {
	b.mu.Lock()
	before := len(b.active)
	if before+len(line) > cap(b.active) {
		b.dropped++
		b.mu.Unlock()
		return
	}
	b.active = append(b.active, line...)
	b.lines++
	after := len(b.active)
	middle := cap(b.active) / 2
	b.mu.Unlock()
	if before == 0 {
		signal(b.some)
	}
	if before < middle && after >= middle {
		signal(b.half)
	}
}

// take hands the active block to the writer, who gives it back with [blocks.give]. It returns nil
// when there are no lines.
func (b *blocks) take() (block []byte, lines uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.active) == 0 {
		return nil, 0
	}
	block, lines = b.active, b.lines
	b.active, b.spare, b.lines = b.spare, nil, 0
	if cap(b.active) != b.size {
		b.active = make([]byte, 0, b.size)
	}
	drain(b.half)
	return block, lines
}

func (b *blocks) give(block []byte) {
	b.mu.Lock()
	b.spare = block[:0]
	b.mu.Unlock()
}

// lose counts lines that the writer gave up.
func (b *blocks) lose(lines uint64) {
	b.mu.Lock()
	b.dropped += lines
	b.mu.Unlock()
}

// end gives the memory up. Lines that are in it, and all that still come, count as dropped.
func (b *blocks) end() {
	b.mu.Lock()
	b.dropped += b.lines
	b.active, b.spare, b.lines = nil, nil, 0
	b.mu.Unlock()
}

// resize takes effect as the blocks change hands.
func (b *blocks) resize(size int) {
	b.mu.Lock()
	b.size = size
	b.mu.Unlock()
}

func (b *blocks) droppedLines() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func drain(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
