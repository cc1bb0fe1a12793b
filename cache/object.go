package cache

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// An object is one immutable blob, so that a million of them are a million pointers for the collector and
// not fifty. All numbers are little-endian; offsets in bytes.
//
//	 0 u8   layout version
//	 1 u8   kind: object, vary record, derived encoding, search record, alias, part
//	 2 u16  traits (rfc9111.Trait)
//	 4 u16  status
//	 6 u16  number of header lines, n
//	 8 u64  id: one per fetched body; a 304 keeps it, derived encodings carry their source's
//	16 u64  number of the last purge when the origin was asked; see purged.go
//	24 i64  received or validated, Unix ms
//	32 i64  Date, Unix s
//	40 i64  Last-Modified, Unix s; the least i64 where there is none
//	48 i64  initial age, ms
//	56 i64  freshness lifetime, ms; of a vary record the Unix ms of its end, or 0
//	64 u32  stale-while-revalidate, s
//	68 u32  stale-if-error, s
//	72 u32  length of the key
//	76 u32  length of the primary key within it
//	80 u32  length of the header block
//	84 u32  length of the body
//	88 u16  line number of ETag, counted from 1; 0 where there is none
//	90 u16  line number of Last-Modified, likewise
//	92 u32  length of our own lines
//	96 u32  the memory that the blob shares with others, by number; 0 where it has its own
//	100 u16 line number of the first Content-Type, counted from 1; 0 where there is none
//	102 u16 marks: 1 the content may be transformed (see MayTransform)
//	104 u64 of a part: where its body begins in the representation; else 0
//	112 u64 of a part: the length of the whole representation; of an object, and of what is derived from it: the number
//	        of the header section that a 304 has made, 0 where none has
//	120 i64 freshness lifetime as it was declared, ms; that at 56 is this process's own, see jitter.go
//	128 u32 how long the origin took, ms
//	132 u32 number of purge cells, m
//	136 key · n × (u32 offset in the header block, u16 name length, u16 value length) · header block · own lines ·
//	        m × u32 purge cell · body
//
// The header block is in wire form, "Name: value CRLF" per line, so that a hit copies it in one piece. It has
// no Content-Length, no Age and no connection fields: those belong to each answer. Our own lines have the same form:
// they spoke to this cache, are not sent on, and count again when a 304 freshens the response.
//
// The key is the primary key, followed for a negotiated response by the selecting suffix (see vary.go). A
// vary record has the primary key and a body of field names; a derived encoding has its source's key, and a header block
// without a table of lines. A part has
// the key of the whole and lives under hashes of its own (see part.go); its status is 206.
const (
	layoutVersion = 5
	headSize      = 136

	kindObject  = 1
	kindVary    = 2
	kindDerived = 3
	kindSearch  = 4
	kindAlias   = 5
	kindPart    = 6

	atKind, atTraits, atStatus, atLines       = 1, 2, 4, 6
	atID, atEpoch, atReceived, atDate         = 8, 16, 24, 32
	atModified, atAge, atLifetime             = 40, 48, 56
	atWhileStale, atIfError                   = 64, 68
	atKeyLen, atPrimary, atHead, atBody       = 72, 76, 80, 84
	atETagLine, atModifiedLine, atOwn         = 88, 90, 92
	atShared, atTypeLine, atMarks             = 96, 100, 102
	atOffset, atComplete, atEdition           = 104, 112, 112
	atDeclared, atTook, atCells               = 120, 128, 132
	lineSize                                  = 8
	cellSize                                  = 4
	markTransform                             = 1
	noTime                              int64 = math.MinInt64
)

// Object is a stored response. It is a value of one slice; the zero Object is none. It is valid for ever
// (nothing is reused under it) and safe for concurrent use. No method allocates.
type Object struct{ b []byte }

// Exists reports whether there is an object.
func (o Object) Exists() bool { return len(o.b) >= headSize }

func (o Object) u16(at int) int    { return int(binary.LittleEndian.Uint16(o.b[at:])) }
func (o Object) u32(at int) int    { return int(binary.LittleEndian.Uint32(o.b[at:])) }
func (o Object) u64(at int) uint64 { return binary.LittleEndian.Uint64(o.b[at:]) }
func (o Object) i64(at int) int64  { return int64(o.u64(at)) }
func (o Object) ms(at int) time.Duration {
	return time.Duration(o.i64(at)) * time.Millisecond
}

