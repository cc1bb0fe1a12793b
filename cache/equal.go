package cache

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// Some requests get the same response as others whose key is not theirs: those with an equivalent query, where the
// response says so (No-Vary-Search), and those that prefer the language it is in, where the route says so. They are
// looked for when nothing lies under a request's own key, so that a hit knows nothing of it, and only what may be used
// without asking is taken: what has to be fetched is fetched in the request's own words, and stored under them.
//
// A response has an alias for each: a small object under the other key, whose body is the response's key.
//
//	language: primary key · selecting suffix with the language for Accept-Language → full key
//	query:    search key · u64 id of the search record · equivalent query            → primary key
//
// Under the search key, which is the primary key without a query and a mark, stands the search record: u16 length ·
// No-Vary-Search as it came · key.Search. It is the newest that a response to the path had, and an alias is only
// believed where the response it leads to has the very same.

var searchMark = []byte("search")

// findEqual looks for a response that was asked for in other words.
func (c *Cache) findEqual(q *Request, r *Result, now time.Time) {
	var o Object
	if q.Policy.normal == rfc9111.NormalLanguages && r.record.Exists() {
		o = c.byLanguage(q, r.record)
	}
	if !o.Exists() && q.Policy.search && c.searches.Load() {
		o = c.byQuery(q, now)
	}
	if !o.Exists() {
		return
	}
	e := Result{Object: o, equal: true, record: r.record, began: r.began}
	if c.judge(q, &e, now); e.Verdict == Hit || e.Verdict == Stale {
		*r = e
	}
}

func (c *Cache) byLanguage(q *Request, record Object) Object {
	tag := rfc9111.PreferredLanguage(q.Fields)
	if tag == nil {
		return Object{}
	}
	q.other = appendSuffix(append(q.other[:0], q.primaryKey()...), record, q, tag)
	full := c.alias(q.other)
	if full == nil {
		return Object{}
	}
	o := c.tier.Get(key.Hash(c.seed, full))
	if !o.Exists() || o.kind() != kindObject || !bytes.Equal(o.Key(), full) || !field.EqualFold(o.Get("Content-Language"), string(tag)) {
		return Object{}
	}
	return o
}

// byQuery follows the alias of an equivalent query, and finds there what q's own fields select.
func (c *Cache) byQuery(q *Request, now time.Time) Object {
	q.other = q.appendSearchKey(q.other[:0])
	record := c.searchRecord(q.other)
	if !record.Exists() {
		return Object{}
	}
	primary := c.aliasOf(q, record)
	if primary == nil {
		return Object{}
	}
	p := Request{Policy: q.Policy, Fields: q.Fields, keyBuf: append(q.other[:0], primary...), primary: len(primary)}
	p.hash = key.Hash(c.seed, p.keyBuf)
	var found Result
	c.find(&p, &found, now)
	q.other = p.keyBuf
	if o := found.Object; o.Exists() && declares(record, soleSearch(o)) {
		return o
	}
	return Object{}
}

// aliasOf gives the primary key of the response to a query equivalent to q's. q.other holds the search key.
func (c *Cache) aliasOf(q *Request, record Object) []byte {
	var ok bool
	if q.other, ok = q.appendEquivalent(q.other, record); !ok {
		return nil
	}
	return c.alias(q.other)
}

// alias follows the alias under a key.
func (c *Cache) alias(name []byte) []byte {
	o := c.tier.Get(key.Hash(c.seed, name))
	if !o.Exists() || o.kind() != kindAlias || !bytes.Equal(o.Key(), name) {
		return nil
	}
	return o.Body()
}

func (q *Request) appendSearchKey(dst []byte) []byte {
	p := key.Parts{Scheme: q.Scheme, Host: q.Host, Path: q.Path, Variant: q.Variant}
	return append(key.Append(dst, &p, nil), searchMark...)
}

func (c *Cache) searchRecord(name []byte) Object {
	o := c.tier.Get(key.Hash(c.seed, name))
	if !o.Exists() || o.kind() != kindSearch || !bytes.Equal(o.Key(), name) {
		return Object{}
	}
	return o
}

