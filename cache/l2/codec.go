// Package l2 is the tier that several gateways share in Redis.
package l2

import (
	"encoding/binary"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/tzero-edge/tzero/cache"
)

// A value in Redis. All numbers are little-endian.
//
//	 0  16 bytes  stamp: another for every value; of a vary record the same for the same record
//	16  u32       "tz2" and the layout's version
//	20  u32       flags: 1 the body is compressed with Zstandard
//	24  u64       xxhash64 of everything but itself
//	32  i64       time since the response was received, when it was written, ms
//	40  i64       life that Redis gave it then, ms: what is gone of it is how long it has been here
//	48  u32       length of the object without its body
//	52  u32       length of the body
//	56  object without its body, detached (cache.Object.AppendDetached) · body
//
// No clock of a gateway is in it: ages travel as ages, and Redis's own clock measures the time in between.
const (
	// StampSize is the length of the stamp, which stands first.
	StampSize = 16

	magic     = 't' | 'z'<<8 | '2'<<16 | 1<<24
	valueHead = 56

	atMagic, atFlags, atSum        = 16, 20, 24
	atResident, atLife             = 32, 40
	atPrefixLen, atBodyLen         = 48, 52
	flagCompressed          uint32 = 1
)

// codec encodes and decodes values. It is safe for concurrent use.
type codec struct {
	enc      *zstd.Encoder
	dec      *zstd.Decoder
	above    int   // bodies from this length on are compressed
	mostBody int64 // what is longer is not taken from Redis
}

func newCodec(above int, mostBody int64) (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(uint64(max(mostBody, 1<<20))),
		zstd.WithDecodeAllCapLimit(true)) // no more than the value says it has
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec, above: above, mostBody: mostBody}, nil
}

func (c *codec) close() {
	_ = c.enc.Close()
	c.dec.Close()
}

// encode makes the value of an object.
func (c *codec) encode(o cache.Object, stamp [StampSize]byte, life time.Duration, now time.Time) []byte {
	body := o.Body()
	b := append(make([]byte, 0, valueHead+len(o.Bytes())), stamp[:]...)
	b = b[:valueHead]
	le := binary.LittleEndian
	b = o.AppendDetached(b)
	prefix := len(b) - valueHead - len(body)
	flags := uint32(0)
	if len(body) >= c.above && o.MayTransform() {
		if small := c.enc.EncodeAll(body, nil); len(small) < len(body)*9/10 {
			b = append(b[:valueHead+prefix], small...)
			flags |= flagCompressed
		}
	}
	le.PutUint32(b[atMagic:], magic)
	le.PutUint32(b[atFlags:], flags)
	le.PutUint64(b[atResident:], uint64(o.Resident(now).Milliseconds()))
	le.PutUint64(b[atLife:], uint64(life.Milliseconds()))
	le.PutUint32(b[atPrefixLen:], uint32(prefix))
	le.PutUint32(b[atBodyLen:], uint32(len(body)))
	le.PutUint64(b[atSum:], sum(b))
	return b
}

// sum is the checksum of a value.
func sum(b []byte) uint64 {
	d := xxhash.New()
	_, _ = d.Write(b[:atSum]) // never fails
	_, _ = d.Write(b[atSum+8:])
	return d.Sum64()
}

// decode makes an object of a value of which left remains of its life. It may keep b.
func (c *codec) decode(b []byte, left time.Duration, now time.Time) (cache.Object, bool) {
	le := binary.LittleEndian
	if len(b) < valueHead || le.Uint32(b[atMagic:]) != magic || le.Uint64(b[atSum:]) != sum(b) {
		return cache.Object{}, false
	}
	resident, life := int64(le.Uint64(b[atResident:])), int64(le.Uint64(b[atLife:]))
	const longest = int64(10 * 365 * 24 * time.Hour / time.Millisecond)
	prefix, length := int64(le.Uint32(b[atPrefixLen:])), int64(le.Uint32(b[atBodyLen:]))
	if resident < 0 || resident > longest || life < 0 || life > longest || length > c.mostBody || prefix > int64(len(b)-valueHead) {
		return cache.Object{}, false
	}
	blob := b[valueHead:]
	if le.Uint32(b[atFlags:])&flagCompressed != 0 {
		whole, err := c.dec.DecodeAll(blob[prefix:], append(make([]byte, 0, prefix+length), blob[:prefix]...))
		if err != nil {
			return cache.Object{}, false
		}
		blob = whole
	}
	if int64(len(blob)) != prefix+length {
		return cache.Object{}, false
	}
	here := max(0, time.Duration(life)*time.Millisecond-left)
	return cache.Attach(blob[:len(blob):len(blob)], time.Duration(resident)*time.Millisecond+here, now)
}

// Written tells that a page was written: what is stored of it is void after Wait.
type Written struct {
	Node    string // the id of the node that tells it, 16 bytes
	Wait    time.Duration
	Primary []byte
}

// WrittenKind is the first byte of such a message.
const WrittenKind = 'w'

const (
	nodeSize    = 16
	mostWait    = time.Minute
	mostPrimary = 64 << 10
)

// AppendWritten appends the message.
func AppendWritten(dst []byte, w Written) []byte {
	dst = append(dst, WrittenKind)
	var node [nodeSize]byte
	copy(node[:], w.Node)
	dst = append(dst, node[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(max(0, min(w.Wait, mostWait)).Milliseconds()))
	return append(dst, w.Primary...)
}

// ReadWritten reads it; false for anything else.
func ReadWritten(b []byte) (Written, bool) {
	if len(b) < 1+nodeSize+4 || b[0] != WrittenKind || len(b) > 1+nodeSize+4+mostPrimary {
		return Written{}, false
	}
	wait := time.Duration(binary.LittleEndian.Uint32(b[1+nodeSize:])) * time.Millisecond
	if wait > mostWait {
		return Written{}, false
	}
	return Written{Node: string(b[1 : 1+nodeSize]), Wait: wait, Primary: b[1+nodeSize+4:]}, true
}
