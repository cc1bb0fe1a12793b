// Package structured reads Structured Fields (RFC 9651, which contains RFC 8941) as far as tzero needs them:
// dictionaries and lists of items and inner lists. A value that breaks the grammar anywhere is no value at all (§4.2):
// nothing is guessed, and nothing is half read.
package structured

import "github.com/tzero-edge/tzero/internal/field"

// Kind is an item's type.
type Kind uint8

// The types (§3.1, §3.3).
const (
	Integer Kind = iota
	Decimal
	String
	Token
	Bytes
	Boolean
	Date
	Display
	InnerList
)

// Item is a bare item or an inner list. Parameters are checked and dropped.
type Item struct {
	Kind    Kind
	Integer int64  // of Integer and Date
	Boolean bool   // of Boolean
	Text    []byte // of String (without its escapes) and Token
	List    []Item // of InnerList
}

// Member is one member of a dictionary.
type Member struct {
	Key []byte
	Item
}

// What is read at most; what is longer is not valid. §3.2 asks for 1024 members at least.
const (
	maxLength  = 16 << 10
	maxMembers = 1024
)

// Dictionary reads the lines called name as one dictionary (§4.2.2): of members with the same key the last one
// counts, in the place of the first. ok is false when the value does not follow the grammar. The result may
// point into the lines.
func Dictionary(lines field.List, name string) (members []Member, ok bool) {
	ok = read(lines, name, func(p *parser) bool {
		m, ok := p.member()
		if ok {
			members = replace(members, m)
		}
		return ok && len(members) <= maxMembers
	})
	if !ok {
		return nil, false
	}
	return members, true
}

// List reads the lines called name as one list (§4.2.1). ok is false when the value does not follow the grammar. The
// result may point into the lines.
func List(lines field.List, name string) (items []Item, ok bool) {
	ok = read(lines, name, func(p *parser) bool {
		it, ok := p.itemOrList()
		items = append(items, it)
		return ok && len(items) <= maxMembers
	})
	if !ok {
		return nil, false
	}
	return items, true
}

// read takes members, with commas between them, from the beginning to the end.
func read(lines field.List, name string, member func(*parser) bool) bool {
	p := parser{b: join(lines, name)}
	if len(p.b) > maxLength {
		return false
	}
	p.spaces()
	for len(p.b) > 0 {
		if !member(&p) {
			return false
		}
		p.blanks()
		if len(p.b) == 0 {
			return true
		}
		if !p.take(',') {
			return false
		}
		if p.blanks(); len(p.b) == 0 { // a comma behind the last member
			return false
		}
	}
	return true
}

func replace(members []Member, m Member) []Member {
	for i := range members {
		if string(members[i].Key) == string(m.Key) {
			members[i] = m
			return members
		}
	}
	return append(members, m)
}

// join combines the lines of a name as §4.2 says.
func join(lines field.List, name string) []byte {
	var one, all []byte
	n := 0
	for v := range lines.All(name) {
		switch n++; n {
		case 1:
			one = v
		case 2:
			all = append(append(append(all, one...), ", "...), v...)
		default:
			all = append(append(all, ", "...), v...)
		}
		if len(all) > maxLength {
			return all
		}
	}
	if n == 1 {
		return one
	}
	return all
}

// parser eats its input from the front. §4.2 takes away spaces at both ends first; those at the end are taken
// with the blanks behind a member.
type parser struct{ b []byte }

func (p *parser) peek() byte {
	if len(p.b) == 0 {
		return 0
	}
	return p.b[0]
}

func (p *parser) take(c byte) bool {
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *parser) spaces() {
	for p.take(' ') {
	}
}

func (p *parser) blanks() {
	for p.take(' ') || p.take('\t') {
	}
}

func (p *parser) member() (m Member, ok bool) {
	if m.Key, ok = p.key(); !ok {
		return m, false
	}
	if p.take('=') {
		m.Item, ok = p.itemOrList()
		return m, ok
	}
	m.Item = Item{Kind: Boolean, Boolean: true}
	return m, p.parameters()
}

func (p *parser) key() ([]byte, bool) {
	if c := p.peek(); !isLower(c) && c != '*' {
		return nil, false
	}
	n := 1
	for n < len(p.b) && isKey(p.b[n]) {
		n++
	}
	key := p.b[:n]
	p.b = p.b[n:]
	return key, true
}

// parameters checks what stands behind an item (§4.2.3.2).
func (p *parser) parameters() bool {
	for p.take(';') {
		p.spaces()
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.bare(); !ok {
				return false
			}
		}
	}
	return true
}

func (p *parser) itemOrList() (Item, bool) {
	if p.peek() == '(' {
		return p.list()
	}
	return p.item()
}

func (p *parser) item() (Item, bool) {
	it, ok := p.bare()
	return it, ok && p.parameters()
}

// list reads an inner list (§4.2.1.2).
func (p *parser) list() (Item, bool) {
	p.take('(')
	it := Item{Kind: InnerList}
	for len(p.b) > 0 {
		p.spaces()
		if p.take(')') {
			return it, p.parameters()
		}
		one, ok := p.item()
		if c := p.peek(); !ok || c != ' ' && c != ')' {
			return it, false
		}
		it.List = append(it.List, one)
	}
	return it, false
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return isLower(c) || 'A' <= c && c <= 'Z' }

func isKey(c byte) bool {
	return isLower(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '*'
}
