package rfc9111

import (
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestReuse(t *testing.T) {
	check := func(request string, s Stored, use Use, reason Reason) {
		t.Helper()
		d := RequestDirectives(fields(request))
		if s.Lifetime == 0 {
			s.Lifetime = 60 * time.Second
		}
		s.Resident = s.Age
		got, why := Reuse(&s, &d, time.Second)
		if got != use || why != reason {
			t.Errorf("%q %+v: got %d %q, want %d %q", request, s, got, why, use, reason)
		}
	}
	sec := time.Second
	check("", Stored{Age: 59 * sec}, UseFresh, "")
	check("", Stored{Age: 60 * sec}, UseValidate, StaleExpired)
	check("", Stored{Age: 1 * sec, Traits: TraitNoCache}, UseValidate, StaleNoCache)
	check("", Stored{Age: 70 * sec, WhileStale: 11 * sec}, UseRefresh, StaleRevalidate)
	check("", Stored{Age: 70 * sec, WhileStale: 10 * sec}, UseValidate, StaleExpired)
	check("", Stored{Age: 70 * sec, WhileStale: 11 * sec, Traits: TraitRevalidate}, UseValidate, StaleExpired)
	check("Cache-Control: no-cache", Stored{Age: 1 * sec}, UseValidate, StaleReload)
	check("Cache-Control: no-cache", Stored{Age: sec / 2}, UseFresh, "")
	check("Pragma: no-cache", Stored{Age: 1 * sec}, UseValidate, StaleReload)
	check("Pragma: no-cache | Cache-Control: max-age=30", Stored{Age: 1 * sec}, UseFresh, "")
	check("Pragma: no-cache | Cache-Control: foo", Stored{Age: 1 * sec}, UseFresh, "")
	check("Cache-Control: max-age=10", Stored{Age: 10 * sec}, UseFresh, "")
	check("Cache-Control: max-age=10", Stored{Age: 11 * sec}, UseValidate, StaleMaxAge)
	check("Cache-Control: min-fresh=10", Stored{Age: 50 * sec}, UseFresh, "")
	check("Cache-Control: min-fresh=11", Stored{Age: 50 * sec}, UseValidate, StaleMinFresh)
	check("Cache-Control: max-stale=10", Stored{Age: 70 * sec}, UseStale, StaleMaxStale)
	check("Cache-Control: max-stale=9", Stored{Age: 70 * sec}, UseValidate, StaleExpired)
	check("Cache-Control: max-stale", Stored{Age: 7000 * sec}, UseStale, StaleMaxStale)
	check("Cache-Control: max-stale", Stored{Age: 70 * sec, Traits: TraitRevalidate}, UseValidate, StaleExpired)
	check("Cache-Control: max-stale", Stored{Age: 70 * sec, Traits: TraitSMaxAge}, UseValidate, StaleExpired)
}

func TestFreshnessIsMonotonic(t *testing.T) {
	f := func(age, later, life, more, while uint16, traits uint8) bool {
		d := Directives{}
		s := Stored{Age: time.Duration(age), Lifetime: time.Duration(life), WhileStale: time.Duration(while), Traits: Trait(traits)}
		use, _ := Reuse(&s, &d, 0)
		old := s
		old.Age += time.Duration(later)
		then, _ := Reuse(&old, &d, 0)
		longer := s
		longer.Lifetime += time.Duration(more)
		better, _ := Reuse(&longer, &d, 0)
		rank := func(u Use) int { return map[Use]int{UseFresh: 0, UseRefresh: 1, UseStale: 1, UseValidate: 2}[u] }
		return rank(then) >= rank(use) && rank(better) <= rank(use)
	}
	if err := quick.Check(f, &quick.Config{MaxCount: 20000}); err != nil {
		t.Error(err)
	}
}

func TestReuseOnFailure(t *testing.T) {
	check := func(request string, s Stored, f Failure, want Reason) {
		t.Helper()
		d := RequestDirectives(fields(request))
		s.Lifetime = 60 * time.Second
		ok, why := ReuseOnFailure(&s, &d, f, time.Hour)
		if ok != (want != StaleExpired) || why != want {
			t.Errorf("%q %+v %d: got %v %q", request, s, f, ok, why)
		}
	}
	sec := time.Second
	check("", Stored{Age: 70 * sec, IfError: 20 * sec}, FailureStatus, StaleError)
	check("", Stored{Age: 80 * sec, IfError: 20 * sec}, FailureStatus, StaleExpired)
	check("", Stored{Age: 80 * sec, IfError: 20 * sec}, FailureDown, StaleDown)
	check("", Stored{Age: 4000 * sec}, FailureDown, StaleExpired)
	check("Cache-Control: stale-if-error=30", Stored{Age: 80 * sec}, FailureStatus, StaleError)
	check("Cache-Control: stale-if-error=30", Stored{Age: 80 * sec, Traits: TraitSMaxAge}, FailureStatus, StaleExpired)
	for _, trait := range []Trait{TraitNoCache, TraitRevalidate, TraitSMaxAge} {
		check("", Stored{Age: 61 * sec, Traits: trait}, FailureDown, StaleExpired)
	}
	check("", Stored{Age: 61 * sec, Traits: TraitSMaxAge, IfError: 5 * sec}, FailureDown, StaleError)
}

func TestSelecting(t *testing.T) {
	check := func(name, a, b string, same bool) {
		t.Helper()
		x := string(AppendSelecting(nil, fields(a), []byte(name), NormalStrict))
		y := string(AppendSelecting(nil, fields(b), []byte(name), NormalStrict))
		if (x == y) != same {
			t.Errorf("%s: %q and %q: %q %q", name, a, b, x, y)
		}
	}
	check("Foo", "Foo: 1", "foo: 1", true)
	check("Foo", "Foo: 1", "Foo: 2", false)
	check("Foo", "Foo: 1", "", false)
	check("Foo", "Foo:", "", false)
	check("Foo", "Foo: 1, 2", "Foo: 1 | Foo: 2", false)
	check("Foo", "Foo: 1 | Foo: 2", "foo: 1 | Bar: x | FOO: 2", true)
	check("Foo", "Foo: 1 | Foo: 2", "Foo: 2 | Foo: 1", false)
	check("Foo", "Foo: 12 | Foo: 3", "Foo: 1 | Foo: 23", false)
	check("Foo", "Foo: 1,2", "Foo: 1 , 2", false)
	check("Foo", "Foo: 1,2", "Foo: 1,,2", false)
	check("Foo", "Foo: 1,2", "Foo: 1,2,", false)
	check("Foo", "Foo: 1, 2", "Foo: 2, 1", false)
	check("Foo", `Foo: "1, 2"`, `Foo: "1,2"`, false)
	check("Foo", "Foo: a", "Foo: A", false)
	check("Cookie", "Cookie: a=b, c=d", "Cookie: a=b,c=d", false)
	check("Authorization", "Authorization: Digest a=1, b=2", "Authorization: Digest a=1,b=2", false)
	check("Accept-Language", "Accept-Language: fr, en", "Accept-Language: en, fr", false)
	check("Accept-Language", "Accept-Language: en, de", "Accept-Language: EN ,De", true)
	check("Accept-Language", "Accept-Language: en, de", "Accept-Language: en, , de", false)
	check("Accept-Language", "Accept-Language: en,de", "Accept-Language: en | Accept-Language: de", false)
	check("Accept-Language", "Accept-Language: en;q=0.5", "Accept-Language: en \t; q=0.5", true)
	check("Accept-Language", "Accept-Language: en;q=0.5", "Accept-Language: en;q= 0.5", false)
	check("Accept-Language", "Accept-Language: en de", "Accept-Language: ende", false)
	check("Accept-Language", "Accept-Language: en;q=0.5, de", "Accept-Language: en, de;q=0.5", false)
	check("Accept-Language", "Accept-Language:", "", false)
	check("Accept-Encoding", "Accept-Encoding: gzip, deflate, br", "Accept-Encoding: br;q=0.9,GZIP", true)
	check("Accept-Encoding", "Accept-Encoding: gzip", "Accept-Encoding: gzip;q=0", false)
	check("Accept-Encoding", "Accept-Encoding: gzip;q=0.000", "", true)
	check("Accept-Encoding", "Accept-Encoding: *", "Accept-Encoding: gzip, br, zstd", true)
	check("Accept-Encoding", "Accept-Encoding: *, br;q=0", "Accept-Encoding: gzip, zstd", true)
	check("Accept-Encoding", "Accept-Encoding: identity;q=0, br", "Accept-Encoding: br", false)
}

func TestAcceptEncodingRoundTrip(t *testing.T) {
	for set := range Coding(16) {
		v := AppendAcceptEncoding(nil, set)
		if got := Accepted(fields("Accept-Encoding: " + string(v))); got != set {
			t.Errorf("%04b: %q gives %04b", set, v, got)
		}
	}
}

func TestCondition(t *testing.T) {
	modified := now.Add(-time.Hour)
	check := func(request, etag string, want Verdict) {
		t.Helper()
		if got := Condition(fields(request), 200, []byte(etag), modified, now, now); got != want {
			t.Errorf("%q on %s: got %d", request, etag, got)
		}
	}
	check("", `"a"`, Send)
	check(`If-None-Match: "a"`, `"a"`, NotModified)
	check(`If-None-Match: W/"a"`, `"a"`, NotModified)
	check(`If-None-Match: "a"`, `W/"a"`, NotModified)
	check(`If-None-Match: "b", "a"`, `"a"`, NotModified)
	check(`If-None-Match: "b" | If-None-Match: "a"`, `"a"`, NotModified)
	check(`If-None-Match: "b,a"`, `"a"`, Send)
	check(`If-None-Match: "a\"`, `"a\"`, NotModified)
	check(`If-None-Match: *`, "", NotModified)
	check(`If-None-Match: "*"`, `"a"`, Send)
	check(`If-None-Match: "A"`, `"a"`, Send)
	check(`If-None-Match: a`, `a`, NotModified)
	check(`If-None-Match:`, ``, Send)
	check("If-None-Match: \"b\" | If-Modified-Since: "+at(0), `"a"`, Send)
	check("If-None-Match: \"a\" | If-Modified-Since: "+at(-2*time.Hour), `"a"`, NotModified)
	check("If-Modified-Since: "+at(-time.Hour), "", NotModified)
	check("If-Modified-Since: "+at(0), "", NotModified)
	check("If-Modified-Since: "+at(-time.Hour-time.Second), "", Send)
	check("If-Modified-Since: foo", "", Send)
	check("If-Modified-Since: "+at(0)+" | If-Modified-Since: "+at(0), "", Send)
	if Condition(fields(`If-None-Match: "a"`), 404, []byte(`"a"`), modified, now, now) != Send {
		t.Error("a condition applied to a 404")
	}
	if Condition(fields("If-Modified-Since: "+at(time.Hour)), 200, nil, time.Time{}, now, now) != NotModified {
		t.Error("the date does not stand in for Last-Modified")
	}
}

func TestRange(t *testing.T) {
	check := func(request string, want Range) {
		t.Helper()
		if got := RangeOf(fields(request), 10, []byte(`"a"`), now.Add(-time.Hour), now, now); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", request, got, want)
		}
	}
	whole := Range{}
	part := func(offset, length int64) Range { return Range{Kind: Part, Span: Span{offset, length}} }
	check("", whole)
	check("Range: bytes=0-1", part(0, 2))
	check("Range: BYTES=0-1", part(0, 2))
	check("Range: bytes=1-", part(1, 9))
	check("Range: bytes=-1", part(9, 1))
	check("Range: bytes=-20", part(0, 10))
	check("Range: bytes=5-99999999999999999999999", part(5, 5))
	check("Range: bytes=9-9", part(9, 1))
	check("Range: bytes=10-", Range{Kind: Unsatisfiable})
	check("Range: bytes=10-11", Range{Kind: Unsatisfiable})
	check("Range: bytes=-0", Range{Kind: Unsatisfiable})
	for _, v := range []string{"bytes=5-4", "bytes=-", "bytes=", "bytes", "bytes=a-b", "items=0-1", "bytes=0-1-2", "bytes=--1", "bytes=+1-2", "bytes =0-1"} {
		check("Range: "+v, whole)
	}
	check("Range: bytes=0-1 | Range: bytes=0-1", whole)
	check(`Range: bytes=0-1 | If-Range: "a"`, part(0, 2))
	check(`Range: bytes=0-1 | If-Range: W/"a"`, whole)
	check(`Range: bytes=0-1 | If-Range: "b"`, whole)
	check("Range: bytes=0-1 | If-Range: "+at(-time.Hour), part(0, 2))
	check("Range: bytes=0-1 | If-Range: "+at(-time.Hour+time.Second), whole)
	if got := RangeOf(fields("Range: bytes=0-1 | If-Range: "+at(-time.Second)), 10, nil, now.Add(-time.Second), now, now); got.Kind != Whole {
		t.Error("a weak Last-Modified passed If-Range")
	}
	if got := RangeOf(fields("Range: bytes=-5"), 0, nil, now, now, now); got.Kind != Unsatisfiable {
		t.Errorf("empty body: %+v", got)
	}
}

