package proxy

import (
	"encoding/hex"
	"strconv"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/proxy/encode"
)

// Ranges count the bytes of the stored representation. Where tzero would have compressed the whole answer, a
// range is still one of the uncompressed original: compressed answers have a weak entity tag, so that a client
// that continues one with If-Range gets the whole (RFC 9110 §13.1.5).

// ranged reports whether a range is asked for: only GET has such (RFC 9110 §14.2).
func (x *Exchange) ranged() bool { return string(x.Req.Method) == "GET" && x.Req.Fields.Has("Range") }

// deliverRange answers with a part, 206, with several, or says that there is no such part, 416.
func (x *Exchange) deliverRange(rg *rfc9111.Range, o cache.Object) {
	r, size := &x.Res, o.Complete()
	if x.mayEncode(size) {
		encode.AddVary(&r.Fields)
	}
	body := o.Body()
	switch rg.Kind {
	case rfc9111.Unsatisfiable:
		x.note(StateDeliver, ReasonBadRange, "")
		r.Status, r.Bytes, r.Length = 416, nil, 0
		r.Fields.Del("Content-Type")
		at := len(x.scratch)
		x.scratch = strconv.AppendInt(append(x.scratch, "bytes */"...), size, 10)
		r.Fields.Add(nameContentRange, x.scratch[at:len(x.scratch):len(x.scratch)])
	case rfc9111.Several:
		x.note(StateDeliver, ReasonRange, "several")
		r.Status = 206
		x.multipart(rg.Parts, o)
	default:
		x.note(StateDeliver, ReasonRange, "")
		r.Status, r.Bytes, r.Length = 206, body[rg.Offset:rg.End()], rg.Length
		r.Fields.Add(nameContentRange, x.contentRange(rg.Span, size))
	}
}

func (x *Exchange) contentRange(s rfc9111.Span, size int64) []byte {
	at := len(x.scratch)
	x.scratch = rfc9111.AppendContentRange(x.scratch, s, size)
	return x.scratch[at:len(x.scratch):len(x.scratch)]
}

// multipart answers with several parts (RFC 9110 §14.6), each a piece of the stored body as it lies there.
func (x *Exchange) multipart(parts []rfc9111.Span, o cache.Object) {
	r, size, body := &x.Res, o.Complete(), o.Body()
	boundary := string(x.newBoundary())
	var kind string
	if v := r.Fields.Get("Content-Type"); v != nil {
		kind = "\r\nContent-Type: " + string(v)
	}
	pieces := make([][]byte, 0, 2*len(parts)+1)
	lead := "--"
	for _, s := range parts {
		at := len(x.scratch)
		x.scratch = append(append(append(x.scratch, lead...), boundary...), kind...)
		x.scratch = append(x.scratch, "\r\nContent-Range: "...)
		x.scratch = append(rfc9111.AppendContentRange(x.scratch, s, size), "\r\n\r\n"...)
		pieces = append(pieces, x.scratch[at:len(x.scratch):len(x.scratch)], body[s.Offset:s.End()])
		lead = "\r\n--"
	}
	pieces = append(pieces, x.keep(lead+boundary+"--\r\n"))
	r.Length = 0
	for _, p := range pieces {
		r.Length += int64(len(p))
	}
	r.Fields.Set("Content-Type", x.keep("multipart/byteranges; boundary="+boundary))
	x.stream.gen, x.stream.pieces = x.gen, pieces
	r.Stream = &x.stream
}

// newBoundary makes a delimiter that no content has in it but by a chance of 1 in 2^128 for each of its bytes.
func (x *Exchange) newBoundary() []byte {
	var raw [16]byte
	x.random(&raw)
	return hex.AppendEncode(nil, raw[:])
}
