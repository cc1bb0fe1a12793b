package cache

import (
	"errors"
	"io"
	"time"
)

// windowSize is how far the readers of a response that is too large may be apart, leastWindow how far where
// memory is short.
const (
	windowSize  = 1 << 20
	leastWindow = windowSize / 4
)

// window carries a response on that turned out too large to keep: a ring over its latest bytes, which the
// readers of that moment share. The fastest of them sets the pace; whoever falls further behind than the
// ring is long is cut, so that one slow client costs the others nothing. What had arrived before stays in
// the fill's blob until the ring has moved on from it.
//
// All fields are guarded by the fill's lock, except that the pump writes ring bytes beyond floor+len(ring),
// which no reader touches.
type window struct {
	ring  []byte
	start int64 // offset in the body where the ring took over
	floor int64 // the oldest byte that may still be read from the ring
	end_  bool
	err   error
	space signal // fires when a reader moves or leaves
}

func (w *window) end(err error) { w.end_, w.err = true, err }

// tooLarge turns the fill over to a window, and returns errSpilled for the pump to go on there. Nobody joins
// from here on: the table forgets the fill, and its key is marked, so that the next requests fetch alone. err
// is what came with the first byte beyond the blob.
func (f *Fill) tooLarge(first byte, err error) error {
	size := leastWindow
	if f.ask(windowSize - leastWindow) {
		size = windowSize
	}
	w := &window{ring: make([]byte, size), start: f.n, floor: f.n, err: err}
	w.ring[0] = first
	f.mu.Lock()
	f.state, f.spill = TooLarge, w
	f.spare -= leastWindow
	if f.starved {
		f.because(BypassMemory)
	} else {
		f.because(BypassTooLarge)
	}
	f.n++
	f.wake.fire()
	f.mu.Unlock()
	f.c.outgrown(f)
	return errSpilled
}

// fetchRing reads on into the window until io.EOF, which it returns as nil.
func (f *Fill) fetchRing(body Body) error {
	err := f.spill.err
	for err == nil {
		var room []byte
		if room, err = f.ringRoom(); err != nil {
			return err
		}
		var n int
		n, err = body.Read(room)
		f.ringArrived(n)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// ringRoom waits until the fastest reader leaves space, and returns it. Without readers nobody wants the
// rest.
func (f *Fill) ringRoom() ([]byte, error) {
	w := f.spill
	size := int64(len(w.ring))
	for {
		f.mu.Lock()
		if len(f.readers) == 0 {
			wanted := !f.wasRead && f.awaitReader()
			f.mu.Unlock()
			if wanted {
				continue
			}
			return nil, ErrGone
		}
		fastest := w.start
		for _, r := range f.readers {
			fastest = max(fastest, r.at)
		}
		at := (f.n - w.start) % size
		room := min(fastest+size-f.n, size-at, 128<<10)
		if room > 0 {
			w.floor = max(w.floor, f.n+room-size)
			if w.floor > w.start && f.blob != nil {
				f.blob = nil // the readers who still needed it are cut
				f.retire()
			}
			f.mu.Unlock()
			return w.ring[at : at+room], nil
		}
		space := w.space.wait()
		f.mu.Unlock()
		select {
		case <-space:
		case <-f.c.closing:
			return nil, ErrGone
		}
	}
}

// awaitReader waits for the first reader. Called with the lock, which it releases meanwhile.
func (f *Fill) awaitReader() bool {
	joined := f.joined.wait()
	f.mu.Unlock()
	defer f.mu.Lock()
	late := time.NewTimer(firstReader)
	defer late.Stop()
	select {
	case <-joined:
		return true
	case <-late.C:
	case <-f.c.closing:
	}
	return false
}

func (f *Fill) ringArrived(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n += int64(max(n, 0))
	f.wake.fire()
}

// copyRing copies what is there for a reader at offset at. Called with the lock.
func (f *Fill) copyRing(p []byte, at int64) (int, error) {
	w := f.spill
	if at < w.floor {
		return 0, ErrLagging
	}
	size := int64(len(w.ring))
	pos := (at - w.start) % size
	n := min(int64(len(p)), f.n-at, size-pos)
	return copy(p, w.ring[pos:pos+n]), nil
}
