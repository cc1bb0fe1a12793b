package origin

import (
	"io"
	"strconv"

	"github.com/tzero-edge/tzero/internal/field"
)

// The body of a request that declares a small one, or whose body is here already, is read before a
// connection is taken, and leaves in one write with the head: a client that sends slowly then does not
// occupy the origin. Larger ones, and those of unknown length, are streamed.
const holdMost = 64 << 10

// held is a request's body as far as it was read beforehand.
type held struct {
	buf     *[]byte
	n       int
	more    bool       // the rest has to be streamed
	trailer field.List // of a chunked body held whole
}

// take reads the body if it should be held. The error is the client's.
//
// A client that waits to be told to go on is told so here: towards it the gateway acts as the origin server
// (RFC 9110 §3.7), which may say so without asking anybody (§10.1.1), and the origin is not asked again
// since the body comes with the head. Where the body is streamed it is the origin that is asked.
func (h *held) take(q *Request, pool *buffers) error {
	if q.Body == nil || q.Length == 0 {
		return nil
	}
	ready, _ := q.Body.(interface{ Ready() bool })
	here := ready != nil && ready.Ready()
	if q.Length > holdMost || q.Length < 0 && !here {
		h.more = true
		return nil
	}
	if h.buf = pool.hold(q.Length); h.buf == nil {
		h.more = true
		return nil
	}
	if q.Expect100 && !here && q.OnContinue != nil {
		q.OnContinue()
	}
	if err := h.fill(q); err != nil {
		h.free(pool)
		return err
	}
	if !h.more && q.Length < 0 && q.Trailer != nil {
		h.trailer = q.Trailer()
	}
	return nil
}

func (h *held) fill(q *Request) error {
	room := *h.buf
	if q.Length >= 0 {
		room = room[:q.Length]
	}
	for h.n < len(room) {
		n, err := q.Body.Read(room[h.n:])
		h.n += n
		switch {
		case err == io.EOF && q.Length >= 0 && h.n < len(room):
			return errShort
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	h.more = q.Length < 0
	return nil
}

func (h *held) streams() bool { return h.more }

func (h *held) bytes() []byte {
	if h.buf == nil {
		return nil
	}
	return (*h.buf)[:h.n]
}

// append adds the held body to a head, framed as the head says.
func (h *held) append(dst []byte, f framing) []byte {
	if !f.chunked {
		return append(dst, h.bytes()...)
	}
	if h.n > 0 {
		dst = strconv.AppendInt(dst, int64(h.n), 16)
		dst = append(dst, "\r\n"...)
		dst = append(dst, h.bytes()...)
		dst = append(dst, "\r\n"...)
	}
	return appendTrailer(dst, h.trailer)
}

func (h *held) free(pool *buffers) {
	if h.buf != nil {
		pool.letGo(h.buf)
		h.buf = nil
	}
}

// appendTrailer ends a chunked body. Lines with a control byte in them are left out.
func appendTrailer(dst []byte, trailer field.List) []byte {
	dst = append(dst, "0\r\n"...)
	for i := range trailer {
		at := len(dst)
		dst = appendLine(dst, &trailer[i])
		if !cleanLine(dst[at:]) || ours(trailer[i].Name) {
			dst = dst[:at]
		}
	}
	return append(dst, "\r\n"...)
}
