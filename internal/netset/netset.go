// Package netset holds sets of addresses, written as addresses, prefixes and a few words.
package netset

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Set is an immutable set of addresses. The zero value is empty.
type Set struct {
	ranges []span // sorted, disjoint
}

// span is a range of addresses of one family, both ends included.
type span struct{ first, last netip.Addr }

// New compiles a list of addresses, prefixes (10.0.0.0/8) and the words loopback, private and link-local.
func New(list []string) (Set, error) {
	var prefixes []netip.Prefix
	for _, s := range list {
		more, err := Parse(s)
		if err != nil {
			return Set{}, err
		}
		prefixes = append(prefixes, more...)
	}
	return Of(prefixes), nil
}

// Of returns the set that the prefixes cover.
func Of(prefixes []netip.Prefix) Set {
	var spans []span
	for _, p := range prefixes {
		spans = append(spans, span{p.Masked().Addr(), lastOf(p)})
	}
	slices.SortFunc(spans, func(a, b span) int { return a.first.Compare(b.first) })
	var t Set
	for _, s := range spans {
		if n := len(t.ranges); n > 0 && s.first.Compare(t.ranges[n-1].last) <= 0 {
			if s.last.Compare(t.ranges[n-1].last) > 0 {
				t.ranges[n-1].last = s.last
			}
			continue
		}
		t.ranges = append(t.ranges, s)
	}
	return t
}

// Contains reports whether addr is in the set; an IPv4 address mapped into IPv6 counts as IPv4.
func (t Set) Contains(addr netip.Addr) bool {
	if len(t.ranges) == 0 || !addr.IsValid() {
		return false
	}
	addr = addr.Unmap().WithZone("")
	lo, hi := 0, len(t.ranges)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if t.ranges[mid].first.Compare(addr) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && addr.Compare(t.ranges[lo-1].last) <= 0
}

// Empty reports whether nothing is in the set.
func (t Set) Empty() bool { return len(t.ranges) == 0 }

// named returns the prefixes that a word stands for.
func named(word string) []string {
	switch word {
	case "loopback":
		return []string{"127.0.0.0/8", "::1/128"}
	case "private":
		return []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}
	case "link-local":
		return []string{"169.254.0.0/16", "fe80::/10"}
	}
	return nil
}

// Parse reads an address, a prefix or a word. Its errors say what is wrong and what to write instead.
func Parse(s string) ([]netip.Prefix, error) {
	list := named(s)
	if list == nil {
		list = []string{s}
	}
	var out []netip.Prefix
	for _, item := range list {
		p, err := parsePrefix(item)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is not an address, a prefix (10.0.0.0/8) or one of loopback, private and link-local", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix such as 10.0.0.0/8 or 2001:db8::/32", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its length; write %s", s, p.Masked())
	}
	return p, nil
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