func (o Object) kind() byte { return o.b[atKind] }

// Status is the response's status.
func (o Object) Status() int { return o.u16(atStatus) }

// ID tells bodies apart: a fetched body gets a new one, a validation keeps it.
func (o Object) ID() uint64 { return o.u64(atID) }

// Epoch is the number of the last purge when the origin was asked.
func (o Object) Epoch() uint64 { return o.u64(atEpoch) }

// setEpoch changes it in memory that is the caller's alone.
func (o Object) setEpoch(e uint64) { binary.LittleEndian.PutUint64(o.b[atEpoch:], e) }

// Cells are the places in the table of purges that speak of the object: u32 each.
func (o Object) Cells() []byte {
	return o.part(o.headAt()+o.u32(atHead)+o.u32(atOwn), cellSize*o.u32(atCells))
}

// Declared is the freshness lifetime that the origin or the operator gave, counted like the age.
func (o Object) Declared() time.Duration { return o.ms(atDeclared) }

// Took is how long the origin took to send the response.
func (o Object) Took() time.Duration { return time.Duration(o.u32(atTook)) * time.Millisecond }

// Key is the full key, selecting suffix included.
func (o Object) Key() []byte { return o.part(headSize, o.u32(atKeyLen)) }

// Primary is the key without the selecting suffix.
func (o Object) Primary() []byte { return o.part(headSize, o.u32(atPrimary)) }

// part is n bytes of the blob without room behind them: an append would write into the next part.
func (o Object) part(at, n int) []byte { return o.b[at : at+n : at+n] }

// Size is the number of bytes the object occupies.
func (o Object) Size() int { return cap(o.b) }

// Pins says what a holder of the object keeps in memory: size bytes, once for all holders of the same id.
func (o Object) Pins() (id uint64, size int64) {
	if shared := o.u32(atShared); shared != 0 {
		return 1<<63 | uint64(shared), SharedMemory
	}
	// Validated and encoded copies carry the id of their source, and have memory of their own.
	const mix = 0x9e3779b97f4a7c15
	id = (o.ID()*mix+o.u64(atReceived))*mix + uint64(cap(o.b))
	return id &^ (1 << 63), int64(cap(o.b))
}

// Lines is the number of stored header lines.
func (o Object) Lines() int { return o.u16(atLines) }

// Line returns stored header line i.
func (o Object) Line(i int) (name, value []byte) {
	e := o.tableAt() + i*lineSize
	at := o.headAt() + o.u32(e)
	n, v := o.u16(e+4), o.u16(e+6)
	return o.b[at : at+n : at+n], o.b[at+n+2 : at+n+2+v : at+n+2+v]
}

// Head is the header block in wire form, "Name: value\r\n" per line, without a final empty line and without
// Age, Content-Length and connection fields. A stored Date is always among the lines.
func (o Object) Head() []byte {
	return o.part(o.headAt(), o.u32(atHead))
}

// Own appends the lines that spoke to this cache alone; the slices point into the object.
func (o Object) Own(dst field.List) field.List {
	at := o.headAt() + o.u32(atHead)
	for b := o.part(at, o.u32(atOwn)); len(b) > 0; {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte("\r\n"))
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok {
			dst = append(dst, field.Field{Name: name, Value: value})
		}
	}
	return dst
}

// Body is the stored content.
func (o Object) Body() []byte {
	return o.part(o.headAt()+o.u32(atHead)+o.u32(atOwn)+cellSize*o.u32(atCells), o.u32(atBody))
}

// Partial reports whether the body is a part of the representation and no more. Such an object may answer a
// request for a range that lies in Held, with 206, and nothing else (RFC 9111 §3.3).
func (o Object) Partial() bool { return o.kind() == kindPart }

// Held is the piece of the representation that the body is.
func (o Object) Held() rfc9111.Span {
	return rfc9111.Span{Offset: o.i64(atOffset), Length: int64(o.u32(atBody))}
}

// Complete is the length of the whole representation.
func (o Object) Complete() int64 {
	if o.Partial() {
		return o.i64(atComplete)
	}
	return int64(o.u32(atBody))
}

// Version is what tells the representation from others.
func (o Object) Version() rfc9111.Version {
	return rfc9111.Version{ETag: o.ETag(), LastModified: o.LastModified(), Date: o.Date()}
}

