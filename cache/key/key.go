// Package key builds the cache key of a request: one canonical byte string, and a keyed 64-bit hash of it.
//
// The layout is a sequence of length-prefixed parts, so that no part can be mistaken for another
// however it is chosen:
//
//	scheme  u32 length + bytes
//	host    u32 length + bytes, ASCII letters in lower case, port included as sent
//	target  u32 length + path [ "?" query ] exactly as it is forwarded to the origin
//	variant u32 length + bytes; empty where the route has no variants
//
// Paths are never rewritten and queries never decoded: the bytes that are keyed are the bytes that are
// forwarded, or a poisoned answer could be stored under a name that another reader of the same bytes
// understands differently. "&" alone separates parameters; ";" separates nothing.
package key

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/tzero-edge/tzero/internal/field"
)

// Parts are what a key is made of. Query stands without its "?"; HasQuery tells "/a?" from "/a".
type Parts struct {
	Scheme   string
	Host     []byte
	Path     []byte
	Query    []byte
	HasQuery bool
	Variant  []byte
}

// Append appends the key of p under the query rule to dst. It allocates only when dst must grow.
func Append(dst []byte, p *Parts, rule *QueryRule) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Scheme)))
	dst = append(dst, p.Scheme...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Host)))
	dst = field.AppendLower(dst, p.Host)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = AppendTarget(dst, p.Path, p.Query, p.HasQuery, rule)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.Variant)))
	return append(dst, p.Variant...)
}

// Hash returns the hash of a key (or of a key with a suffix). The seed is random per process, because
// keys are chosen by strangers: with a known hash they could aim two keys at one slot and evict a page.
func Hash(seed maphash.Seed, key []byte) uint64 { return maphash.Bytes(seed, key) }