// TestRanges is RFC 9110 §14.2 and §15.3.7.2.
func TestRanges(t *testing.T) {
	check := func(set string, size int64, want Range) {
		t.Helper()
		if got := RangeOf(fields("Range: bytes="+set), size, nil, now, now, now); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", set, got, want)
		}
	}
	part := func(offset, length int64) Range { return Range{Kind: Part, Span: Span{offset, length}} }
	two := Range{Kind: Several, Parts: []Span{{0, 10}, {5000, 10}}}
	check("0-9,5000-5009", 10000, two)
	check(" 0-9 , ,5000-5009,", 10000, two)
	check("5000-5009,0-9", 10000, Range{Kind: Several, Parts: []Span{{5000, 10}, {0, 10}}})
	check("0-9,-10", 10000, Range{Kind: Several, Parts: []Span{{0, 10}, {9990, 10}}})
	check("0-9,10-19", 10000, part(0, 20))         // they touch
	check("0-9,5-19,100-119", 10000, part(0, 120)) // they nearly do
	check("0-999,10-19", 10000, part(0, 1000))     // one lies in the other
	check("0-9,20000-", 10000, part(0, 10))        // one of them cannot be had
	check("20000-,30000-", 10000, Range{Kind: Unsatisfiable})
	check(",", 10000, Range{})
	check("0-9,9-5", 10000, Range{})                 // one is invalid
	check("0-9,x", 10000, Range{})                   //
	check("1000-1999,0-1500", 10000, Range{})        // they overlap, and not in order
	check("0-99,300-399", 400, Range{})              // the whole is shorter
	check(strings.Repeat("0-,", 40), 10000, Range{}) // too many, whatever they ask for
	check(strings.TrimSuffix(strings.Repeat("0-,", 32), ","), 10000, part(0, 10000))
}

