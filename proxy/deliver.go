package proxy

import (
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy/encode"
)

// deliverObject answers with a whole stored response: in full, with a part of it, or with the news that
// the client has it already.
func (x *Exchange) deliverObject(o cache.Object) {
	now := x.now()
	r := &x.Res
	r.Status = o.Status()
	if x.asStored(&o) && x.deliverStored(o, now) {
		return
	}
	x.storedFields(o, now)
	if o.Condition(x.Req.Fields, now) == rfc9111.NotModified {
		x.notModified(int64(len(o.Body())))
		return
	}
	body := o.Body()
	r.Object, r.Holds = o.Pins()
	if o.Partial() {
		x.deliverPart(o, now)
		return
	}
	if x.ranged() && r.Status == 200 {
		if rg := o.Range(x.Req.Fields, now); rg.Kind != rfc9111.Whole {
			x.deliverRange(&rg, o)
			return
		}
	}
	coding := x.coding(int64(len(body)))
	if coding == encode.Identity || !x.deliverEncoded(o, body, coding) {
		r.Bytes, r.Length = body, int64(len(body))
		x.note(StateDeliver, "", "")
	}
	x.headOnly()
}

// asStored reports whether a stored head can be sent as it lies there: nothing in the request or in the route asks for
// other fields or less content.
func (x *Exchange) asStored(o *cache.Object) bool {
	return x.lookups > 0 && !x.want.Selects() && x.own == nil && x.plan.Response == nil && !o.Partial()
}

// deliverStored answers with the head and the content that lie in the object or, for a client that takes them
// compressed, in its copy. It reports false where there is no such head.
func (x *Exchange) deliverStored(o cache.Object, now time.Time) bool {
	from, note := o, ""
	if x.deserves(&o) {
		coding := x.negotiate()
		if coding == encode.Identity { // Vary has to tell of the choice
			return false
		}
		copied, ok := x.edge.copyist.dressed(o, coding)
		if !ok {
			return false
		}
		from, note = copied, coding.String()
	}
	r := &x.Res
	r.Head, x.Out.ContentType = from.Head(), o.ContentType()
	r.Fields.Add(nameAge, x.keepInt(int64(o.Age(now)/time.Second)))
	r.Object, r.Holds = from.Pins()
	r.Bytes, r.Length = from.Body(), int64(len(from.Body()))
	x.note(StateDeliver, "", note)
	x.headOnly()
	return true
}

// deserves reports whether the whole content of an object is sent compressed to those who take it so.
func (x *Exchange) deserves(o *cache.Object) bool {
	if !o.MayTransform() {
		return false
	}
	v := encode.Response{Status: o.Status(), Length: int64(len(o.Body())), Mode: x.plan.Compress, Media: o.ContentType()}
	return x.gen.Encoder.Deserves(&v) == encode.Compress
}

// storedFields begins the answer's fields with those of a stored head, and its age.
func (x *Exchange) storedFields(o cache.Object, now time.Time) {
	r := &x.Res
	if x.own == nil {
		r.Fields = o.Fields(r.Fields)
	} else {
		r.Fields = append(r.Fields, x.own...)
		r.Fields.Del("Age")
		if o.Partial() {
			r.Fields.Del("Content-Range")
		}
		if !r.Fields.Has("Date") {
			x.date()
		}
	}
	r.Fields.Add(nameAge, x.keepInt(int64(o.Age(now)/time.Second)))
}

// deliverEncoded answers with the copy that was compressed once or, until there is one, compresses in
// passing and has the copy made. It reports false where the original has to do.
func (x *Exchange) deliverEncoded(o cache.Object, body []byte, coding encode.Coding) bool {
	r := &x.Res
	// What is validated for every request has another head each time.
	copied, known := x.edge.copyist.copyOf(x.gen.Encoder, o, coding, x.Out.Cache == CacheHit)
	switch {
	case known && len(copied.Body()) == 0: // it does not get smaller
		return false
	case known:
		r.Bytes, r.Length = copied.Body(), int64(len(copied.Body()))
		r.Object, r.Holds = copied.Pins()
	default:
		x.stream.gen, x.stream.bytes = x.gen, body
		if !x.stream.encode(coding) {
			return false
		}
		r.Stream, r.Length = &x.stream, -1
	}
	x.scratch = encode.Adjust(&r.Fields, coding, x.scratch)
	x.note(StateDeliver, "", coding.String())
	return true
}

