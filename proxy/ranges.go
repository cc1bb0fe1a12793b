package proxy

import (
	"encoding/hex"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/proxy/encode"
)

// Ranges count the bytes of the stored representation. Where tzero would have compressed the whole answer, a
// range is still one of the uncompressed original: compressed answers have a weak entity tag, so that a client
// that continues one with If-Range gets the whole (RFC 9110 §13.1.5).

// ranged reports whether a range is asked for: only GET has such (RFC 9110 §14.2).
func (x *Exchange) ranged() bool { return string(x.Req.Method) == "GET" && x.Req.Fields.Has("Range") }

// deliverPart answers from an object that is a part. Lookup found that it has what is asked for; what the origin
// sent in answer to this very request is passed on whatever it is, and says so itself.
func (x *Exchange) deliverPart(o cache.Object, now time.Time) {
	rg, held := o.Range(x.Req.Fields, now), o.Held()
	if !rg.Within(held) {
		rg = rfc9111.Range{Kind: rfc9111.Part, Span: held}
	}
	x.deliverRange(&rg, o)
}

// deliverFillRange answers with a piece of what is still arriving, where its length is known.
func (x *Exchange) deliverFillRange(f *cache.Fill, now time.Time) bool {
	r, partial := &x.Res, f.Head().Partial()
	if !partial && !x.ranged() {
		return false
	}
	rg, ok := f.Range(x.Req.Fields, now)
	held, complete := f.Held()
	switch {
	case ok:
	case partial: // as in deliverPart
		rg = rfc9111.Range{Kind: rfc9111.Part, Span: held}
	default:
		return false
	}
	if x.mayEncode(complete) {
		encode.AddVary(&r.Fields)
	}
	x.note(StateDeliver, ReasonRange, "")
	r.Status, r.Length = 206, rg.Length
	r.Fields.Add(nameContentRange, x.contentRange(rg.Span, complete))
	x.stream.gen, x.stream.fill = x.gen, f.Reader(x.Carrier.Gone())
	x.stream.fill.Only(rg.Offset-held.Offset, rg.Length)
	r.Stream, r.Flush = &x.stream, true
	return true
}

// deliverRange answers with a part, 206, with several, or says that there is no such part, 416.
func (x *Exchange) deliverRange(rg *rfc9111.Range, o cache.Object) {
	r, size := &x.Res, o.Complete()
	if x.mayEncode(size) {
		encode.AddVary(&r.Fields)
	}
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
		r.Status, r.Bytes, r.Length = 206, piece(o, rg.Span), rg.Length
		r.Fields.Add(nameContentRange, x.contentRange(rg.Span, size))
	}
}

// piece is what an object has of a representation.
func piece(o cache.Object, s rfc9111.Span) []byte {
	from := s.Offset - o.Held().Offset
	return o.Body()[from : from+s.Length]
}

func (x *Exchange) contentRange(s rfc9111.Span, size int64) []byte {
	at := len(x.scratch)
	x.scratch = rfc9111.AppendContentRange(x.scratch, s, size)
	return x.scratch[at:len(x.scratch):len(x.scratch)]
}

// multipart answers with several parts (RFC 9110 §14.6), each a piece of the stored body as it lies there.
func (x *Exchange) multipart(parts []rfc9111.Span, o cache.Object) {
	r, size := &x.Res, o.Complete()
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
		pieces = append(pieces, x.scratch[at:len(x.scratch):len(x.scratch)], piece(o, s))
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