// Fields appends the stored header lines to dst; the slices point into the object.
func (o Object) Fields(dst field.List) field.List {
	for i := range o.Lines() {
		name, value := o.Line(i)
		dst = append(dst, field.Field{Name: name, Value: value})
	}
	return dst
}

// Get returns the first stored value of a field, or nil.
func (o Object) Get(name string) []byte {
	for i := range o.Lines() {
		if n, v := o.Line(i); field.EqualFold(n, name) {
			return v
		}
	}
	return nil
}

// ETag is the stored entity tag, or nil.
func (o Object) ETag() []byte { return o.lineValue(atETagLine) }

// LastModifiedValue is the stored Last-Modified as sent, or nil.
func (o Object) LastModifiedValue() []byte { return o.lineValue(atModifiedLine) }

// ContentType is the first stored Content-Type, or nil.
func (o Object) ContentType() []byte { return o.lineValue(atTypeLine) }

// MayTransform reports whether the content may be sent in a content coding (RFC 9110 §7.7): it has none yet, it says
// what it is, once, and Cache-Control has no no-transform.
func (o Object) MayTransform() bool { return o.u16(atMarks)&markTransform != 0 }

func (o Object) lineValue(at int) []byte {
	if i := o.u16(at); i > 0 {
		_, v := o.Line(i - 1)
		return v
	}
	return nil
}

// LastModified is the stored Last-Modified; zero where there is no valid one.
func (o Object) LastModified() time.Time {
	if s := o.i64(atModified); s != noTime {
		return time.Unix(s, 0)
	}
	return time.Time{}
}

// Date is when the origin made the response, by its own clock.
func (o Object) Date() time.Time { return time.Unix(o.i64(atDate), 0) }

// Received is when the response came or was validated last.
func (o Object) Received() time.Time { return time.UnixMilli(o.i64(atReceived)) }

// Traits are the lasting properties of the response.
func (o Object) Traits() rfc9111.Trait { return rfc9111.Trait(o.u16(atTraits)) }

// Age is current_age (RFC 9111 §4.2.3).
func (o Object) Age(now time.Time) time.Duration {
	return rfc9111.AgeAfter(o.ms(atAge), o.resident(now))
}

// resident is the time since Received, without the detour by way of a time.Time: every hit asks.
func (o Object) resident(now time.Time) time.Duration {
	return time.Duration(now.UnixNano()) - o.ms(atReceived)
}

// Left is how long the object stays fresh; negative when it is stale.
func (o Object) Left(now time.Time) time.Duration { return o.ms(atLifetime) - o.Age(now) }

// Fresh reports whether the object may be used without asking, as far as its age goes.
func (o Object) Fresh(now time.Time) bool {
	return o.Traits()&rfc9111.TraitNoCache == 0 && o.Left(now) > 0
}

// CanValidate reports whether the object has a validator.
func (o Object) CanValidate() bool { return o.u16(atETagLine)|o.u16(atModifiedLine) != 0 }

// Condition evaluates a client's If-None-Match and If-Modified-Since on the object (RFC 9111 §4.3.2).
func (o Object) Condition(req field.List, now time.Time) rfc9111.Verdict {
	return rfc9111.Condition(req, o.statusOfWhole(), o.ETag(), o.LastModified(), o.Date(), now)
}

// Range applies a client's Range and If-Range to the object; only a 200 has parts. What a part is asked for may
// lie outside of Held.
func (o Object) Range(req field.List, now time.Time) rfc9111.Range {
	return o.rangeOf(req, o.Complete(), now)
}

// rangeOf does so for a head whose body is to be of a known length.
func (o Object) rangeOf(req field.List, complete int64, now time.Time) rfc9111.Range {
	if o.statusOfWhole() != 200 {
		return rfc9111.Range{}
	}
	return rfc9111.RangeOf(req, complete, o.ETag(), o.LastModified(), o.Date(), now)
}

func (o Object) statusOfWhole() int {
	if o.Partial() {
		return 200
	}
	return o.Status()
}

// AppendValidators appends the conditional fields that validate the object at the origin.
func (o Object) AppendValidators(dst *field.List) {
	rfc9111.AppendValidators(dst, o.ETag(), o.LastModifiedValue())
}

