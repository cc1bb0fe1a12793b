package rfc9111

import (
	"strings"
	"testing"
)

// TestNormalLists is §4.1 as far as it goes.
func TestNormalLists(t *testing.T) {
	check := func(name, a, b string, same bool) {
		t.Helper()
		x := string(AppendSelecting(nil, fields(a), []byte(name), NormalLists))
		y := string(AppendSelecting(nil, fields(b), []byte(name), NormalLists))
		if (x == y) != same {
			t.Errorf("%s: %q and %q: %q %q", name, a, b, x, y)
		}
	}
	check("Foo", "Foo: 1, 2", "Foo: 1 | Foo: 2", true)
	check("Foo", "Foo: 1,2", "Foo:  1 ,\t2 ", true)
	check("Foo", "Foo: 1,2", "Foo: 2,1", false)
	check("Foo", "Foo: 1,2", "Foo: 1,,2", false)
	check("Foo", "Foo: 1,2", "Foo: 1,2,", false)
	check("Foo", `Foo: "1, 2"`, `Foo: "1,2"`, false)
	check("Foo", "Foo: a b", "Foo: ab", false)
	check("Foo", "Foo: a", "Foo: A", false)
	check("Foo", "Foo:", "", false)
	check("Cookie", "Cookie: a=b, c=d", "Cookie: a=b,c=d", false)
	check("Cookie", "Cookie: a=b | Cookie: c=d", "Cookie: a=b,c=d", false)
	check("Authorization", "Authorization: Digest a=1, b=2", "Authorization: Digest a=1,b=2", false)
	check("Accept-Language", "Accept-Language: en, de", "Accept-Language: DE ,en", true)
	check("Accept-Language", "Accept-Language: en, de", "Accept-Language: de | Accept-Language: en", true)
	check("Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: en, de;q=0.5", false)
	check("Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: de, en; q=0.5", true)
	many := "Accept-Language: a" + strings.Repeat(",x", maxSorted)
	check("Accept-Language", many+",b", many+",c", false)
	check("Accept-Language", many, "Accept-Language: "+strings.Repeat("x,", maxSorted)+"a", false)
}

func TestPreferredLanguage(t *testing.T) {
	check := func(accept, want string) {
		t.Helper()
		if got := string(PreferredLanguage(fields("Accept-Language: " + accept))); got != want {
			t.Errorf("%q: got %q, want %q", accept, got, want)
		}
	}
	check("", "")
	check("de", "de")
	check("fr;q=0.5, de;q=1.0", "de")
	check("de, fr;q=0.999", "de")
	check("en, de", "")
	check("en;q=0.1, de;q=0.1, fr;q=0.1", "")
	check("*", "")
	check("*;q=0.1, de;q=0.2", "de")
	check("de;q=0", "")
	check("de;q=2", "")
	check("de;q=0.5x, fr;q=0.1", "fr")
	check("de;q=1.5", "de")
	check("de; q=0.5", "de")
	check("de fr, en;q=0.1", "en")
}
