package cache

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// draft is an object whose body is still to come.
type draft struct {
	id       uint64
	epoch    uint64
	status   int
	key      []byte // primary key and selecting suffix
	primary  int
	lines    field.List
	own      field.List // lines that speak to this cache alone
	received time.Time
	judged   *rfc9111.Assessment
	held     rfc9111.Span // of a part
	complete int64        // of a part: the length of the whole; else 0
	cells    []byte       // where purges speak of it
	took     time.Duration
	lifetime time.Duration // in this process; judged has what was declared
}

// maxHeadBlock bounds a stored header section; what is longer does not fit the line table.
const maxHeadBlock = 60 << 10

// build lays the blob out with room for size bytes of body. Its body is empty; setBody fixes the length
// when it is there. ok is false when the header section does not fit.
func (d *draft) build(size int) (b []byte, ok bool) {
	lines, date := d.stored()
	block := 0
	for _, f := range lines {
		block += len(f.Name) + len(f.Value) + 4
	}
	if !date {
		block += len("Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n")
	}
	own := d.own.Size()
	if block+own > maxHeadBlock || len(lines) >= math.MaxUint16 {
		return nil, false
	}
	n := len(lines)
	if !date {
		n++
	}
	fixed := headSize + len(d.key) + n*lineSize + block + own + len(d.cells)
	b = slices.Grow([]byte(nil), fixed+size)[:headSize]
	d.numbers(b, n, block)
	if mayTransform(lines) {
		binary.LittleEndian.PutUint16(b[atMarks:], markTransform)
	}
	binary.LittleEndian.PutUint32(b[atOwn:], uint32(own))
	b = append(b, d.key...)
	b = d.table(b, lines, date)
	b = d.block(b, lines, date)
	for _, f := range d.own {
		b = appendLine(b, f)
	}
	return append(b, d.cells...), true
}

// stored returns the lines that are kept, and whether a usable Date is among them.
func (d *draft) stored() (lines field.List, date bool) {
	lines = make(field.List, 0, len(d.lines))
	for _, f := range d.lines {
		switch {
		case d.complete > 0 && field.EqualFold(f.Name, "Content-Range"): // each answer gets its own
			continue
		case notStored(f.Name) || d.judged.Directives.Strips(string(f.Name)):
			continue
		case field.EqualFold(f.Name, "Date"):
			if _, ok := rfc9111.ParseDate(f.Value, d.received); !ok || date {
				continue // an unreadable Date is replaced (RFC 9110 §6.6.1)
			}
			date = true
		}
		lines = append(lines, f)
	}
	return lines, date
}

// notStored lists what belongs to a connection or to one answer (RFC 9111 §3.1).
func notStored(name []byte) bool {
	switch len(name) {
	case 2:
		return field.EqualFold(name, "TE")
	case 3:
		return field.EqualFold(name, "Age")
	case 7:
		return field.EqualFold(name, "Upgrade") || field.EqualFold(name, "Trailer")
	case 10:
		return field.EqualFold(name, "Connection") || field.EqualFold(name, "Keep-Alive")
	case 14:
		return field.EqualFold(name, "Content-Length")
	case 16:
		return field.EqualFold(name, "Proxy-Connection")
	case 17:
		return field.EqualFold(name, "Transfer-Encoding")
	case 18:
		return field.EqualFold(name, "Proxy-Authenticate")
	case 19:
		return field.EqualFold(name, "Proxy-Authorization")
	case 25:
		return field.EqualFold(name, "Proxy-Authentication-Info")
	}
	return false
}

func (d *draft) numbers(b []byte, lines, block int) {
	a, le := d.judged, binary.LittleEndian
	clear(b[:headSize])
	b[0], b[atKind] = layoutVersion, kindObject
	if d.complete > 0 {
		b[atKind] = kindPart
		le.PutUint64(b[atOffset:], uint64(d.held.Offset))
		le.PutUint64(b[atComplete:], uint64(d.complete))
	}
	le.PutUint16(b[atTraits:], uint16(a.Traits))
	le.PutUint16(b[atStatus:], uint16(d.status))
	le.PutUint16(b[atLines:], uint16(lines))
	le.PutUint64(b[atID:], d.id)
	le.PutUint64(b[atEpoch:], d.epoch)
	le.PutUint64(b[atReceived:], uint64(d.received.UnixMilli()))
	le.PutUint64(b[atDate:], uint64(a.Date.Unix()))
	modified := noTime
	if !a.LastModified.IsZero() {
		modified = a.LastModified.Unix()
	}
	le.PutUint64(b[atModified:], uint64(modified))
	le.PutUint64(b[atAge:], uint64(a.InitialAge.Milliseconds()))
	le.PutUint64(b[atLifetime:], uint64(d.lifetime.Milliseconds()))
	le.PutUint64(b[atDeclared:], uint64(a.Lifetime.Milliseconds()))
	le.PutUint32(b[atTook:], uint32(min(max(d.took, 0).Milliseconds(), math.MaxUint32)))
	le.PutUint32(b[atCells:], uint32(len(d.cells)/cellSize))
	le.PutUint32(b[atWhileStale:], uint32(a.WhileStale/time.Second))
	le.PutUint32(b[atIfError:], uint32(a.IfError/time.Second))
	le.PutUint32(b[atKeyLen:], uint32(len(d.key)))
	le.PutUint32(b[atPrimary:], uint32(d.primary))
	le.PutUint32(b[atHead:], uint32(block))
}