func (o Object) tableAt() int { return headSize + o.u32(atKeyLen) }
func (o Object) headAt() int  { return o.tableAt() + o.Lines()*lineSize }

func (o Object) stored(now time.Time) rfc9111.Stored {
	resident := o.resident(now)
	return rfc9111.Stored{
		Age:        rfc9111.AgeAfter(o.ms(atAge), resident),
		Resident:   resident,
		Lifetime:   o.ms(atLifetime),
		WhileStale: time.Duration(o.u32(atWhileStale)) * time.Second,
		IfError:    time.Duration(o.u32(atIfError)) * time.Second,
		Traits:     o.Traits(),
	}
}

// Bytes is the blob, for tiers that keep it elsewhere. It must not be changed.
func (o Object) Bytes() []byte { return o.b[:len(o.b):len(o.b)] }

// Reopen gives the object of a blob that Bytes returned in this process, or a copy of it. Nothing is checked;
// what comes from outside is for Decode.
func Reopen(b []byte) Object { return Object{b} }

// CopyTo copies the blob to dst, which lies in a piece of memory that objects share, and marks the copy with the
// piece's number. It returns the copy.
func (o Object) CopyTo(dst []byte, shared uint32) Object {
	n := copy(dst, o.b)
	binary.LittleEndian.PutUint32(dst[atShared:], shared)
	return Object{dst[:n:n]}
}

// fits reports whether a part is a part: something, less than the whole, and within it.
func (o Object) fits() bool {
	h, all := o.Held(), o.Complete()
	return h.Length > 0 && h.Length < all && all < 1<<58 && h.Offset >= 0 && h.Offset <= all-h.Length && o.Status() == 206
}

// Decode takes a blob for an object after checking every length in it, so that no accessor can read outside.
func Decode(b []byte) (Object, bool) {
	o := Object{b}
	if len(b) < headSize || b[0] != layoutVersion || b[atKind] < kindObject || b[atKind] > kindPart {
		return Object{}, false
	}
	keyLen, primary := int64(o.u32(atKeyLen)), int64(o.u32(atPrimary))
	head, own, body, lines := int64(o.u32(atHead)), int64(o.u32(atOwn)), int64(o.u32(atBody)), int64(o.Lines())
	cells := cellSize * int64(o.u32(atCells))
	if headSize+keyLen+lines*lineSize+head+own+cells+body != int64(len(b)) || primary > keyLen {
		return Object{}, false
	}
	for i := range int(lines) {
		e := o.tableAt() + i*lineSize
		if int64(o.u32(e))+int64(o.u16(e+4))+int64(o.u16(e+6))+4 > head {
			return Object{}, false
		}
	}
	if o.Partial() && !o.fits() {
		return Object{}, false
	}
	if int64(max(o.u16(atETagLine), o.u16(atModifiedLine), o.u16(atTypeLine))) > lines {
		return Object{}, false
	}
	return o, true
}

// AppendDetached appends the blob as it is fit for another process: without this one's clock and memory.
func (o Object) AppendDetached(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, o.b...)
	binary.LittleEndian.PutUint64(dst[at+atReceived:], 0)
	binary.LittleEndian.PutUint32(dst[at+atShared:], 0)
	return dst
}

// Attach takes what AppendDetached made in another process, however it came here, for a response that was received
// resident before now. It is checked like everything from outside; only responses and vary records pass. It keeps b.
func Attach(b []byte, resident time.Duration, now time.Time) (Object, bool) {
	o, ok := Decode(b)
	if !ok || o.kind() != kindObject && o.kind() != kindVary || o.u32(atShared) != 0 || o.i64(atReceived) != 0 || resident < 0 {
		return Object{}, false
	}
	binary.LittleEndian.PutUint64(b[atReceived:], uint64(now.Add(-resident).UnixMilli()))
	return o, true
}

// Resident is how long ago the response was received or validated; 0 for what was not received, as vary records.
func (o Object) Resident(now time.Time) time.Duration {
	if o.i64(atReceived) == 0 {
		return 0
	}
	return max(0, o.resident(now))
}

// StaleFor is how long after its end the response may still be of use without being validated: the longer of the windows
// of RFC 5861.
func (o Object) StaleFor() time.Duration {
	return time.Duration(max(o.u32(atWhileStale), o.u32(atIfError))) * time.Second
}
