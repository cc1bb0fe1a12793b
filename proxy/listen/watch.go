package listen

import "sync/atomic"

// phase is what a connection's reading or writing half is doing.
type phase uint8

const (
	phaseQuiet   phase = iota // nothing is expected from the client
	phaseIdle                 // waiting for the first byte of a request
	phaseHead                 // inside a request's header section
	phaseBody                 // waiting for content
	phaseWriting              // the client has to take what we send
	phaseNap                  // the sweeper asked it to wait in a loop
	phaseResting              // it waits there
	phasePoked                // the sweeper declared it overdue
)

// watch is one half's phase and when it began or last made progress, in one word, so that the sweeper
// can declare it overdue without a lock: it swaps in phasePoked only if nothing has changed since it
// looked, and the half finds out at its next step.
//
//	bits 56..63  phase
//	bits  0..55  milliseconds of the server's clock
type watch struct{ v atomic.Uint64 }

// enter begins a phase and reports whether the half is still wanted.
func (w *watch) enter(p phase, now int64) bool { return w.swap(p, now) != phasePoked }

// swap begins a phase and returns the one before.
func (w *watch) swap(p phase, now int64) phase {
	return phase(w.v.Swap(uint64(p)<<56|uint64(now)) >> 56)
}

// read returns the phase, how long it has lasted, and the word to hand to poke.
func (w *watch) read(now int64) (p phase, lasted int64, word uint64) {
	word = w.v.Load()
	return phase(word >> 56), now - int64(word&(1<<56-1)), word
}

// poke declares the half overdue if it is still where read saw it.
func (w *watch) poke(word uint64) bool { return w.move(word, phasePoked) }

// move puts the half into another phase, without touching the time, if it is still where read saw it.
func (w *watch) move(word uint64, p phase) bool {
	return w.v.CompareAndSwap(word, uint64(p)<<56|word&(1<<56-1))
}
