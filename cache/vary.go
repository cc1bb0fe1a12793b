package cache

import (
	"encoding/binary"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// A negotiated response lives under two keys. Under the primary key stands a vary record with the names of
// the selecting fields; the response itself has the selecting suffix behind the primary key:
//
//	u64 id of the vary record · for every name of the record: the request's field in normal form
//
// The id makes the record the head of a family: when it goes or is replaced, by an invalidation or because
// the origin names other fields, no response of the old family can be reached any more.
//
// Record names only grow while a record lives: a response that varies less than its siblings is stored under
// all their names, which costs a copy and never an error.

// The record also remembers where its responses lie, oldest first, so that there is a bound on them: a client that
// varies a selecting field pushes out at most one response for each that it makes the origin render.

// varyNames is the set of names in a record.
type varyNames struct {
	n     int
	names [rfc9111.MaxVary][]byte
}

// namesOf reads the names in a record's body: u8 length and name in lower case, repeated, and a zero byte. A damaged
// body yields no names.
func namesOf(record Object) varyNames {
	v, _ := splitRecord(record)
	return v
}

func splitRecord(record Object) (v varyNames, variants []byte) {
	for b := record.Body(); len(b) > 0; {
		n := int(b[0])
		switch {
		case n == 0:
			return v, b[1:]
		case n >= len(b) || v.n == len(v.names):
			return varyNames{}, nil
		}
		v.names[v.n], b = b[1:1+n], b[1+n:]
		v.n++
	}
	return varyNames{}, nil
}

// record builds a vary record over variants, u64 hashes of full keys.
func (v *varyNames) record(id uint64, primary, variants []byte) Object {
	var body []byte
	for _, name := range v.names[:v.n] {
		body = field.AppendLower(append(body, byte(len(name))), name)
	}
	body = append(append(body, 0), variants...)
	return small(kindVary, id, 0, primary, len(primary), body)
}

// enrol notes that a response is going to lie under hash. The one that came first makes room where there are too many.
// Called with the slot locked.
func (c *Cache) enrol(q *Request, s *slot, record Object, hash uint64) Object {
	names, variants := splitRecord(record)
	for b := variants; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) == hash {
			return record
		}
	}
	variants = binary.LittleEndian.AppendUint64(append([]byte(nil), variants...), hash)
	for len(variants) > 8*q.Policy.maxVariants {
		c.tier.Del(binary.LittleEndian.Uint64(variants))
		variants = variants[8:]
	}
	next := names.record(record.ID(), q.primaryKey(), variants)
	next.endAt(record.end())
	c.tier.Set(q.hash, next)
	s.record = next
	return next
}

// appendSuffix appends the selecting suffix of a request under a record. Where credentials are stripped, the
// fetch has none and selects nothing by them.
// language, if not empty, stands for Accept-Language.
func appendSuffix(dst []byte, record Object, q *Request, language []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, record.ID())
	v := namesOf(record)
	for _, name := range v.names[:v.n] {
		fields := q.Fields
		if q.Policy.StripsCredentials() && (field.EqualFold(name, "Cookie") || field.EqualFold(name, "Authorization")) {
			fields = nil
		}
		if len(language) > 0 && field.EqualFold(name, "Accept-Language") {
			dst = rfc9111.AppendLanguage(dst, language)
			continue
		}
		dst = rfc9111.AppendSelecting(dst, fields, name, q.Policy.normal)
	}
	return dst
}

// union adds a response's names to those of the record that is there. grown says that the record must be
// replaced; when both together are too many, the response's own stand alone.
func union(have varyNames, vary *rfc9111.Vary) (all varyNames, grown bool) {
	all = have
	for _, name := range vary.Names[:vary.N] {
		if all.has(name) {
			continue
		}
		if all.n == len(all.names) || len(name) > 255 {
			all = varyNames{n: vary.N}
			copy(all.names[:], vary.Names[:vary.N])
			return all, true
		}
		all.names[all.n] = name
		all.n++
		grown = true
	}
	return all, grown
}

func (v *varyNames) has(name []byte) bool {
	for _, n := range v.names[:v.n] {
		if field.EqualFold(name, string(n)) {
			return true
		}
	}
	return false
}
