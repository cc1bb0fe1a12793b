package http1

import (
	"io"

	"github.com/tzero-edge/tzero/internal/field"
)

// directRead is the size of a caller's buffer from which on bytes are read straight into it.
const directRead = 4 << 10

// Body is the body of the message whose head was read last. Read and WriteTo return io.EOF (nothing, for
// WriteTo) at its end, io.ErrUnexpectedEOF when the source ends before it, a *Malformed when its framing
// is broken or its limit exceeded, or the source's own error; WriteTo also returns its writer's. After any but the
// source's own the same is returned for ever.
type Body struct {
	r       *Reader
	framing Framing
	left    int64 // of a Length body
	n       int64 // delivered
	limit   int64 // -1: none
	ended   bool
	err     error
	chunks  decoder
}

func (b *Body) start(framing Framing, length int64) {
	*b = Body{r: b.r, framing: framing, left: length, limit: -1}
	b.ended = framing == NoBody || framing == Length && length == 0
}

// over reports whether the next head may be read.
func (b *Body) over() bool { return b.ended || b.framing == NoBody }

// Done reports whether the body was consumed whole and its framing proves that nothing is missing. It is
// never true for a body that only the connection's end ends.
func (b *Body) Done() bool { return b.over() && b.framing != UntilClose }

// Ended reports whether the body has reached its end, proven complete or (UntilClose) not.
func (b *Body) Ended() bool { return b.over() }

// N returns how many bytes of the body have been delivered.
func (b *Body) N() int64 { return b.n }

// Remaining returns how many bytes are still to be delivered, -1 when that is not known.
func (b *Body) Remaining() int64 {
	switch {
	case b.over():
		return 0
	case b.framing == Length:
		return b.left
	}
	return -1
}

// Trailer returns the trailer section once Done, without the fields that have no business there. Its
// slices share nothing with the Reader's buffers: they are valid as long as anyone holds them.
func (b *Body) Trailer() field.List {
	if !b.Done() {
		return nil
	}
	return b.chunks.trailer
}

// SetLimit bounds the body to limit bytes, counted from its beginning; a negative one lifts the bound. The
// error, here when the length is declared or else from Read, is a *Malformed with BodyTooLarge.
func (b *Body) SetLimit(limit int64) error {
	if b.limit = limit; limit < 0 || b.over() || b.err != nil {
		return nil
	}
	known := b.chunks.left
	if b.framing == Length {
		known = b.left
	}
	if b.n > limit-known {
		return b.tooLarge()
	}
	return nil
}

func (b *Body) tooLarge() error { return b.fail(b.r.fail(malformed(BodyTooLarge, ""))) }

// fail makes a fault final, for the heads to come too.
func (b *Body) fail(err error) error {
	b.err = err
	if b.r.failed == nil {
		b.r.failed = err
	}
	return err
}

// Ready reports whether Read and WriteTo can go on to the body's end without waiting for the source. A body
// whose fault is buffered already may be called ready or not.
func (b *Body) Ready() bool {
	if b.over() || b.err != nil {
		return true
	}
	buffered := b.r.cur[b.r.r:b.r.w]
	switch b.framing {
	case Length:
		return int64(len(buffered)) >= b.left
	case Chunked:
		return b.chunks.endsWithin(buffered, &b.r.lim)
	}
	return b.r.srcErr == io.EOF
}

// Whole consumes a body of declared length that has arrived already, and returns it as it lies in the Reader's
// buffer: it is valid until the next ReadRequest, ReadResponse, Idle or Reset. ok is false for any other body, which is left
// alone.
func (b *Body) Whole() (data []byte, ok bool) {
	if b.framing != Length || b.err != nil || int64(b.r.w-b.r.r) < b.left {
		return nil, false
	}
	data, _ = b.next(int(b.left))
	return data[:len(data):len(data)], true
}

// endsWithin runs a copy of the decoder ahead.
func (d decoder) endsWithin(buf []byte, lim *Limits) bool {
	d.dry = true
	for len(buf) > 0 && d.state != complete {
		skip, n, bad := d.step(buf, len(buf), lim)
		if bad != nil {
			return true
		}
		buf = buf[skip+n:]
	}
	return d.state == complete
}

