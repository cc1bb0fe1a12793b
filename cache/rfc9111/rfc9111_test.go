package rfc9111

import (
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fields makes a list of "Name: value" lines separated by newlines or " | ".
func fields(s string) field.List {
	var l field.List
	for line := range strings.SplitSeq(strings.ReplaceAll(s, " | ", "\n"), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			l.AddString(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return l
}

func at(d time.Duration) string { return string(AppendDate(nil, now.Add(d))) }

func TestParseDate(t *testing.T) {
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		if got, ok := ParseDate([]byte(s), now); !ok || !got.Equal(want) {
			t.Errorf("%q: got %s %v", s, got, ok)
		}
	}
	for s, year := range map[string]int{
		"Sunday, 06-Nov-94 08:49:37 GMT": 1994, "Saturday, 06-Nov-70 08:49:37 GMT": 2070,
		"Friday, 01-Jan-76 08:49:37 GMT": 2076, "Monday, 02-Mar-76 12:00:00 GMT": 1976,
	} {
		if got, ok := ParseDate([]byte(s), now); !ok || got.Year() != year {
			t.Errorf("%q: got %s %v, want %d", s, got, ok, year)
		}
	}
	for _, s := range []string{
		"", "0", "foo", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 gmt",
		"Sun,  06 Nov 1994 08:49:37 GMT", "Sun, 06  Nov  1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
		"Sun 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06 Nov 1994 08.49.37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 gmt", "Sunda, 06-Nov-94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994", "Sun Nov 06 08:49:37 199x",
		"Sun, 06 Nov +994 08:49:37 GMT",
	} {
		if got, ok := ParseDate([]byte(s), now); ok {
			t.Errorf("%q was read as %s", s, got)
		}
	}
}

func TestDateRoundTrip(t *testing.T) {
	f := func(n uint32) bool {
		want := time.Unix(int64(n), 0)
		got, ok := ParseDate(AppendDate(nil, want), want)
		return ok && got.Equal(want)
	}
	if err := quick.Check(f, nil); err != nil {
		t.Error(err)
	}
}

func TestDirectives(t *testing.T) {
	check := func(in string, flags Flag, maxAge int64) {
		t.Helper()
		d := Parse(fields(in), "Cache-Control")
		if d.Flags != flags || d.MaxAge != maxAge {
			t.Errorf("%q: got %b max-age=%d, want %b max-age=%d", in, d.Flags, d.MaxAge, flags, maxAge)
		}
	}
	check("Cache-Control: max-age=3600", MaxAge, 3600)
	check("Cache-Control: MaX-aGe=3600, PUBLIC", MaxAge|Public, 3600)
	check(`Cache-Control: max-age="3600"`, MaxAge, 3600)
	check("Cache-Control: max-age='3600'", MaxAge, 0)
	check("Cache-Control: max-age=003600", MaxAge, 3600)
	check("Cache-Control: max-age=99999999999999999999", MaxAge, MaxDelta)
	check("Cache-Control: max-age=-1", MaxAge, 0)
	check("Cache-Control: max-age=1.5", MaxAge, 0)
	check("Cache-Control: max-age", MaxAge, 0)
	check("Cache-Control: max-age=", MaxAge, 0)
	check("Cache-Control: max-age =5", MaxAge|Unreadable, 0)
	check("Cache-Control: max-age= 5", MaxAge|Unreadable, 0)
	check("Cache-Control: max-age=5; public", MaxAge|Unreadable, 0)
	check("Cache-Control: max-age=5 public", MaxAge|Unreadable, 0)
	check("Cache-Control: max-age=1, max-age=3600", MaxAge, 1)
	check("Cache-Control: max-age=3600 | Cache-Control: max-age=1", MaxAge, 3600)
	check(`Cache-Control: extension="max-age=3600", max-age=1`, MaxAge, 1)
	check(`Cache-Control: extension="a\", max-age=3600", max-age=1`, MaxAge, 1)
	check(`Cache-Control: extension="max-age=3600`, 0, 0)
	check(", ,  max-age=1", 0, 0)
	check("Cache-Control: , ,no-store,, private ,", NoStore|Private, 0)
	check("Cache-Control: =5, max-age=1", Unreadable|MaxAge, 1)
	check(`Cache-Control: no-cache="a, b", max-age=5`, NoCacheFields|MaxAge, 5)
	check(`Cache-Control: no-cache=""`, NoCache, 0)
	check(`Cache-Control: no-cache="a", no-cache`, NoCacheFields|NoCache, 0)
	check(`Cache-Control: private="a" | Cache-Control: private="b"`, PrivateFields|Private, 0)
	check("Cache-Control: private=set-cookie", PrivateFields, 0)
	check("Cache-Control: private foo", Private|Unreadable, 0)
	d := Parse(fields(`Cache-Control: no-cache="a, Set-Cookie", private="X-B", max-stale`), "Cache-Control")
	if !d.Strips("set-cookie") || !d.Strips("A") || !d.Strips("x-b") || d.Strips("b") || d.MaxStale != MaxDelta {
		t.Errorf("got %+v", d)
	}
}

func TestAge(t *testing.T) {
	check := func(in string, want time.Duration, ok bool) {
		t.Helper()
		if got, good := AgeValue(fields(in)); good != ok || (ok && got != want) {
			t.Errorf("%q: got %s %v", in, got, good)
		}
	}
	check("", 0, true)
	check("Age: 30", 30*time.Second, true)
	check("Age: 0,7200", 0, true)
	check("Age: 7200,0", 7200*time.Second, true)
	for _, bad := range []string{"abc", "-1", "1.0", "7200;foo=bar", "", "0, 0", "3600, 3600", "2147483648", "99999999999", "+1"} {
		check("Age: "+bad, 0, false)
	}
	check("Age: 0 | Age: 0", 0, false)
	check("Age: 0 | Age: 7200", 0, false)
}

// TestInitialAge is §4.2.3.
func TestInitialAge(t *testing.T) {
	check := func(in string, date, delay, want time.Duration) {
		t.Helper()
		if got := InitialAge(fields(in), now.Add(date), now.Add(-delay), now); got != want {
			t.Errorf("%q date %s delay %s: got %s, want %s", in, date, delay, got, want)
		}
	}
	check("", 0, 0, 0)
	check("", -10*time.Second, 0, 10*time.Second)             // apparent_age
	check("", 10*time.Second, 0, 0)                           // a fast clock
	check("Age: 30", 0, 0, 30*time.Second)                    // age_value
	check("Age: 30", 0, 5*time.Second, 35*time.Second)        // response_delay
	check("Age: 30", -60*time.Second, 0, 60*time.Second)      // the greater of both
	check("Age: x", 0, 0, MaxDelta*time.Second)               // unreadable: older than anything
	check("", -200*365*24*time.Hour, 0, MaxDelta*time.Second) // and never more than that
}

type judged struct {
	request  string
	status   int
	response string
	change   func(*Rules)
	query    bool
	body     bool
}

var defaults = Rules{HeuristicMax: 10 * time.Minute, HTMLMax: 10 * time.Minute, ServerErrorMax: time.Second}

// requestOf is a GET with these fields.
func requestOf(l field.List) Request {
	d := RequestDirectives(l)
	return Request{Method: []byte("GET"), NoStore: d.Any(NoStore), Authorization: l.Has("Authorization"), Cookie: l.Has("Cookie")}
}

func assess(c judged) Assessment {
	if c.status == 0 {
		c.status = 200
	}
	rules := defaults
	if c.change != nil {
		c.change(&rules)
	}
	req := requestOf(fields(c.request))
	req.HasQuery, req.HasBody = c.query, c.body
	return Assess(&req, &Response{Status: c.status, Fields: fields(c.response)}, &rules, now, now)
}

// TestStorable is §3 with §3.3 and §3.5, and tzero's own rules.
func TestStorable(t *testing.T) {
	check := func(c judged, want Reason) {
		t.Helper()
		if a := assess(c); a.Reason != want {
			t.Errorf("%+v: got %q, want %q", c, a.Reason, want)
		}
	}
	fresh := "Cache-Control: max-age=60"
	check(judged{response: fresh}, Storable)
	check(judged{response: "Expires: " + at(time.Minute)}, Storable)
	check(judged{response: ""}, NotImplicit)
	check(judged{response: `ETag: "a"`}, Storable)
	check(judged{response: `ETag: "a"`, request: "Cookie: a=b"}, NotCookie)
	check(judged{response: `ETag: "a" | Cache-Control: max-age=0`}, Storable)
	check(judged{response: `ETag: "a" | Cache-Control: no-cache`}, Storable)
	check(judged{response: `Cache-Control: no-cache`}, NotStaleOnArrival)
	check(judged{response: `Cache-Control: max-age=0`}, NotStaleOnArrival)
	check(judged{response: `Cache-Control: max-age=0, stale-while-revalidate=60`}, Storable)
	check(judged{response: fresh + " | Age: 61"}, NotStaleOnArrival)
	check(judged{response: fresh, request: "Cookie: a=b"}, Storable)
	check(judged{response: fresh, body: true}, NotRequestBody)
	check(judged{response: fresh, request: "Cache-Control: no-store"}, NotRequestNoStore)

	check(judged{response: "Cache-Control: max-age=60, no-store"}, NotNoStore)
	check(judged{response: "Cache-Control: max-age=60, No-StOrE"}, NotNoStore)
	check(judged{response: "Cache-Control: max-age=60, private"}, NotPrivate)
	check(judged{response: `Cache-Control: max-age=60, private="X"`}, Storable)
	check(judged{response: fresh + " | Vary: *"}, NotVaryAny)
	check(judged{response: fresh + " | Vary: | Vary: a, *"}, NotVaryAny)
	check(judged{response: fresh + " | Vary: a b"}, NotVaryAny)
	check(judged{response: fresh + " | Vary: a,b,c,d,e,f,g,h,A"}, Storable)
	check(judged{response: fresh + " | Vary: a,b,c,d,e,f,g,h,i"}, NotVaryMany)
	check(judged{response: fresh + " | Vary: Accept-Encoding | Content-Encoding: br"}, Storable)
	check(judged{response: fresh + " | Vary: Accept-Encoding | Content-Encoding: deflate"}, NotCoding)
	check(judged{response: fresh + " | Vary: Accept-Encoding | Content-Encoding: gzip | Content-Encoding: compress"}, NotCoding)
	check(judged{response: fresh + " | Vary: Accept-Encoding | Content-Encoding: gzip, deflate"}, NotCoding)
	check(judged{response: fresh + " | Vary: Accept-Encoding | Content-Encoding: gzip, br"}, Storable)
	check(judged{response: fresh + " | Content-Encoding: deflate"}, Storable)
	check(judged{response: fresh + " | Content-Encoding: Identity"}, Storable)
	check(judged{response: fresh + " | Vary: a,b,c,d,e,f,g,h | Content-Encoding: br"}, NotVaryMany)
	check(judged{response: fresh + " | Set-Cookie: a=b"}, NotSetCookie)
	check(judged{response: `Cache-Control: max-age=60, no-cache="set-cookie" | Set-Cookie: a=b`}, Storable)
	check(judged{response: fresh + " | Set-Cookie: a=b", change: func(r *Rules) { r.StoreSetCookie = true }}, Storable)
	check(judged{response: fresh + " | Content-Type: text/event-stream; charset=utf-8"}, NotEventStream)

	auth := "Authorization: Basic eDp5"
	check(judged{request: auth, response: fresh}, NotAuthorization)
	check(judged{request: auth, response: fresh + ", public"}, Storable)
	check(judged{request: auth, response: fresh + ", must-revalidate"}, Storable)
	check(judged{request: auth, response: "Cache-Control: s-maxage=60"}, Storable)
	check(judged{request: auth, response: fresh + ", proxy-revalidate"}, NotAuthorization)

	for _, status := range []int{200, 203, 204, 299, 301, 302, 303, 307, 308, 404, 410, 499, 500, 502, 503, 504, 599} {
		check(judged{status: status, response: fresh}, Storable)
	}
	for _, status := range []int{100, 103, 199} {
		check(judged{status: status, response: fresh}, NotStatusInterim)
	}
	check(judged{status: 206, response: fresh}, NotStatusPartial)
	check(judged{status: 304, response: fresh}, NotStatusPartial)
	for _, status := range []int{400, 408, 413, 414, 417, 421, 428, 429, 431, 505, 511} {
		check(judged{status: status, response: fresh}, NotStatus)
	}
	for _, status := range []int{404, 500, 503} {
		check(judged{status: status, response: "Last-Modified: " + at(-time.Hour) + " | Date: " + at(0)}, NotStatus)
	}
	check(judged{status: 599, response: fresh + ", must-understand"}, NotUnderstood)
	check(judged{status: 200, response: fresh + ", must-understand, no-store"}, Storable)
	check(judged{status: 599, response: fresh + ", must-understand, no-store"}, NotUnderstood)

	if a := Assess(&Request{Method: []byte("POST")}, &Response{Status: 200, Fields: fields(fresh)}, &defaults, now, now); a.Reason != NotMethod {
		t.Errorf("POST: got %q", a.Reason)
	}
}

// TestLifetime is §4.2.1 and §4.2.2.
func TestLifetime(t *testing.T) {
	check := func(c judged, want time.Duration) {
		t.Helper()
		if a := assess(c); a.Lifetime != want {
			t.Errorf("%+v: got %s, want %s", c, a.Lifetime, want)
		}
	}
	date := "Date: " + at(0) + " | "
	check(judged{response: "Cache-Control: max-age=60, s-maxage=5 | Expires: " + at(time.Hour)}, 5*time.Second)
	check(judged{response: "Cache-Control: max-age=60 | Expires: " + at(time.Hour)}, time.Minute)
	check(judged{response: "Cache-Control: max-age=60 | Expires: 0"}, time.Minute)
	check(judged{response: date + "Expires: " + at(time.Hour)}, time.Hour)
	check(judged{response: "Date: foo | Expires: " + at(10*time.Second)}, 10*time.Second)
	check(judged{response: "Date: " + at(400*time.Second) + " | Expires: " + at(300*time.Second)}, 0)
	check(judged{response: date + "Expires: 0"}, 0)
	check(judged{response: date + "Expires: " + at(time.Hour) + " | Expires: " + at(time.Minute)}, 0)
	check(judged{response: date + "Expires: " + at(time.Hour) + " | Expires: " + at(time.Hour)}, time.Hour)

	modified := date + "Last-Modified: " + at(-1000*time.Second)
	check(judged{response: modified}, 100*time.Second)
	check(judged{response: date + "Last-Modified: " + at(-240*time.Hour)}, 10*time.Minute)
	check(judged{response: date + "Last-Modified: " + at(time.Hour)}, 0)
	check(judged{response: modified, query: true}, 0)
	check(judged{response: modified, request: "Cookie: a=b"}, 0)
	check(judged{response: modified, status: 201}, 0)
	check(judged{response: modified, status: 599}, 0)
	check(judged{response: modified + " | Cache-Control: public", status: 299}, 100*time.Second)
	check(judged{response: modified, change: func(r *Rules) { r.HeuristicMax = 0 }}, 0)

	html := " | Content-Type: Text/HTML; charset=utf-8"
	check(judged{response: "Cache-Control: max-age=31536000" + html}, 10*time.Minute)
	check(judged{response: "Cache-Control: max-age=31536000 | Age: 100" + html}, 10*time.Minute+100*time.Second)
	check(judged{response: "Cache-Control: max-age=31536000" + html, change: func(r *Rules) { r.HTMLMax = 0 }}, 31536000*time.Second)
	check(judged{response: "Cache-Control: max-age=60", status: 500}, time.Second)
	check(judged{response: "", status: 404, change: func(r *Rules) { r.NegativeTTL = 5 * time.Second }}, 5*time.Second)
	check(judged{response: "", status: 501, change: func(r *Rules) { r.NegativeTTL = 5 * time.Second }}, time.Second)
	check(judged{response: "", status: 500, change: func(r *Rules) { r.NegativeTTL = 5 * time.Second }}, 0)
	check(judged{response: "Cache-Control: max-age=60", status: 404, change: func(r *Rules) { r.NegativeTTL = 5 * time.Second }}, time.Minute)

	ttl := func(r *Rules) { r.Mode, r.TTL = TTL, time.Hour }
	check(judged{response: "Cache-Control: max-age=0, private" + html, change: ttl}, time.Hour)
	check(judged{response: "Cache-Control: max-age=5 | Age: 100", change: ttl}, time.Hour+100*time.Second)
	check(judged{response: "Cache-Control: max-age=5", status: 404, change: ttl}, 5*time.Second)
}

func TestWindows(t *testing.T) {
	check := func(cc string, change func(*Rules), while, failing time.Duration) {
		t.Helper()
		a := assess(judged{response: "Cache-Control: " + cc, change: change})
		if a.WhileStale != while || a.IfError != failing {
			t.Errorf("%q: got %s and %s", cc, a.WhileStale, a.IfError)
		}
	}
	operator := func(r *Rules) { r.WhileStale, r.IfError = time.Minute, time.Hour }
	check("max-age=5, stale-while-revalidate=7, stale-if-error=9", nil, 7*time.Second, 9*time.Second)
	check("s-maxage=5, stale-while-revalidate=7", operator, 7*time.Second, 0)
	check("max-age=5", operator, time.Minute, time.Hour)
	check("max-age=5, stale-while-revalidate=7", operator, 7*time.Second, time.Hour)
	check("max-age=5, must-revalidate, stale-while-revalidate=7", operator, 0, 0)
	check("max-age=5, proxy-revalidate, stale-if-error=7", operator, 0, 0)
	check("no-cache, stale-if-error=7", operator, 0, 0)
	check("max-age=0", operator, 0, 0)
}

// TestReuse is §4.2, §4.2.4 and §5.2.1.
// TestFreshnessIsMonotonic: once a response needs validation, waiting does not make it reusable again; and
// a longer lifetime never makes it less reusable.
// TestSelecting is §4.1.
// TestCondition is §4.3.2 and RFC 9110 §13.2.2.
// TestRange is RFC 9110 §14.1.2, §14.2 and §13.1.5.
// TestMerge is §3.2 and §4.3.4.

// TestCodedResponsesVary: what is coded was selected by Accept-Encoding, said or not.
func TestCodedResponsesVary(t *testing.T) {
	check := func(response string, names ...string) {
		t.Helper()
		v := VaryOf(fields(response))
		if v.N != len(names) || v.Any || v.Many {
			t.Fatalf("%q: got %+v", response, v)
		}
		for i, n := range names {
			if string(v.Names[i]) != n {
				t.Errorf("%q: name %d is %q", response, i, v.Names[i])
			}
		}
	}
	check("Content-Encoding: br", "Accept-Encoding")
	check("Content-Encoding: | Content-Encoding: gzip | Vary: X", "X", "Accept-Encoding")
	check("Content-Encoding: gzip | Vary: accept-encoding", "accept-encoding")
	check("Content-Encoding: identity")
	check("Content-Type: text/html")
}
