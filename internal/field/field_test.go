package field

import (
	"slices"
	"testing"
)

func list(lines ...string) List {
	var l List
	for i := 0; i < len(lines); i += 2 {
		l.AddString(lines[i], lines[i+1])
	}
	return l
}

func texts(l List) []string {
	var out []string
	for _, f := range l {
		out = append(out, string(f.Name)+": "+string(f.Value))
	}
	return out
}

func TestLinesKeepOrderAndNumber(t *testing.T) {
	l := list("A", "1", "b", "2", "a", "3")
	if string(l.Get("a")) != "1" || l.Count("A") != 2 || !l.Has("B") || l.Has("c") || l.Get("c") != nil {
		t.Errorf("%v", texts(l))
	}
	var all []string
	for v := range l.All("a") {
		all = append(all, string(v))
	}
	if !slices.Equal(all, []string{"1", "3"}) {
		t.Errorf("%v", all)
	}
	l.Set("A", []byte("9"))
	if got := texts(l); !slices.Equal(got, []string{"A: 9", "b: 2"}) {
		t.Errorf("%v", got)
	}
	l.Set("new", []byte("x"))
	l.Del("B")
	if got := texts(l); !slices.Equal(got, []string{"A: 9", "new: x"}) {
		t.Errorf("%v", got)
	}
}

func TestMembers(t *testing.T) {
	check := func(want []string, lines ...string) {
		t.Helper()
		var got []string
		for m := range list(lines...).Members("V") {
			got = append(got, string(m))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	}
	check([]string{"a", "b", "c"}, "V", "a, b", "x", "y", "v", "c")
	check([]string{"a"}, "V", " , a ,,")
	check([]string{`"a,b"`, "c"}, "V", `"a,b", c`)
	check([]string{`"a\",b"`}, "V", `"a\",b"`)
	check([]string{`"open, c`}, "V", `"open, c`)
	check(nil, "V", "")
}

func TestCloneSharesNothing(t *testing.T) {
	buf := []byte("NameValue")
	l := List{{buf[:4], buf[4:]}}
	c := l.Clone()
	copy(buf, "XXXXXXXXX")
	if got := texts(c); got[0] != "Name: Value" {
		t.Errorf("%v", got)
	}
	if l.Size() != len("Name: Value\r\n") || List(nil).Clone() != nil {
		t.Error("size or empty clone")
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(`a, "b,c", d`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, v string) {
		n := 0
		for m := range (List{{[]byte("V"), []byte(v)}}).Members("v") {
			if len(m) == 0 || len(TrimOWS(m)) != len(m) {
				t.Errorf("member %q of %q", m, v)
			}
			n += len(m)
		}
		if n > len(v) {
			t.Errorf("more came out of %q than went in", v)
		}
	})
}

// TestEqualFold compares with the definition, on strings that differ in one byte in any way.
func TestEqualFold(t *testing.T) {
	naive := func(a, b string) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range len(a) {
			if lower(a[i]) != lower(b[i]) {
				return false
			}
		}
		return true
	}
	for _, base := range []string{"a", "Range", "If-Range", "Accept-Encoding", "\x00\x20\x40\x60\x80\xa0\xc0\xe0@[`{AZaz"} {
		for at := range len(base) {
			for c := range 256 {
				other := base[:at] + string([]byte{byte(c)}) + base[at+1:]
				if got := EqualFold([]byte(base), other); got != naive(base, other) {
					t.Fatalf("%q and %q: %v", base, other, got)
				}
			}
		}
	}
	if EqualFold([]byte("ab"), "abc") {
		t.Error("of different length")
	}
}

// TestLower: ASCII letters alone have a small form here, whatever stands beside them in the tables of bytes.
func TestLower(t *testing.T) {
	for c := range 256 {
		b := []byte{'x', byte(c)}
		want := b[1]
		upper := 'A' <= want && want <= 'Z'
		if upper {
			want += 'a' - 'A'
		}
		if got := AppendLower([]byte("X"), b); string(got) != string([]byte{'X', 'x', want}) {
			t.Errorf("%q became %q", b, got)
		}
		if HasUpper(b) != upper {
			t.Errorf("%q: capital letters: %v", b, !upper)
		}
	}
}