// Read implements io.Reader. It returns what has arrived, and waits only when that is nothing.
func (b *Body) Read(p []byte) (int, error) {
	for {
		if b.err != nil {
			return 0, b.err
		}
		if b.over() {
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		if b.r.r == b.r.w {
			if n, err := b.fill(p); n > 0 || err != nil {
				return n, err
			}
			continue
		}
		data, err := b.next(len(p))
		if n := copy(p, data); n > 0 {
			if b.framing == Chunked && err == nil {
				_, _ = b.next(0) // what ends the body may be here already; a fault is kept for the next Read
			}
			b.tidy()
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// WriteTo implements io.WriterTo: every time bytes arrive they are written at once.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	before := b.n
	for {
		if b.r.r < b.r.w {
			if err := b.writeBuffered(w); err != nil {
				return b.n - before, err
			}
		}
		b.tidy()
		if b.err != nil || b.over() {
			return b.n - before, b.err
		}
		if b.r.r == b.r.w {
			if _, err := b.fill(nil); err != nil {
				return b.n - before, err
			}
		}
	}
}

// writeBuffered writes the data that is buffered, all of it in one piece: the framing between chunks is
// closed up in place.
func (b *Body) writeBuffered(w io.Writer) error {
	if b.err != nil || b.over() {
		return b.err
	}
	r := b.r
	out, err := b.next(r.w - r.r)
	for err == nil && b.framing == Chunked && r.r < r.w && !b.over() {
		var data []byte
		data, err = b.next(r.w - r.r)
		out = append(out, data...) // data lies behind out in the same buffer: nothing unread is overwritten
	}
	if len(out) > 0 {
		n, werr := w.Write(out)
		if n < len(out) && werr == nil {
			werr = io.ErrShortWrite
		}
		if werr != nil {
			// What was read is consumed and the boundary known: the messages to come do not pay for the writer.
			b.n -= int64(len(out) - max(n, 0))
			b.err = werr
			return werr
		}
	}
	return err
}

// next consumes buffered bytes up to and including at most most bytes of data, and returns those; none
// when more framing has to come first.
func (b *Body) next(most int) ([]byte, error) {
	r := b.r
	buf := r.cur[r.r:r.w]
	switch b.framing {
	case Length:
		n := int(min(int64(len(buf)), int64(most), b.left))
		r.r += n
		b.delivered(n)
		return buf[:n], nil
	case Chunked:
		return b.nextChunked(buf, most)
	}
	n := min(len(buf), most)
	if b.limit >= 0 && b.n+int64(n) > b.limit {
		n = int(b.limit - b.n)
		r.r += n
		b.n += int64(n)
		return buf[:n], b.tooLarge()
	}
	r.r += n
	b.n += int64(n)
	return buf[:n], nil
}

func (b *Body) nextChunked(buf []byte, most int) ([]byte, error) {
	skip, n, bad := b.chunks.step(buf, most, &b.r.lim)
	b.r.r += skip + n
	if bad != nil {
		return nil, b.fail(b.r.fail(bad))
	}
	// A chunk's declared size is enough to know that the limit will be passed.
	if b.limit >= 0 && b.n+int64(n) > b.limit-b.chunks.left {
		return nil, b.tooLarge()
	}
	b.n += int64(n)
	if b.chunks.state == complete {
		b.ended = true
	}
	return buf[skip : skip+n], nil
}

// tidy gives the body's buffer back when the body is over; call it when the data has been handed on.
func (b *Body) tidy() {
	if b.over() {
		b.r.doneWithBody()
	}
}

// delivered counts n bytes of a Length body.
func (b *Body) delivered(n int) {
	b.n += int64(n)
	if b.left -= int64(n); b.left == 0 {
		b.ended = true
	}
}

// fill waits for bytes when none are buffered. Data that can go straight into p does, and is counted; else
// n is 0 and the bytes are buffered.
func (b *Body) fill(p []byte) (n int, err error) {
	known := b.left
	switch {
	case b.framing == Chunked:
		if known = 0; b.chunks.state == inData {
			known = b.chunks.left
		}
	case b.framing == UntilClose:
		known = 0
	}
	switch {
	case len(p) < directRead || b.limit >= 0 && b.framing == UntilClose:
		err = b.r.readBody(known)
	case b.framing == Chunked && known < int64(len(p)):
		err = b.r.readBody(known)
	default:
		n, err = b.direct(p)
	}
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, err
	}
	if b.framing == UntilClose {
		b.ended = true
		return 0, nil
	}
	return n, b.fail(io.ErrUnexpectedEOF)
}

// direct reads into the caller's buffer. After a response's Content-Length one byte more is asked for, so
// that a surplus shows in Buffered instead of becoming the head of the next response.
func (b *Body) direct(p []byte) (int, error) {
	r := b.r
	surplus := 0
	switch b.framing {
	case Length:
		if int64(len(p)) > b.left {
			if r.response {
				surplus = 1
			}
			p = p[:int(b.left)+surplus]
		}
	case Chunked:
		p = p[:min(int64(len(p)), b.chunks.left)]
	}
	n, err := r.readSome(p)
	if b.framing == Length && int64(n) > b.left {
		n--
		r.keep(p[n])
	}
	switch b.framing {
	case Length:
		b.delivered(n)
	case Chunked:
		b.n += int64(n)
		if b.chunks.left -= int64(n); b.chunks.left == 0 {
			b.chunks.state = dataCR
		}
	default:
		b.n += int64(n)
	}
	return n, err
}
