package key

import (
	"bytes"
	"hash/maphash"
	"strings"
	"testing"
	"testing/quick"

	"github.com/tzero-edge/tzero/internal/field"
)

func rule(t testing.TB, mode Mode, names ...string) *QueryRule {
	t.Helper()
	r, err := NewQueryRule(mode, names)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func target(raw string, r *QueryRule) string {
	path, query, has := strings.Cut(raw, "?")
	return string(AppendTarget(nil, []byte(path), []byte(query), has, r))
}

func TestTarget(t *testing.T) {
	tracking := rule(t, Deny, TrackingParameters()...)
	allow := rule(t, Allow, "page", "sort_*", "a=1")
	none := rule(t, None)
	check := func(r *QueryRule, in, want string) {
		t.Helper()
		if got := target(in, r); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	// nothing dropped: byte for byte
	check(nil, "/a?utm_source=x&&b", "/a?utm_source=x&&b")
	check(tracking, "/a", "/a")
	check(tracking, "/a?", "/a?")
	check(tracking, "/a?&", "/a?&")
	check(tracking, "/a?b=%31&c&&d=;x", "/a?b=%31&c&&d=;x")
	check(tracking, "//a/../b?x", "//a/../b?x")
	// tracking parameters go
	check(tracking, "/a?utm_source=x", "/a")
	check(tracking, "/a?utm_source=x&b=1", "/a?b=1")
	check(tracking, "/a?b=1&gclid=2&c=3&fbclid", "/a?b=1&c=3")
	check(tracking, "/a?ref=producthunt", "/a")
	check(tracking, "/a?ref=product", "/a?ref=product")
	check(tracking, "/a?UTM_source=x", "/a?UTM_source=x")
	check(tracking, "/a?utm%5Fsource=x", "/a?utm%5Fsource=x")
	// a semicolon separates nothing: the cloaked parameter stays in key and fetch
	check(tracking, "/a?utm_source=x;admin=1", "/a")
	check(tracking, "/a?b=1;utm_source=x", "/a?b=1;utm_source=x")
	// the other modes
	check(none, "/a?b=1", "/a")
	check(none, "/a?", "/a")
	check(allow, "/a?x=1&page=2&sort_by=n&y", "/a?page=2&sort_by=n")
	check(allow, "/a?a=1&a=2", "/a?a=1")
	check(allow, "/a?x", "/a")
	check(rule(t, All), "/a?utm_source=x", "/a?utm_source=x")
}

func TestRuleRefusesImpossibleNames(t *testing.T) {
	for _, n := range []string{"", "*", "a*b", "a&b", "a b"} {
		if _, err := NewQueryRule(Deny, []string{n}); err == nil {
			t.Errorf("%q was taken", n)
		}
	}
}

func TestPlainPath(t *testing.T) {
	for _, p := range []string{"/", "/a/b.css", "/a%20b", "/%E2%82%AC", "/%5Bslug%5D", "/a..b/...", "/~x/@y:z", "//a", "*"} {
		if !PlainPath([]byte(p)) {
			t.Errorf("%q is plain", p)
		}
	}
	for _, p := range []string{"/.", "/..", "/a/./b", "/a/../b", "/a/..", "/a;b", "/a%3bb", "/a%2Fb", "/a%5cb", "/a\\b", "/%2e%2e/a", "/%00", "/a%0a", "/a%23b", "/a%3Fb", "/%25", "/%", "/%4", "/%zz", "/a b", "/a\x7f"} {
		if PlainPath([]byte(p)) {
			t.Errorf("%q is ambiguous", p)
		}
	}
}

func TestKeyIsInjective(t *testing.T) {
	type parts struct {
		Scheme            string
		Host, Path, Query []byte
		HasQuery          bool
		Variant           []byte
	}
	build := func(p parts) []byte {
		if !p.HasQuery {
			p.Query = nil
		}
		return Append(nil, &Parts{p.Scheme, p.Host, p.Path, p.Query, p.HasQuery, p.Variant}, nil)
	}
	same := func(a, b parts) bool {
		at, bt := AppendTarget(nil, a.Path, a.Query, a.HasQuery, nil), AppendTarget(nil, b.Path, b.Query, b.HasQuery, nil)
		return a.Scheme == b.Scheme && bytes.Equal(field.AppendLower(nil, a.Host), field.AppendLower(nil, b.Host)) &&
			bytes.Equal(at, bt) && bytes.Equal(a.Variant, b.Variant)
	}
	// Random parts, and pairs made by moving a byte from one part to the next.
	f := func(a parts) bool {
		b := a
		if len(a.Host) > 0 {
			last := len(a.Host) - 1
			b.Host, b.Path = a.Host[:last], append([]byte{a.Host[last]}, a.Path...)
		}
		c := a
		c.Variant = append(bytes.Clone(a.Query), a.Variant...)
		c.Query = nil
		for _, other := range []parts{b, c} {
			if same(a, other) != bytes.Equal(build(a), build(other)) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(f, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
}

func TestHashDependsOnTheSeed(t *testing.T) {
	k := []byte("key")
	a, b := maphash.MakeSeed(), maphash.MakeSeed()
	if Hash(a, k) == Hash(b, k) || Hash(a, k) != Hash(a, []byte("key")) {
		t.Error("a hash must depend on the seed and on the bytes alone")
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"", "a=1&utm_x=2", "&", "a;b&c", "utm_", "%41=%42&&", "ref=producthunt&ref"} {
		f.Add([]byte("/p"), []byte(s), true)
	}
	r := rule(f, Deny, TrackingParameters()...)
	f.Fuzz(func(t *testing.T, path, query []byte, has bool) {
		got := AppendTarget(nil, path, query, has, r)
		whole := AppendTarget(nil, path, query, has, nil)
		if len(got) > len(whole) {
			t.Fatalf("%q grew to %q", whole, got)
		}
		if !has {
			return
		}
		p, q, hasLeft := got[:len(path)], []byte(nil), len(got) > len(path)
		if hasLeft {
			q = got[len(path)+1:]
		}
		if again := AppendTarget(nil, p, q, hasLeft, r); !bytes.Equal(again, got) {
			t.Fatalf("%q is not stable: %q", got, again)
		}
	})
}
