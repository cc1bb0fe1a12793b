package key

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func search(values ...string) Search {
	var l field.List
	for _, v := range values {
		l.AddString("No-Vary-Search", v)
	}
	return ParseSearch(l)
}

func equivalent(s Search, a, b string) bool {
	x, ok1 := s.AppendEquivalent(nil, []byte(a))
	y, ok2 := s.AppendEquivalent(nil, []byte(b))
	return ok1 && ok2 && bytes.Equal(x, y)
}

func TestSearchIsStrict(t *testing.T) {
	for _, v := range []string{
		"", "unknown-key", `key-order="x"`, "key-order=1", `params="x"`, "params=1", "params=(x)", `params=("a" 1)`, `params=("a"), except=("x")`,
		"params=(), except=()", `params=?0, except=("x")`, "params, except=(x)", `params, except="x"`, "params, except=?1", `except=("x")`,
		"except=()", "params=?0", "params=()", "key-order=?0", "params,", "Params", "params; except", "key-order, params, &",
		"params=(" + strings.Repeat(`"a" `, maxSearchNames+1) + ")", `params=("` + strings.Repeat("a", maxSearchField) + `")`,
	} {
		if v == "params; except" { // a parameter, which is ignored
			if search(v) == nil {
				t.Errorf("%q was not taken", v)
			}
			continue
		}
		if s := search(v); s != nil {
			t.Errorf("%.60q was taken: %q", v, s)
		}
	}
	if ParseSearch(nil) != nil {
		t.Error("no field was taken for one")
	}
	for _, v := range []string{"params", "params=?1", `params=("a")`, `params, except=("x")`, "key-order", "key-order=?1", `params=("a"), other=1`, "params, except=()"} {
		if search(v) == nil {
			t.Errorf("%q was not taken", v)
		}
	}
	if s := search("key-order", `params=("a")`); !equivalent(s, "b=1&a=1&c=2", "c=2&b=1") {
		t.Error("two lines are not one field")
	}
}

// TestEquivalentQueries has the draft's own examples among its cases.
func TestEquivalentQueries(t *testing.T) {
	check := func(value, a, b string, want bool) {
		t.Helper()
		if got := equivalent(search(value), a, b); got != want {
			t.Errorf("%s: %q and %q: got %v", value, a, b, got)
		}
	}
	check("params", "a=1", "b=2&c", true)
	check("params", "", "x", true)
	check(`params=("a")`, "a=1&b=2", "b=2&a=3", true)
	check(`params=("a")`, "a=1&b=2", "b=3", false)
	check(`params=("a")`, "b=2&c=3", "c=3&b=2", false)
	check(`params=("a")`, "A=1", "", false)
	check(`params=("a")`, "a", "a=&&", true)
	check(`params=("a")`, "b", "b=", true)
	check(`params=("a")`, "b=2&&c", "b=2&c=", true)
	check(`params=("a")`, "a;b=2", "", false)
	check(`params=("a")`, "%61=1", "", true)
	check(`params=("a")`, "b=%31", "b=1", true)
	check(`params=("a")`, "b=%zz", "b=%25zz", true)
	check(`params=("a")`, "b=c%26d=e", "b=c&d=e", false)
	check(`params=("a")`, "b%3Dc=e", "b=c%3De", false)
	check(`params=("%C3%A9+%E6%B0%97")`, "é+気=1", "%c3%a9%20%e6%b0%97=2", true)
	check(`params=("a+b")`, "a%2Bb=1", "", false)
	check(`params, except=("id")`, "id=1&x=2", "y&id=1", true)
	check(`params, except=("id")`, "id=1&x=2", "id=2", false)
	check(`params, except=("id")`, "id=1&id=2", "id=2&id=1", false)
	check("key-order", "a=1&b=2&c=3", "c=3&b=2&a=1", true)
	check("key-order", "a=1&b=2&a=3", "b=2&a=1&a=3", true)
	check("key-order", "a=1&b=2&a=3", "a=3&b=2&a=1", false)
	check("key-order", "a=1&b=2", "a=1", false)
	check("key-order", "ab=1&a=2", "a=2&ab=1", true)
	check(`key-order, params=("u")`, "b=1&u=0&a=2", "a=2&b=1", true)
	many := strings.Repeat("b=1&", maxParameters)
	check("key-order", many, many, true)
	check("key-order", many+"c", many+"c", false)
}

func FuzzSearch(f *testing.F) {
	f.Add(`params=("a" "%62"), key-order`, "a=1&b=2&c=3", "c=3")
	f.Add(`params, except=("x")`, "x=%41&y", "x=A&z=%2")
	f.Fuzz(func(t *testing.T, value, a, b string) {
		s := search(value)
		if s == nil {
			return
		}
		prefix := []byte("kept")
		got, ok := s.AppendEquivalent(append([]byte(nil), prefix...), []byte(a))
		if !bytes.HasPrefix(got, prefix) || len(got) > len(prefix)+8*maxParameters+len(a) {
			t.Fatalf("%q: %q", a, got)
		}
		if ok && !equivalent(s, a, "&"+a+"&&") {
			t.Fatalf("%q: empty parameters count", a)
		}
		// Both in one are what they are one by one, unless order does not count.
		if s[0]&searchAnyOrder == 0 && strings.Count(a+b, "&") < maxParameters-2 {
			x, _ := s.AppendEquivalent(nil, []byte(a))
			x, _ = s.AppendEquivalent(x, []byte(b))
			if y, ok := s.AppendEquivalent(nil, []byte(a+"&"+b)); ok && !bytes.Equal(x, y) {
				t.Fatalf("%q and %q: %q %q", a, b, x, y)
			}
		}
	})
}
