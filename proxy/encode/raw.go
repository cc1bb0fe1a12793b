package encode

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// rawFrames wraps bytes into a coding's own frame for uncompressed data. It takes over when the memory
// budget is spent: by then the head has promised the coding, and ten thousand slow readers of
// compressed pages must not exhaust the machine. It holds no data and costs nearly no time.
type rawFrames struct {
	coding  Coding
	dst     io.Writer
	started bool
	sum     uint32 // gzip only
	size    uint32
}

// rawBlock is the largest block written; all three formats take as much.
const rawBlock = 65535

// gzip: RFC 1952 §2.3, no name, no time, unknown system. zstd: RFC 8878 §3.1.1, a window of 128 KiB
// (descriptor: exponent 7), no checksum, no size.
const (
	gzipHead = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	zstdHead = "\x28\xb5\x2f\xfd\x00\x38"
)

func (r *rawFrames) Reset(dst io.Writer) { *r = rawFrames{coding: r.coding, dst: dst} }

// Flush has nothing to do: every Write is out at once.
func (r *rawFrames) Flush() error { return nil }

func (r *rawFrames) Write(p []byte) (int, error) {
	total := len(p)
	var head [16]byte
	for len(p) > 0 {
		block := p[:min(len(p), rawBlock)]
		if _, err := r.dst.Write(r.blockHead(r.head(head[:0]), len(block))); err != nil {
			return total - len(p), err
		}
		if r.coding == Gzip {
			r.sum = crc32.Update(r.sum, crc32.IEEETable, block)
			r.size += uint32(len(block))
		}
		n, err := r.dst.Write(block)
		if p = p[n:]; err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// head appends what stands before the first block.
func (r *rawFrames) head(b []byte) []byte {
	if r.started {
		return b
	}
	switch r.coding {
	case Gzip:
		b = append(b, gzipHead...)
	case Zstd:
		b = append(b, zstdHead...)
	}
	return b
}

// blockHead appends what stands before a block of n bytes, 1 to rawBlock.
func (r *rawFrames) blockHead(b []byte, n int) []byte {
	first := !r.started
	r.started = true
	switch r.coding {
	case Gzip: // RFC 1951 §3.2.4: not the last, stored, padded to the byte; length and its complement
		b = append(b, 0)
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		return binary.LittleEndian.AppendUint16(b, ^uint16(n))
	case Zstd: // RFC 8878 §3.1.1.2: last, type (2 bits, 0 is raw), size (21 bits)
		x := n << 3
		return append(b, byte(x), byte(x>>8), byte(x>>16))
	}
	// RFC 7932 §9.2, from the lowest bit: ISLAST 0, MNIBBLES 00 (four), MLEN-1 in 16 bits, ISUNCOMPRESSED 1,
	// padded to the byte; before the first one a window of 16 bits, which is one bit 0 (§9.1).
	x := (n-1)<<3 | 1<<19
	if first {
		x <<= 1
	}
	return append(b, byte(x), byte(x>>8), byte(x>>16))
}

// Close ends the stream with an empty last block, and gzip's sums.
func (r *rawFrames) Close() error {
	var tail [32]byte
	b := r.head(tail[:0])
	switch r.coding {
	case Gzip:
		b = append(b, 1, 0, 0, 0xff, 0xff)
		b = binary.LittleEndian.AppendUint32(b, r.sum)
		b = binary.LittleEndian.AppendUint32(b, r.size)
	case Zstd:
		b = append(b, 1, 0, 0)
	case Brotli:
		if x := byte(0b11); r.started { // ISLAST 1, ISLASTEMPTY 1
			b = append(b, x)
		} else {
			b = append(b, x<<1)
		}
	}
	_, err := r.dst.Write(b)
	return err
}
