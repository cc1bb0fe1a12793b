package structured

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func lines(values ...string) field.List {
	var l field.List
	for _, v := range values {
		l.AddString("X", v)
	}
	return l
}

// show writes members in one unambiguous form.
func show(members []Member) string {
	var item func(Item) string
	item = func(it Item) string {
		switch it.Kind {
		case Integer:
			return fmt.Sprint(it.Integer)
		case Date:
			return fmt.Sprintf("@%d", it.Integer)
		case String:
			return fmt.Sprintf("%q", it.Text)
		case Token:
			return string(it.Text)
		case Boolean:
			return fmt.Sprintf("?%t", it.Boolean)
		case InnerList:
			var all []string
			for _, one := range it.List {
				all = append(all, item(one))
			}
			return "(" + strings.Join(all, " ") + ")"
		}
		return fmt.Sprintf("kind%d", it.Kind)
	}
	var all []string
	for _, m := range members {
		all = append(all, string(m.Key)+"="+item(m.Item))
	}
	return strings.Join(all, " ")
}

func TestDictionary(t *testing.T) {
	check := func(want string, values ...string) {
		t.Helper()
		m, ok := Dictionary(lines(values...), "x")
		if !ok || show(m) != want {
			t.Errorf("%q: got %q %v, want %q", values, show(m), ok, want)
		}
	}
	check("")
	check("", "")
	check("", "   ")
	check("a=1", "a=1")
	check("a=?true", " a ")
	check("a=?true b=?false", "a,b=?0")
	check("a=1 b=2", "a=1 \t,\t b=2")
	check("a=1 b=2", "a=1", "b=2")
	check("a=3 b=2", "a=1, b=2, a=3")
	check("max-age=60", "max-age=60;x;y=1; z=\"q\"")
	check("a=-999999999999999", "a=-999999999999999")
	check("a=kind1", "a=123456789012.125")
	check(`a="x \"y\" \\z"`, `a="x \"y\" \\z"`)
	check("a=*foo/bar:baz", "a=*foo/bar:baz")
	check("a=kind4", "a=:cHJldGVuZA==:")
	check("a=kind4", "a=:cHJldGVuZA:")
	check("a=@1659578233", "a=@1659578233")
	check("a=kind7", `a=%"f%c3%bc"`)
	check(`a=("x" y 1)`, `a=( "x" y;p 1  );q`)
	check("a=()", "a=()")
	check("*a_-.*=?true", "*a_-.*")
}

func TestNotADictionary(t *testing.T) {
	for _, v := range []string{
		",", "a,", "a,,b", "A=1", "a =1", "a= 1", "a=", "1", "\ta", "a=1 b", "a=1;", "a=1;B", "a=1000000000000000",
		"a=1.", "a=1.1234", "a=1234567890123.1", "a=--1", "a=-", `a="x`, `a="x\y"`, "a=\"\x7f\"", `a="ü"`, "a=:x", "a=:x!:",
		"a=?2", "a=?", "a=@1.5", "a=@x", `a=%"%C3"`, `a=%"%c3"`, `a=%x`, "a=(", "a=(1", "a=(1 2", "a=(1,2)", `a=("x""y")`, "a=((1))", "ü=1", "a=1\x00",
		strings.Repeat(" ", maxLength+1), strings.Repeat("a=1,", maxLength/4),
	} {
		if m, ok := Dictionary(lines(v), "X"); ok {
			t.Errorf("%.40q was read as %s", v, show(m))
		}
	}
	if _, ok := Dictionary(lines("a=1", ""), "X"); ok {
		t.Error("an empty second line leaves a comma at the end")
	}
}

func FuzzDictionary(f *testing.F) {
	for _, s := range []string{"max-age=60, no-store", `a="x\"", b=(1 "c");d=?0`, "a=:YQ==:,b=@12,c=%\"%c3%bc\"", "a=1.5;x", "params, except=(\"q\")"} {
		f.Add(s, "b=2")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		one, ok1 := Dictionary(lines(a), "X")
		two, ok2 := Dictionary(lines(a, b), "X")
		joined, ok3 := Dictionary(lines(a+", "+b), "X")
		if ok2 != ok3 || show(two) != show(joined) {
			t.Fatalf("%q and %q: two lines are not one", a, b)
		}
		if !ok1 && ok2 && strings.Count(a, `"`)%2 == 0 && strings.Trim(a, " ") != "" {
			// A member that is invalid by itself may be completed by the next line only inside a string or list.
			if !strings.ContainsAny(a, `"(`) {
				t.Fatalf("%q is invalid and %q heals it", a, b)
			}
		}
		seen := map[string]bool{}
		for _, m := range one {
			if seen[string(m.Key)] || len(m.Key) == 0 {
				t.Fatalf("%q: key %q twice, or empty", a, m.Key)
			}
			seen[string(m.Key)] = true
		}
	})
}
