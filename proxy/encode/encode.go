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

	streams [numCodings]sync.Pool // *Writer at the streaming level
	stored  [numCodings]sync.Pool // *Writer at the level for stored objects
	levels  [2]LevelConfig        // streams, stored
}

// New compiles a configuration.
func New(c Config) (*Encoder, []conf.Problem) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, problems
	}
	e := &Encoder{
		enabled: c.Enabled, minSize: int64(c.MinSize), maxStored: int64(c.MaxStored),
		types: newTypeSet(c.Types), levels: [2]LevelConfig{c.Levels, c.Stored},
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

// Writer returns a compressor that writes to dst, from the pool. Close or Abort gives it back; it must
// not be used after that. coding must not be Identity. If dst has a method Flush() error, Flush calls it.
func (e *Encoder) Writer(coding Coding, dst io.Writer) *Writer {
	return e.writer(&e.streams[coding], coding, e.levels[0], streamWindow, dst)
}

func (e *Encoder) writer(pool *sync.Pool, coding Coding, levels LevelConfig, window int, dst io.Writer) *Writer {
	w, ok := pool.Get().(*Writer)
	if !ok {
		w = &Writer{coding: coding, pool: pool, enc: newCompressor(coding, levels, window)}
	}
	w.open(dst)
	return w
}