// appendEquivalent appends to a search key what makes it the key of q's query, as it is keyed and sent.
func (q *Request) appendEquivalent(dst []byte, record Object) ([]byte, bool) {
	dst = binary.LittleEndian.AppendUint64(dst, record.ID())
	at := len(dst)
	dst = q.Policy.AppendTarget(dst, q)
	_, query, _ := bytes.Cut(dst[at:], []byte("?"))
	_, rule := splitSearch(record)
	if len(rule) == 0 {
		return dst, false
	}
	end := len(dst)
	dst, ok := rule.AppendEquivalent(dst, query)
	return append(dst[:at], dst[end:]...), ok
}

// splitSearch gives a search record's No-Vary-Search, as it came and as it is read; of a damaged record, nothing.
func splitSearch(record Object) (value []byte, rule key.Search) {
	b := record.Body()
	if len(b) < 2 || len(b)-2 < int(binary.LittleEndian.Uint16(b)) {
		return nil, nil
	}
	n := 2 + int(binary.LittleEndian.Uint16(b))
	rule, ok := key.ReadSearch(b[n:])
	if !ok {
		return nil, nil
	}
	return b[2:n], rule
}

func declares(record Object, value []byte) bool {
	have, _ := splitSearch(record)
	return len(have) > 0 && bytes.Equal(have, value)
}

// soleSearch is a response's No-Vary-Search; nil where it has none, or several lines, which are not honoured.
func soleSearch(o Object) []byte {
	var value []byte
	for i := range o.Lines() {
		if name, v := o.Line(i); field.EqualFold(name, "No-Vary-Search") {
			if value != nil {
				return nil
			}
			value = v
		}
	}
	return value
}

// otherNames are the aliases that a response gets when it is stored.
type otherNames struct {
	language  []byte // the alias's key
	full      []byte // where it leads
	primary   int    // of both, the primary key's length
	searchKey []byte
	query     []byte // what follows the record's id in the alias's key, and the rule it was made by
	rule      key.Search
	value     []byte // No-Vary-Search
}

// otherNames finds them while the request is there.
func (c *Cache) otherNames(q *Request, f *Fill, fields field.List) otherNames {
	var n otherNames
	clone := bytes.Clone
	if q.Policy.normal == rfc9111.NormalLanguages && f.record.Exists() {
		if tag := rfc9111.ContentLanguage(fields); tag != nil && names(f.record, "Accept-Language") {
			n.full = clone(q.withSuffix(f.record))
			n.language = appendSuffix(clone(q.primaryKey()), f.record, q, tag)
		}
	}
	if q.Policy.search && fields.Count("No-Vary-Search") == 1 {
		if rule := key.ParseSearch(fields); rule != nil {
			at := q.Policy.AppendTarget(nil, q)
			_, query, _ := bytes.Cut(at, []byte("?"))
			if query, ok := rule.AppendEquivalent(nil, query); ok {
				n.searchKey, n.query, n.rule, n.value = q.appendSearchKey(nil), query, rule, clone(fields.Get("No-Vary-Search"))
			}
		}
	}
	if n.full == nil && n.searchKey != nil {
		n.full = clone(q.primaryKey())
	}
	n.primary = q.primary
	return n
}

func names(record Object, name string) bool {
	v := namesOf(record)
	return v.has([]byte(name))
}

// announce sets the aliases of a stored response.
func (c *Cache) announce(f *Fill) {
	n := &f.also
	if n.language != nil {
		c.tier.Set(key.Hash(c.seed, n.language), small(kindAlias, f.head.ID(), 0, n.language, n.primary, n.full))
	}
	path := key.Hash(c.seed, n.searchKey)
	if n.searchKey == nil || c.writes.since(path, f.asked) {
		return
	}
	c.searches.Store(true)
	record := c.searchRecord(n.searchKey)
	if !record.Exists() || !declares(record, n.value) {
		body := binary.LittleEndian.AppendUint16(nil, uint16(len(n.value)))
		body = append(append(body, n.value...), n.rule...)
		record = small(kindSearch, c.ids.Add(1), 0, n.searchKey, len(n.searchKey), body)
		c.tier.Set(path, record)
	}
	name := append(binary.LittleEndian.AppendUint64(bytes.Clone(n.searchKey), record.ID()), n.query...)
	hash := key.Hash(c.seed, name)
	c.tier.Set(hash, small(kindAlias, f.head.ID(), 0, name, len(n.searchKey), n.full[:n.primary]))
	if c.writes.since(path, f.asked) { // an invalidation that did not see the alias yet
		c.tier.Del(hash)
	}
}
