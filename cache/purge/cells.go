package purge

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/structured"
)

// Bounds on what a response carries. What exceeds them is not stored, since it could not be purged.
const (
	MaxTags  = 1000
	MaxTag   = 1024 // bytes
	MaxDepth = 32   // segments of a path that count as prefixes
)

// The things that can be purged. Nodes must agree on their cells, so that the hash has no seed; who aims at a cell
// gains a fetch.
const (
	kindURL    = 'u'
	kindPrefix = 'p'
	kindTag    = 't'
	kindGroup  = 'g'
)

// cellOf hashes a kind and parts, each with its length in front.
func cellOf(kind byte, parts ...[]byte) Cell {
	d := xxhash.New()
	_, _ = d.Write([]byte{kind}) // never fails
	var n [4]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint32(n[:], uint32(len(p)))
		_, _ = d.Write(n[:])
		_, _ = d.Write(p)
	}
	return Cell(1 + d.Sum64()%(Cells-1)) // 0 is Everything
}

// URL is one page in all its variants, over http and https: its host, with a port where visitors give one, and its
// target, path and query, as it is keyed.
func URL(host, target []byte) Cell { return cellOf(kindURL, place(host), target) }

// place is a host as purges know it: the ports of http and https go without saying (RFC 3986 §6.2.3), whichever of the two
// it is.
func place(host []byte) []byte {
	h := field.AppendLower(nil, host)
	for _, port := range []string{":80", ":443"} {
		if rest, found := bytes.CutSuffix(h, []byte(port)); found && !bytes.HasSuffix(rest, []byte(":")) { // and no bare IPv6 address
			return rest
		}
	}
	return h
}

// Prefix is a path and all that lies beneath it: "/blog" means /blog, /blog?page=2 and /blog/first, and not /blogger.
// Whether path ends in a slash does not count. "" is the whole host.
func Prefix(host, path []byte) Cell {
	return cellOf(kindPrefix, place(host), bytes.TrimRight(path, "/"))
}

// Tag is what Surrogate-Key, Cache-Tag or Cache-Groups names, wherever.
func Tag(name []byte) Cell { return cellOf(kindTag, name) }

// Group is one of an origin's Cache-Groups (RFC 9875 §2) as an answer of that origin makes it void: groups of the same name
// elsewhere are others.
func Group(scheme string, host, name []byte) Cell {
	return cellOf(kindGroup, []byte(scheme), field.AppendLower(nil, host), name)
}

// Page is what a response is an answer to.
type Page struct {
	Scheme string
	Host   []byte
	Path   []byte
	Target []byte // path and query as they are keyed
}

// AppendCells appends the cells that speak of a response, u32 little-endian each. false where it has more than can be
// carried.
func AppendCells(dst []byte, p Page, fields field.List) ([]byte, bool) {
	s := set{dst: dst, at: len(dst)}
	s.add(URL(p.Host, p.Target))
	s.add(Prefix(p.Host, nil))
	depth := 0
	path := bytes.TrimRight(p.Path, "/")
	for i := 1; i <= len(path) && depth < MaxDepth; i++ {
		if i == len(path) || path[i] == '/' {
			s.add(Prefix(p.Host, path[:i]))
			depth++
		}
	}
	for i := range fields {
		switch f := &fields[i]; {
		case len(f.Name) == len("Surrogate-Key") && field.EqualFold(f.Name, "Surrogate-Key"):
			s.tags(f.Value, ' ')
		case len(f.Name) == len("Cache-Tag") && field.EqualFold(f.Name, "Cache-Tag"):
			s.tags(f.Value, ',')
		}
	}
	if fields.Has("Cache-Groups") {
		for _, name := range groups(fields, "Cache-Groups") {
			s.count(name)
			s.add(Group(p.Scheme, p.Host, name))
			s.add(Tag(name))
		}
	}
	return s.dst, !s.over
}

// set gathers cells, each once.
type set struct {
	dst  []byte
	at   int // where they begin
	n    int // tags so far
	over bool
}

func (s *set) add(c Cell) {
	for b := s.dst[s.at:]; len(b) > 0; b = b[4:] {
		if binary.LittleEndian.Uint32(b) == uint32(c) {
			return
		}
	}
	s.dst = binary.LittleEndian.AppendUint32(s.dst, uint32(c))
}

func (s *set) count(name []byte) {
	s.n++
	s.over = s.over || s.n > MaxTags || len(name) > MaxTag
}

// tags reads a list whose members are parted by sep; whitespace around them does not count.
func (s *set) tags(list []byte, sep byte) {
	for len(list) > 0 && !s.over {
		var name []byte
		i := bytes.IndexByte(list, sep)
		if i < 0 {
			name, list = list, nil
		} else {
			name, list = list[:i], list[i+1:]
		}
		if name = bytes.Trim(name, " \t"); len(name) > 0 {
			s.count(name)
			s.add(Tag(name))
		}
	}
}

// Invalidated are the groups that the answer to an unsafe request makes void (RFC 9875 §3).
func Invalidated(fields field.List) [][]byte { return groups(fields, "Cache-Group-Invalidation") }

// groups reads a list of strings. One that cannot be read is ignored whole (RFC 9651 §4.2), and of one that can, what is
// no string (RFC 9875 §2).
func groups(fields field.List, name string) [][]byte {
	items, ok := structured.List(fields, name)
	if !ok {
		return nil
	}
	var names [][]byte
	for _, it := range items {
		if it.Kind == structured.String {
			names = append(names, it.Text)
		}
	}
	return names
}
