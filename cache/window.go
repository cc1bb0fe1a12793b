package cache

import (
	"io"
	"time"
)

// firstReader is how long a response that is too large waits for its first reader: the leader may need a
// moment to get there, or may have no use for the content at all.
const firstReader = 5 * time.Second

// windowSize is how far the readers of a response that is too large may be apart.
const windowSize = 1 << 20

// window carries a response on that turned out too large to keep: a ring over its latest bytes, which the
// readers of that moment share. The fastest of them sets the pace; whoever falls further behind than the
// ring is long is cut, so that one slow client costs the others nothing. What had arrived before stays in
// the fill's blob until the ring has moved on from it.
//
// All fields are guarded by the fill's lock, except that the pump writes ring bytes beyond floor+windowSize,
// which no reader touches.
type window struct {
	ring  [windowSize]byte
	start int64 // offset in the body where the ring took over
	floor int64 // the oldest byte that may still be read from the ring
	end_  bool
	err   error
	space signal // fires when a reader moves or leaves
}

func (w *window) end(err error) { w.end_, w.err = true, err }

// tooLarge turns the fill over to a window and pumps on. Nobody joins from here on: the table forgets the
// fill, and its key is marked, so that the next requests fetch alone.
func (f *Fill) tooLarge(body Body, first byte, err error) error {
	w := &window{start: f.n, floor: f.n}
	f.mu.Lock()
	f.state, f.reason, f.spill = TooLarge, BypassTooLarge, w
	w.ring[0] = first
	f.n++
	f.charge(int64(cap(f.blob)) + windowSize)
	f.wake.fire()
	f.mu.Unlock()
	f.c.outgrown(f)
	for err == nil {
		var room []byte
		if room, err = f.ringRoom(); err != nil {
			return err
		}
		var n int
		n, err = body.Read(room)
		f.ringArrived(n)
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// ringRoom waits until the fastest reader leaves space, and returns it. Without readers nobody wants the
// rest.
func (f *Fill) ringRoom() ([]byte, error) {
	w := f.spill
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
		at := int((f.n - w.start) % windowSize)
		room := min(fastest+windowSize-f.n, int64(windowSize-at), 128<<10)
		if room > 0 {
			w.floor = max(w.floor, f.n+room-windowSize)
			if w.floor > w.start && f.blob != nil {
				f.blob = nil // the readers who still needed it are cut
				f.charge(windowSize)
			}
			f.mu.Unlock()
			return w.ring[at : at+int(room)], nil
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
	pos := int((at - w.start) % windowSize)
	n := min(int64(len(p)), f.n-at, int64(windowSize-pos))
	return copy(p, w.ring[pos:pos+int(n)]), nil
}
