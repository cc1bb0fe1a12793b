// Package encode compresses responses: it negotiates a coding (RFC 9110 §12.5.3), judges whether a
// response deserves it, adjusts the headers, and compresses streams with pooled compressors of bounded
// memory or whole stored objects once.
//
// A response is compressed between the store and the client: what is stored is what the origin sent,
// and a compressed copy is kept beside it. Its ETag becomes weak, because the bytes differ from those the
// origin named (RFC 9110 §8.8.1); If-None-Match still works (weak comparison), If-Range and If-Match do
// not, which is right. Ranges are served from the original only.
package encode

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/field"
)

// Coding is a content coding (RFC 9110 §8.4.1).
type Coding uint8

// The codings.
const (
	Identity Coding = iota // not coded
	Gzip                   // RFC 1952
	Brotli                 // RFC 7932
	Zstd                   // RFC 8878, window at most 8 MiB (RFC 9659)
	numCodings
)

func (c Coding) String() string { return [numCodings]string{"identity", "gzip", "br", "zstd"}[c] }

// parseCoding returns the coding called name, or Identity for all that is not offered here.
func parseCoding(name []byte) Coding {
	switch {
	case field.EqualFold(name, "gzip"), field.EqualFold(name, "x-gzip"): // RFC 9110 §8.4.1.3
		return Gzip
	case field.EqualFold(name, "br"):
		return Brotli
	case field.EqualFold(name, "zstd"):
		return Zstd
	}
	return Identity
}

// Encoder is a compiled Config with its pools. It is safe for concurrent use and long-lived: the
// pools are worth keeping over reloads that change nothing here.
type Encoder struct {
	enabled   bool
	codings   []Coding // preferred first
	canonical [1 << numCodings]string
	minSize   int64
	maxStored int64
	types     typeSet

	pools  [2][numCodings]sync.Pool // *Writer, by use
	levels [2]LevelConfig           // by use

	maxMemory int64
	inUse     atomic.Int64  // bytes of compressors handed out, by cost
	framed    atomic.Uint64 // requests for a compressor that found no room
}

// New compiles a configuration.
func New(c Config) (*Encoder, []conf.Problem) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, problems
	}
	e := &Encoder{
		enabled: c.Enabled, minSize: int64(c.MinSize), maxStored: int64(c.MaxStored),
		types: newTypeSet(c.Types), levels: [2]LevelConfig{c.Levels, c.Stored}, maxMemory: int64(c.MaxMemory),
	}
	for _, name := range c.Codings {
		e.codings = append(e.codings, parseCoding([]byte(name)))
	}
	for set := range e.canonical {
		for _, c := range e.codings {
			if set&(1<<c) == 0 {
				continue
			}
			if e.canonical[set] != "" {
				e.canonical[set] += ", "
			}
			e.canonical[set] += c.String()
		}
	}
	return e, nil
}

// Enabled reports whether anything is compressed at all.
func (e *Encoder) Enabled() bool { return e.enabled }

// Stats is a snapshot of what compressors are doing.
type Stats struct {
	InUse  int64  // bytes held by compressors at work, as budgeted
	Framed uint64 // responses sent in their coding's frame but uncompressed, since the budget was spent
}

// Stats returns a snapshot.
func (e *Encoder) Stats() Stats { return Stats{InUse: e.inUse.Load(), Framed: e.framed.Load()} }

// Writer returns a compressor that writes to dst, from the pool. Close or Abort gives it back; it must
// not be used after that. coding must not be Identity. If dst has a method Flush() error, Flush calls it.
//
// Where the memory budget is spent, the Writer frames the bytes as the coding demands, uncompressed.
func (e *Encoder) Writer(coding Coding, dst io.Writer) *Writer {
	w := e.writer(coding, forStream)
	if w == nil {
		e.framed.Add(1)
		w = &Writer{use: unpooled, coding: coding, enc: &rawFrames{coding: coding}}
	}
	w.open(dst)
	return w
}

// use tells the kinds of compressors apart.
type use uint8

const (
	forStream use = iota
	forStored
	unpooled
)

// costs is about what a compressor holds at the default levels once it has seen half a megabyte.
var costs = [2][numCodings]int64{
	forStream: {Gzip: 1 << 20, Brotli: 4 << 20, Zstd: 5 << 19},
	forStored: {Gzip: 1 << 20, Brotli: 7 << 20, Zstd: 6 << 20},
}

const largestCost = 7 << 20

// writer returns a compressor that is not open yet, or nil where there is no memory for it.
func (e *Encoder) writer(coding Coding, use use) *Writer {
	cost := costs[use][coding]
	if e.inUse.Add(cost) > e.maxMemory {
		e.inUse.Add(-cost)
		return nil
	}
	if w, ok := e.pools[use][coding].Get().(*Writer); ok {
		return w
	}
	return &Writer{owner: e, use: use, coding: coding, enc: newCompressor(coding, e.levels[use], windows[use])}
}

// release takes a compressor back.
func (e *Encoder) release(w *Writer) {
	e.inUse.Add(-costs[w.use][w.coding])
	e.pools[w.use][w.coding].Put(w)
}
