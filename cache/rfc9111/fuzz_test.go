package rfc9111

import (
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"max-age=3600", `no-cache="a, b", private`, `x="\"", max-age=1`, "max-age =1;", ",,=", `"`, "s-maxage=99999999999999999999"} {
		f.Add(s, "Cookie: a")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		l := field.List{{Name: []byte("Cache-Control"), Value: []byte(a)}, {Name: []byte("Cache-Control"), Value: []byte(b)}}
		d := Parse(l, "Cache-Control")
		for _, n := range []int64{d.MaxAge, d.SMaxAge, d.MinFresh, d.MaxStale, d.StaleIfError, d.StaleWhileRevalidate} {
			if n < 0 || n > MaxDelta {
				t.Fatalf("%q %q: %+v", a, b, d)
			}
		}
		// A restriction stays one, whatever stands in front of it as a whole member.
		more := append(l, field.Field{Name: []byte("Cache-Control"), Value: []byte("no-store, private")})
		if e := Parse(more, "Cache-Control"); !e.Has(NoStore | Private) {
			t.Fatalf("%q %q hide no-store", a, b)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Wednesday, 29-Feb-24 23:59:60 GMT"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := ParseDate(b, now)
		if !ok {
			return
		}
		if again, ok := ParseDate(AppendDate(nil, got), now); !ok || !again.Equal(got) {
			t.Fatalf("%q: %s is not stable", b, got)
		}
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Accept-Encoding, Cookie", "gzip, br", "en")
	f.Add(",*", `"`, "")
	f.Add("a\x00", "x;q=0", "a,b,c")
	f.Fuzz(func(t *testing.T, vary, a, b string) {
		v := VaryOf(field.List{{Name: []byte("Vary"), Value: []byte(vary)}})
		l := field.List{{Name: []byte("Accept-Encoding"), Value: []byte(a)}, {Name: []byte("Accept-Language"), Value: []byte(b)}, {Name: []byte("Cookie"), Value: []byte(a + b)}}
		for _, n := range v.Names[:v.N] {
			once := AppendSelecting(nil, l, n, NormalStrict)
			if twice := AppendSelecting(nil, l.Clone(), n, NormalStrict); string(once) != string(twice) {
				t.Fatalf("%q: %q %q", n, once, twice)
			}
		}
		line := func(values ...string) string {
			var l field.List
			for _, v := range values {
				l.AddString("X-Any", v)
			}
			return string(AppendSelecting(nil, l, []byte("x-any"), NormalStrict))
		}
		if (line(a, b) == line(b, a)) != (a == b) || (line(a) == line(b)) != (a == b) || line(a, b) == line(a+b) || line() == line(a) {
			t.Fatalf("%q and %q are mistaken for each other", a, b)
		}
	})
}

// FuzzRange: whatever is asked for lies in the representation, no byte of it is sent twice, and several parts
// are never more than the whole.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=1-0", "bytes=,", "x=1-2", "bytes=0-9, 500-600,-3", "bytes=0-,0-,0-"} {
		f.Add(s, int64(1000))
	}
	f.Fuzz(func(t *testing.T, s string, size int64) {
		size &= 1<<40 - 1
		r := RangeOf(field.List{{Name: []byte("Range"), Value: []byte(s)}}, size, nil, now, now, now)
		all := r.Parts
		if r.Kind == Part {
			all = []Span{r.Span}
		}
		if (r.Kind == Several) != (len(all) > 1) || (r.Kind == Part || r.Kind == Several) != r.Within(Span{0, size}) {
			t.Fatalf("%q of %d: %+v", s, size, r)
		}
		total := int64(0)
		for i, p := range all {
			total += p.Length
			if p.Offset < 0 || p.Length <= 0 || p.End() > size || total > size {
				t.Fatalf("%q of %d: %+v", s, size, r)
			}
			for _, o := range all[:i] {
				if p.Offset < o.End() && o.Offset < p.End() {
					t.Fatalf("%q of %d: %+v", s, size, r)
				}
			}
		}
		if SingleRange([]byte(s)) && r.Kind != Part && r.Kind != Unsatisfiable {
			t.Fatalf("%q of %d: %+v", s, size, r)
		}
	})
}

// FuzzContentRange: what is taken for a piece lies in its representation, and reads the same when written again.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-4/10", "bytes */10", "bytes 0-4/*", "bytes 9-1/3", "items 0-1/2", "bytes 0-18446744073709551616/3"} {
		f.Add(s, int64(5))
	}
	f.Fuzz(func(t *testing.T, s string, length int64) {
		held, complete, ok := PartOf(field.List{{Name: []byte("Content-Range"), Value: []byte(s)}}, length)
		if !ok {
			return
		}
		if held.Offset < 0 || held.Length <= 0 || held.End() > complete || length >= 0 && length != held.Length {
			t.Fatalf("%q: %+v of %d", s, held, complete)
		}
		again, size, ok := contentRange(AppendContentRange(nil, held, complete))
		if !ok || again != held || size != complete {
			t.Fatalf("%q: %+v of %d became %+v of %d", s, held, complete, again, size)
		}
	})
}
