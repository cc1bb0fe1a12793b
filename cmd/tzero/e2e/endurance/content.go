package endurance

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
)

// blockSize divides content into blocks that differ by their number.
const blockSize = 64 << 10

// Content is a given number of bytes, the same every time. Random and numbered by block: a repeated, missing or swapped part
// changes the checksum, and nothing compresses.
type Content struct {
	left  int64
	block [blockSize]byte
	at    int
	n     uint64
}

// NewContent returns size bytes.
func NewContent(size int64) *Content {
	c := &Content{left: size}
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(c.block[:])
	return c
}

func (c *Content) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if c.at == 0 {
		binary.BigEndian.PutUint64(c.block[:], c.n)
		c.n++
	}
	n := copy(p[:min(int64(len(p)), c.left)], c.block[c.at:])
	c.at = (c.at + n) % blockSize
	c.left -= int64(n)
	return n, nil
}

// Checksum is that of NewContent(size).
func Checksum(size int64) string {
	sum := sha256.New()
	_, _ = io.CopyBuffer(sum, NewContent(size), make([]byte, blockSize))
	return hex.EncodeToString(sum.Sum(nil))
}