// TestPartOf is RFC 9110 §14.4 and §15.3.7.
func TestPartOf(t *testing.T) {
	held, complete, ok := PartOf(fields("Content-Range: bytes 4-8/10 | Content-Type: video/mp4"), 5)
	if !ok || held != (Span{4, 5}) || complete != 10 {
		t.Errorf("got %v %d %t", held, complete, ok)
	}
	if _, _, ok = PartOf(fields("Content-Range: Bytes 4-8/10"), -1); !ok {
		t.Error("an open length was refused")
	}
	for _, lines := range []string{
		"", "Content-Range: bytes 4-9/10", "Content-Range: bytes 4-8/8", "Content-Range: bytes 4-8/*", "Content-Range: bytes */10",
		"Content-Range: items 4-8/10", "Content-Range: bytes 4-8", "Content-Range: bytes=4-8/10", "Content-Range: bytes 8-4/10",
		"Content-Range: bytes 4-8/99999999999999999999", "Content-Range: bytes  4-8/10", "Content-Range: bytes +4-8/10",
		"Content-Range: bytes 4-8/10 | Content-Range: bytes 4-8/10",
		"Content-Range: bytes 4-8/10 | Content-Type: multipart/byteranges; boundary=x",
	} {
		if _, _, ok := PartOf(fields(lines), 5); ok {
			t.Errorf("%q passed", lines)
		}
	}
}

