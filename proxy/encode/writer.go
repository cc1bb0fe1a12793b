package encode

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// windows bound a compressor's memory, and the decompressor's in the client, by use.
var windows = [2]int{forStream: 256 << 10, forStored: 1 << 20}

const copyBuffer = 32 << 10

// compressor is what the three codings have in common.
type compressor interface {
	io.Writer
	Flush() error
	Close() error
	Reset(io.Writer)
}

func newCompressor(c Coding, levels LevelConfig, window int) compressor {
	switch c {
	case Brotli:
		lgwin := 18
		if window > 1<<18 {
			lgwin = 20
		}
		return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: levels.Br, LGWin: lgwin})
	case Zstd:
		// One goroutine's work, done by the caller; the options are constants within their bounds.
		enc, err := zstd.NewWriter(nil,
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(window),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(levels.Zstd)), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(fmt.Sprintf("make a zstd encoder: %v", err))
		}
		return enc
	}
	enc, err := gzip.NewWriterLevel(io.Discard, levels.Gzip)
	if err != nil {
		panic(fmt.Sprintf("make a gzip encoder of level %d: %v", levels.Gzip, err))
	}
	return enc
}

// Writer compresses one response. See [Encoder.Writer].
type Writer struct {
	enc    compressor
	coding Coding
	owner  *Encoder
	use    use
	dst    io.Writer
	buf    []byte // for CopyFrom
	closed bool
}

// flusher is a destination that can be told to send what it holds.
type flusher interface{ Flush() error }

var errClosed = errors.New("write to a closed compressor")

func (w *Writer) open(dst io.Writer) {
	w.dst, w.closed = dst, false
	w.enc.Reset(dst)
}

// Coding returns the coding of the output.
func (w *Writer) Coding() Coding { return w.coding }

// Write compresses p. Output may stay inside until Flush or Close.
func (w *Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errClosed
	}
	return w.enc.Write(p)
}

// Flush brings all that was written so far to the client, in a form it can decode at once.
func (w *Writer) Flush() error {
	if w.closed {
		return errClosed
	}
	if err := w.enc.Flush(); err != nil {
		return err
	}
	if f, ok := w.dst.(flusher); ok {
		return f.Flush()
	}
	return nil
}

// Close ends the coded stream and gives the compressor back.
func (w *Writer) Close() error {
	if w.closed {
		return nil
	}
	err := w.enc.Close()
	w.release()
	return err
}

// Abort gives the compressor back without ending the stream: the client must not take what it has
// for the whole.
func (w *Writer) Abort() {
	if !w.closed {
		w.release()
	}
}

func (w *Writer) release() {
	w.closed, w.dst = true, nil
	w.enc.Reset(io.Discard) // let go of the connection
	if w.use != unpooled {
		w.owner.release(w)
	}
}

// Source is a body that arrives over time. Ready reports that all of the rest is here already, so that
// reading on will not wait.
type Source interface {
	io.Reader
	Ready() bool
}

// CopyFrom compresses src to its end and returns how many bytes it read. A read that did not fill the
// buffer means that the source has paused; what came is then flushed, so that an event or the first
// part of a slow page is not held back for the sake of a better ratio. The caller closes the Writer
// when err is nil, and aborts it when not.
func (w *Writer) CopyFrom(src Source) (int64, error) {
	if w.buf == nil {
		w.buf = make([]byte, copyBuffer)
	}
	var total int64
	for {
		n, err := src.Read(w.buf)
		total += int64(n)
		if n > 0 {
			if _, werr := w.Write(w.buf[:n]); werr != nil {
				return total, fmt.Errorf("send a compressed body: %w", werr)
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		case n > 0 && n < len(w.buf) && !src.Ready():
			if ferr := w.Flush(); ferr != nil {
				return total, fmt.Errorf("send a compressed body: %w", ferr)
			}
		}
	}
}

// thoroughLimit is the size up to which a stored object is compressed at the stored level; beyond it
// the streaming level bounds the time (brotli 6 manages some 20 MiB/s on one core, brotli 4 twice that).
const thoroughLimit = 2 << 20

// Result says what became of an attempt to compress a stored body.
type Result uint8

// The results.
const (
	Made     Result = iota // keep it beside the original
	Unworthy               // it does not get a sixteenth smaller, or is too large: remember that, do not try again
	Busy                   // the memory budget is spent: send it as it is, try again next time
)

// Once compresses a whole stored body, at the higher level while that is quick. The result is exactly
// as large as its capacity: it is meant to be kept.
func (e *Encoder) Once(coding Coding, body []byte) ([]byte, Result) {
	if coding == Identity || int64(len(body)) > e.maxStored || len(body) == 0 {
		return nil, Unworthy
	}
	use := forStored
	if len(body) > thoroughLimit {
		use = forStream
	}
	var out bytes.Buffer
	w := e.writer(coding, use)
	if w == nil {
		return nil, Busy
	}
	out.Grow(len(body)/4 + 64)
	w.open(&out)
	if _, err := w.Write(body); err != nil {
		w.Abort()
		return nil, Unworthy
	}
	if err := w.Close(); err != nil || out.Len() > len(body)-len(body)/16 {
		return nil, Unworthy
	}
	return bytes.Clone(out.Bytes()), Made
}