func (d *draft) table(b []byte, lines field.List, date bool) []byte {
	at := 0
	put := func(name, value int) {
		b = binary.LittleEndian.AppendUint32(b, uint32(at))
		b = binary.LittleEndian.AppendUint16(b, uint16(name))
		b = binary.LittleEndian.AppendUint16(b, uint16(value))
		at += name + value + 4
	}
	for i, f := range lines {
		put(len(f.Name), len(f.Value))
		switch {
		case field.EqualFold(f.Name, "Content-Type") && le16(b, atTypeLine) == 0:
			binary.LittleEndian.PutUint16(b[atTypeLine:], uint16(i+1))
		case len(f.Value) == 0:
		case field.EqualFold(f.Name, "ETag") && le16(b, atETagLine) == 0:
			binary.LittleEndian.PutUint16(b[atETagLine:], uint16(i+1))
		case field.EqualFold(f.Name, "Last-Modified") && le16(b, atModifiedLine) == 0:
			binary.LittleEndian.PutUint16(b[atModifiedLine:], uint16(i+1))
		}
	}
	if !date {
		put(len("Date"), len("Mon, 02 Jan 2006 15:04:05 GMT"))
	}
	return b
}

// mayTransform judges a header section for Object.MayTransform.
func mayTransform(lines field.List) bool {
	return lines.Count("Content-Type") == 1 && !lines.Has("Content-Encoding") && !lines.Has("Content-Range") &&
		!lines.HasToken("Cache-Control", "no-transform")
}

func le16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }

func (d *draft) block(b []byte, lines field.List, date bool) []byte {
	for _, f := range lines {
		b = appendLine(b, f)
	}
	if !date {
		b = append(b, "Date: "...)
		b = rfc9111.AppendDate(b, d.judged.Date)
		b = append(b, "\r\n"...)
	}
	return b
}

func appendLine(b []byte, f field.Field) []byte {
	b = append(b, f.Name...)
	b = append(b, ": "...)
	b = append(b, f.Value...)
	return append(b, "\r\n"...)
}

// fit copies a blob that was grown far beyond its end into one that fits, because it is going to stay.
func fit(b []byte) []byte {
	if waste := cap(b) - len(b); waste > 512 && waste > cap(b)/8 {
		return append(slices.Grow([]byte(nil), len(b)), b...)
	}
	return b
}

// finish returns the object in b, whose body is everything from bodyAt on, made to fit.
func finish(b []byte, bodyAt int) Object {
	b = fit(b)
	binary.LittleEndian.PutUint32(b[atBody:], uint32(len(b)-bodyAt))
	return Object{b}
}

// small builds a vary record or the like.
func small(kind byte, id uint64, status int, key []byte, primary int, body []byte) Object {
	return headed(kind, id, status, key, primary, nil, body)
}

// headed builds an object whose header block has no table of lines.
func headed(kind byte, id uint64, status int, key []byte, primary int, head, body []byte) Object {
	b := slices.Grow([]byte(nil), headSize+len(key)+len(head)+len(body))[:headSize]
	clear(b)
	b[0], b[atKind] = layoutVersion, kind
	le := binary.LittleEndian
	le.PutUint16(b[atStatus:], uint16(status))
	le.PutUint64(b[atID:], id)
	le.PutUint64(b[atModified:], uint64(1)<<63)
	le.PutUint32(b[atKeyLen:], uint32(len(key)))
	le.PutUint32(b[atPrimary:], uint32(primary))
	le.PutUint32(b[atHead:], uint32(len(head)))
	le.PutUint32(b[atBody:], uint32(len(body)))
	b = append(append(b, key...), head...)
	return Object{append(b, body...)}
}