// TestSameVersion is RFC 9110 §8.8.2.2 and §15.3.7.3.
func TestSameVersion(t *testing.T) {
	check := func(a, b string, want bool) {
		t.Helper()
		v, w := VersionOf(fields(a), now), VersionOf(fields(b), now)
		if got := v.Same(&w); got != want || w.Same(&v) != want {
			t.Errorf("%q and %q: got %t", a, b, got)
		}
	}
	check(`ETag: "a"`, `ETag: "a"`, true)
	check(`ETag: "a"`, `ETag: "b"`, false)
	check(`ETag: W/"a"`, `ETag: W/"a"`, false)
	check("", "", false)
	old, new := "Last-Modified: "+at(-time.Hour), "Last-Modified: "+at(-time.Second)
	check(old, old, true)
	check(old, "Last-Modified: "+at(-2*time.Hour), false)
	check(new, new, false)
	check(old+` | ETag: W/"a"`, old+` | ETag: W/"a"`, false)
	check(old+` | ETag: "a"`, old, false)
}

func TestMerge(t *testing.T) {
	stored := fields(`ETag: "a" | X: 1 | X: 2 | Content-Length: 5 | Content-Encoding: br | Content-Type: a/b | Keep: 1`)
	got := Merge(stored, fields(`ETag: "b" | x: 3 | Content-Length: 0 | Content-Encoding: gzip | Content-Type: c/d | New: 1`))
	want := fields(`ETag: "a" | Content-Length: 5 | Content-Encoding: br | Keep: 1 | x: 3 | Content-Type: c/d | New: 1`)
	if len(got) != len(want) {
		t.Fatalf("got %s", got)
	}
	for i := range want {
		if string(got[i].Name) != string(want[i].Name) || string(got[i].Value) != string(want[i].Value) {
			t.Errorf("line %d: got %s, want %s", i, got[i], want[i])
		}
	}
}
