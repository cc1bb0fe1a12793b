package cache

import (
	"bytes"
	"encoding/binary"

	"github.com/tzero-edge/tzero/cache/key"
)

// A derived encoding is an object of its own, under a hash of the source's and with the source's key and id:
// once the source has another body, its derived encodings answer no more and age out of the tier.

// PutDerived keeps body, the content of o in another content coding, beside o, and head, the lines in wire form that o
// is sent with in that coding. false when the tier did not take it.
func (c *Cache) PutDerived(o Object, coding string, head, body []byte) bool {
	if !o.Exists() || int64(len(body)) > c.maxObject || coding == "" {
		return false
	}
	d := headed(kindDerived, o.ID(), o.Status(), o.Key(), len(o.Primary()), head, body)
	binary.LittleEndian.PutUint64(d.b[atEdition:], o.u64(atEdition))
	return c.tier.Set(c.derivedHash(o, coding), d)
}

// GetDerived returns the object whose body is the content of o in a content coding, if it is kept. It allocates
// nothing.
func (c *Cache) GetDerived(o Object, coding string) (Object, bool) {
	d := c.tier.Get(c.derivedHash(o, coding))
	if !d.Exists() || d.kind() != kindDerived || d.ID() != o.ID() || !bytes.Equal(d.Key(), o.Key()) {
		return Object{}, false
	}
	return d, true
}

// Dresses reports whether o's derived encoding d has the head that o has now: a 304 changes the fields, and leaves the
// content.
func (d Object) Dresses(o Object) bool {
	return d.kind() == kindDerived && d.u32(atHead) > 0 && d.u64(atEdition) == o.u64(atEdition)
}

func (c *Cache) derivedHash(o Object, coding string) uint64 {
	h := key.Hash(c.seed, o.Key())
	for i := range len(coding) {
		h = (h ^ uint64(coding[i])) * 0x100000001b3
	}
	return h
}
