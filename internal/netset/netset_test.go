package netset

import (
	"net/netip"
	"strings"
	"testing"
)

func TestContains(t *testing.T) {
	set, err := New([]string{"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "private", "::1", "2001:db8::/32", "203.0.113.0/31"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.0.0.0": true, "10.255.255.255": true, "11.0.0.0": false, "9.255.255.255": false, "192.0.2.7": true, "192.0.2.8": false,
		"172.16.0.1": true, "172.32.0.1": false, "192.168.4.4": true, "fd00::1": true, "fe00::1": false, "::1": true, "::2": false,
		"2001:db8:1::": true, "2001:db9::": false, "::ffff:10.1.2.3": true, "203.0.113.1": true, "203.0.113.2": false, "fd00::1%eth0": true,
	} {
		if got := set.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	if set.Contains(netip.Addr{}) || (Set{}).Contains(netip.MustParseAddr("10.0.0.1")) || !(Set{}).Empty() || set.Empty() {
		t.Error("no address, or an empty set, is in something")
	}
	all, err := New([]string{"0.0.0.0/0"})
	if err != nil || !all.Contains(netip.MustParseAddr("1.2.3.4")) || all.Contains(netip.MustParseAddr("::1")) {
		t.Error("every IPv4 address, and no other", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"10.0.0.1/8": "write 10.0.0.0/8", "10.0.0": "not an address", "privat": "not an address", "": "not an address",
		"fe80::1%eth0": "not an address", "::ffff:10.0.0.0/104": "not a prefix",
	} {
		if _, err := New([]string{text}); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "private", "::1", "1.2.3.4", "fe80::1%eth0", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		prefixes, err := Parse(s)
		if err != nil {
			return
		}
		set := Of(prefixes)
		for _, p := range prefixes {
			if !set.Contains(p.Addr()) || !set.Contains(lastOf(p)) {
				t.Fatalf("%q: %s is not in its own set", s, p)
			}
		}
	})
}
