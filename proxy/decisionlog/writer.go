package decisionlog

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	patience   = 100 * time.Millisecond // between two looks at ctx while the output takes nothing
	firstPause = 250 * time.Millisecond // after a failed write
	longPause  = 5 * time.Second
	farewell   = 2 * time.Second // for the last lines at the end
)

// writer is the goroutine's own state.
type writer struct {
	log     *Log
	sink    *sink
	output  string // what sink was opened for
	block   []byte // lines in hand, not yet written whole
	done    int    // bytes of block that are out
	lines   uint64 // in block
	pause   time.Duration
	failing bool
}

// Run writes lines until ctx ends, then what is left, for at most two seconds. Stop whoever observes
// first. A failing output is no reason to return: the lines are kept, tried again, and dropped when
// memory is full.
func (l *Log) Run(ctx context.Context) error {
	w := &writer{log: l}
	defer w.shut()
	for w.await(ctx) {
		if w.block == nil {
			w.block, w.lines = l.blocks.take()
		}
		if !w.write() {
			w.rest(ctx)
		}
	}
	w.finish()
	return nil
}

// await returns when there is something to write: at once when lines are in hand, otherwise when the
// first line has waited for company. It returns false when ctx ended.
func (w *writer) await(ctx context.Context) bool {
	if w.block != nil {
		return ctx.Err() == nil
	}
	for waiting := true; waiting; {
		select {
		case <-ctx.Done():
			return false
		case <-w.log.reopen:
			w.reopen()
		case <-w.log.blocks.some:
			waiting = false
		}
	}
	t := time.NewTimer(w.log.settings.Load().flush.D())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-w.log.blocks.half:
	case <-t.C:
	}
	return true
}

// write tries to get the block out and reports whether the writer may go on at once.
func (w *writer) write() bool {
	if w.block == nil {
		return true
	}
	if err := w.ensure(); err != nil {
		w.trouble(err)
		return false
	}
	n, err := w.sink.write(w.block[w.done:], patience)
	w.advance(n)
	if errors.Is(err, errBlocked) {
		return true // it waited already
	}
	if err != nil {
		w.trouble(err)
		return false
	}
	w.recovered()
	return true
}

// advance notes n bytes as written and lets go of a finished block.
func (w *writer) advance(n int) {
	out := w.block[w.done : w.done+n]
	lines := uint64(bytes.Count(out, []byte{'\n'}))
	w.log.written.Add(lines)
	w.log.bytes.Add(uint64(n))
	w.lines -= lines
	w.done += n
	if w.done == len(w.block) {
		w.log.blocks.give(w.block)
		w.block, w.done = nil, 0
	}
}

// ensure has the right output open: after a change of settings, a rotation or a failure another one.
func (w *writer) ensure() error {
	select {
	case <-w.log.reopen:
		w.reopen()
	default:
	}
	output := w.log.settings.Load().output
	if w.sink != nil && w.output == output && !w.sink.moved() {
		return nil
	}
	return w.swap(output)
}

// swap opens output. The old one stays in use when that fails and it is still the right one.
func (w *writer) swap(output string) error {
	next, err := w.log.open(output)
	if err != nil {
		if w.sink != nil && w.output == output {
			w.trouble(err)
			return nil
		}
		return err
	}
	if old := w.sink; old != nil {
		if old.dev != next.dev || old.ino != next.ino {
			w.back()
		}
		old.close()
	}
	w.sink, w.output = next, output
	return nil
}

// back returns to the beginning of a line that was cut, so that the new file begins with a whole one.
func (w *writer) back() {
	w.done = bytes.LastIndexByte(w.block[:w.done], '\n') + 1
}

// reopen acts on a request for it at once, so that a rotated file can be compressed by then. Only an
// output that was in use is opened.
func (w *writer) reopen() {
	if w.sink == nil {
		return
	}
	if err := w.swap(w.log.settings.Load().output); err != nil {
		w.trouble(err)
	}
}

// trouble counts every failure and tells of the first one of a series.
func (w *writer) trouble(err error) {
	w.log.errors.Add(1)
	if !w.failing {
		w.failing = true
		w.log.logger.Error("the decision log cannot be written; it is tried again", slog.Any("error", err))
	}
}

func (w *writer) recovered() {
	w.pause = 0
	if w.failing {
		w.failing = false
		w.log.logger.Info("the decision log is written again", slog.Uint64("dropped", w.log.blocks.droppedLines()))
	}
}

// rest waits after a failure, longer each time.
func (w *writer) rest(ctx context.Context) {
	w.pause = min(max(2*w.pause, firstPause), longPause)
	t := time.NewTimer(w.pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-w.log.reopen:
		w.log.Reopen() // for ensure
	}
}

// finish writes what is left, within bounds.
func (w *writer) finish() {
	end := time.Now().Add(farewell)
	for time.Now().Before(end) {
		if w.block == nil {
			w.block, w.lines = w.log.blocks.take()
		}
		if w.block == nil || !w.write() {
			break
		}
	}
	if w.block != nil {
		w.log.blocks.lose(w.lines)
		w.block = nil
	}
	w.log.blocks.end()
}

func (w *writer) shut() {
	if w.sink != nil {
		w.sink.close()
	}
}