// deliverFill answers from a response that is still arriving.
func (x *Exchange) deliverFill(f *cache.Fill) {
	if o := f.Object(); o.Exists() {
		x.deliverObject(o)
		return
	}
	r := &x.Res
	h := f.Head()
	r.Status = h.Status()
	now := x.now()
	x.storedFields(h, now)
	if h.Condition(x.Req.Fields, now) == rfc9111.NotModified {
		x.notModified(f.Length())
		return
	}
	if x.deliverFillRange(f, now) {
		return
	}
	r.Length = f.Length()
	x.stream.gen, x.stream.fill = x.gen, f.Reader(x.Carrier.Gone())
	r.Stream, r.Flush = &x.stream, true
	x.encodeStream()
	x.headOnly()
}

// deliverAnswer passes the origin's answer on as it arrives.
func (x *Exchange) deliverAnswer() {
	r := &x.Res
	a := x.answer
	x.answer = nil // x.stream lets it go
	r.Status = a.Status
	if len(x.ends) > 0 { // the cache was offered this answer
		r.Fields, x.ends = x.ends, r.Fields[:0]
	} else {
		x.gen.Clients.EndToEnd(&r.Fields, a.Fields)
		x.withhold(&r.Fields)
	}
	if !r.Fields.Has("Date") {
		x.date()
	}
	r.Length = a.Length
	if v := a.Fields.Get("Trailer"); v != nil {
		r.Trailer = v
	}
	x.Out.FirstByte = x.came.Sub(x.Started)
	x.stream.gen = x.gen
	content := allowsContent(r.Status) && !x.isHead()
	if content {
		if whole, ok := a.Body.Whole(); ok { // it is sent as it lies in the origin's buffer
			x.answer, x.stream.bytes, r.Bytes = a, whole, whole
			x.encodeStream()
			return
		}
	}
	x.stream.body = a
	r.Stream = &x.stream
	if !content {
		x.note(StateDeliver, "", "")
		x.headOnly()
		return
	}
	// Where content is still to come, the head need not wait for it.
	r.Flush = !a.Body.Ready()
	if r.Flush && x.ask.Done == nil {
		// It was asked for everybody, or for a client that had to be served to the end. Now it is one client's.
		x.stream.gone = x.Carrier.Gone()
	}
	x.encodeStream()
}

// encodeStream compresses in passing what deserves it: what is in x.stream.
func (x *Exchange) encodeStream() {
	r := &x.Res
	coding := x.coding(r.Length)
	if coding == encode.Identity || x.isHead() || !x.stream.encode(coding) {
		x.note(StateDeliver, "", "")
		return
	}
	x.note(StateDeliver, "", coding.String())
	x.scratch = encode.Adjust(&r.Fields, coding, x.scratch)
	r.Stream, r.Bytes, r.Length, r.Trailer = &x.stream, nil, -1, nil
}

// coding chooses the content coding for an answer whose fields are in place, and notes in Vary that there
// was a choice.
func (x *Exchange) coding(length int64) encode.Coding {
	v := encode.Response{
		Status: x.Res.Status, Fields: x.Res.Fields, Length: length, Mode: x.plan.Compress,
	}
	if x.gen.Encoder.Deserves(&v) != encode.Compress {
		return encode.Identity
	}
	encode.AddVary(&x.Res.Fields)
	if x.ranged() {
		return encode.Identity // who asks for a range counts the bytes of the original, even where he gets them all
	}
	return x.negotiate()
}

// notModified answers 304 with the fields that RFC 9110 §15.4.5 asks for. length is that of the content, -1 where it is
// not known.
func (x *Exchange) notModified(length int64) {
	r := &x.Res
	encoded := x.mayEncode(length)
	r.Status, r.NoBody, r.Length = 304, true, -1
	out := r.Fields[:0]
	for _, f := range r.Fields {
		if !describesContent(f.Name) {
			out = append(out, f)
		}
	}
	r.Fields = out
	if encoded {
		encode.AddVary(&r.Fields)
		// The client puts these fields in the place of those it has. With a strong ETag it would take its encoded
		// content for the original's, and ask for the rest of that.
		if !x.ranged() && x.negotiate() != encode.Identity {
			x.scratch = encode.Weaken(r.Fields, x.scratch)
		}
	}
	x.note(StateDeliver, ReasonNotModified, "")
}

// mayEncode reports whether the full answer, whose status and fields are in place, would depend on Accept-Encoding.
func (x *Exchange) mayEncode(length int64) bool {
	v := encode.Response{Status: x.Res.Status, Fields: x.Res.Fields, Length: length, Mode: x.plan.Compress}
	return x.gen.Encoder.Deserves(&v) == encode.Compress
}

// describesContent names the fields that a 304 has no use for (RFC 9110 §15.4.5).
func describesContent(name []byte) bool {
	for _, n := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Range", "Last-Modified", "Accept-Ranges"} {
		if field.EqualFold(name, n) {
			return n != "Last-Modified"
		}
	}
	return false
}

// headOnly drops the content where the method or the status has none; its length is still told.
func (x *Exchange) headOnly() {
	if r := &x.Res; x.isHead() || !allowsContent(r.Status) {
		r.NoBody, r.Bytes = true, nil
	}
}

// dress adds what every answer carries: Cache-Status, Via, Date, and the route's changes.
func (x *Exchange) dress() {
	r := &x.Res
	at := len(x.scratch)
	x.scratch = x.appendCacheStatus(x.scratch)
	r.Fields.Add(nameCacheStatus, x.scratch[at:len(x.scratch):len(x.scratch)])
	if x.Out.OriginStatus != 0 || x.object.Exists() || x.fill != nil {
		r.Fields.Add(nameVia, x.gen.Clients.Via("1.1"))
	} else if !r.Fields.Has("Date") {
		x.date()
	}
	if x.receipt.Charged() {
		x.showLimits()
	}
	if x.plan != nil {
		x.plan.Response.Apply(&r.Fields)
	}
}

// date adds the time of the answer's making (RFC 9110 §6.6.1).
func (x *Exchange) date() {
	at := len(x.scratch)
	x.scratch = rfc9111.AppendDate(x.scratch, x.now())
	x.Res.Fields.Add(nameDate, x.scratch[at:len(x.scratch):len(x.scratch)])
}

// appendCacheStatus appends this hop's member of Cache-Status (RFC 9211): what the cache did, and why, in
// the same word as everywhere else.
func (x *Exchange) appendCacheStatus(b []byte) []byte {
	o := &x.Out
	m := cache.CacheStatus{Detail: cache.Reason(o.CacheReason)}
	switch o.Cache {
	case CacheNone:
	case CacheHit, CacheShared, CacheStale:
		m.Hit, m.HasTTL, m.TTL = true, true, x.look.Left
	default:
		m.Forward = cache.ForwardOf(&x.look)
		if x.lookups == 0 {
			m.Forward = cache.ForwardMethod
		}
		if string(m.Detail) == m.Forward {
			m.Detail = ""
		}
		if o.OriginStatus != x.Res.Status {
			m.Status = o.OriginStatus
		}
		m.Stored, m.Collapsed = x.stores(), o.Cache == CacheCollapsed
	}
	return m.Append(b)
}

// stores reports whether this request's answer was, or is being, stored.
func (x *Exchange) stores() bool {
	return x.fill != nil && x.Out.Cache != CacheCollapsed && x.fill.Reason() == ""
}

// The names and values of our own lines, as bytes that nobody writes to.
var (
	nameAge          = []byte("Age")
	nameCacheStatus  = []byte("Cache-Status")
	nameContentRange = []byte("Content-Range")
	nameDate         = []byte("Date")
	nameVia          = []byte("Via")
)
