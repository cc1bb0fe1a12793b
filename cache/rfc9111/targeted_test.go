package rfc9111

import (
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

func targets(list ...Target) func(*Rules) { return func(r *Rules) { r.Targets = list } }

// TestTargeted is RFC 9213 §2.1 and §2.2.
func TestTargeted(t *testing.T) {
	check := func(response string, reason Reason, lifetime time.Duration) {
		t.Helper()
		a := assess(judged{response: response, change: targets(TzeroCacheControl, CDNCacheControl)})
		if a.Reason != reason || a.Lifetime != lifetime {
			t.Errorf("%q: got %q, %s", response, a.Reason, a.Lifetime)
		}
	}
	const cdn = "CDN-Cache-Control: "
	check(cdn+"max-age=60", Storable, time.Minute)
	check(cdn+"max-age=60 | Cache-Control: no-store", Storable, time.Minute)
	check(cdn+"max-age=60 | Cache-Control: max-age=5 | Expires: "+at(time.Hour), Storable, time.Minute)
	check(cdn+"max-age=60, s-maxage=5", Storable, 5*time.Second)
	check(cdn+"no-store | Cache-Control: max-age=60", NotNoStore, 0)
	check(cdn+"private, max-age=60 | Cache-Control: max-age=60", NotPrivate, 0)
	check("Tzero-Cache-Control: max-age=7 | "+cdn+"max-age=60", Storable, 7*time.Second)
	check("Tzero-Cache-Control: no-store | "+cdn+"max-age=60", NotNoStore, 0)
	check(cdn+"max-age=1, max-age=60", Storable, time.Minute)
	check(cdn+"max-age=60 | "+cdn+"public", Storable, time.Minute)
	check(cdn+"max-age=60;x;y=1, unknown=(1 2)", Storable, time.Minute)
	check(cdn+"max-age=99999999999", Storable, maxDelta)
	// A field that stands there but says nothing: neither Cache-Control nor Expires counts.
	check(cdn+"none | Cache-Control: max-age=60 | Expires: "+at(time.Hour), NotImplicit, 0)
	// Empty or broken: as if it were not there.
	check(cdn+"| Cache-Control: max-age=60", Storable, time.Minute)
	check(cdn+"no-store, | Cache-Control: max-age=60", Storable, time.Minute)
	check(cdn+"MaX-aGe=5 | Cache-Control: max-age=60", Storable, time.Minute)
	check(cdn+"max-age =5 | Cache-Control: max-age=60", Storable, time.Minute)
	check(cdn+"max-age=5 | "+cdn+"no-store, & | Cache-Control: max-age=60", Storable, time.Minute)
	check("Tzero-Cache-Control: max-age= | "+cdn+"max-age=60", Storable, time.Minute)
	// A value of the wrong type permits nothing, and takes back nothing that it forbids.
	for _, v := range []string{`"60"`, "60.0", "a60", "-1", "?1", ":NjA=:", "(60)", "@60"} {
		check(cdn+"max-age="+v+" | Cache-Control: max-age=60", NotImplicit, 0)
	}
	check(cdn+"max-age=60, no-store=?0", Storable, time.Minute)
	check(cdn+"max-age=60, no-store=1", NotNoStore, 0)
	check(cdn+"max-age=60, private=1", NotPrivate, 0)
	check(cdn+"max-age=60, private=?0, no-cache=?0", Storable, time.Minute)
	check(cdn+`max-age=60, private="Set-Cookie" | Set-Cookie: a=b`, Storable, time.Minute)
}

func TestTargetsAreAList(t *testing.T) {
	both := "Tzero-Cache-Control: max-age=7 | CDN-Cache-Control: max-age=9 | Surrogate-Control: max-age=11 | Cache-Control: max-age=60"
	check := func(want time.Duration, list ...Target) {
		t.Helper()
		if a := assess(judged{response: both, change: targets(list...)}); a.Lifetime != want*time.Second {
			t.Errorf("%v: got %s", list, a.Lifetime)
		}
	}
	check(60)
	check(7, TzeroCacheControl, CDNCacheControl)
	check(9, CDNCacheControl, TzeroCacheControl)
	check(11, SurrogateControl)

	rules := defaults
	rules.Targets = []Target{TzeroCacheControl}
	own := Response{Status: 200, Fields: fields("Cache-Control: no-store"), Own: fields("Tzero-Cache-Control: max-age=7")}
	if a := Assess(&Request{Method: []byte("GET")}, &own, &rules, now, now); a.Reason != Storable || a.Lifetime != 7*time.Second {
		t.Errorf("the lines for this cache alone do not count: %q %s", a.Reason, a.Lifetime)
	}
}

func TestTargetedWindowsAndTraits(t *testing.T) {
	a := assess(judged{response: "CDN-Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=6, immutable, public | Cache-Control: must-revalidate",
		change: targets(CDNCacheControl)})
	if a.WhileStale != 5*time.Second || a.IfError != 6*time.Second || a.Traits&(TraitRevalidate|TraitImmutable|TraitForAuthorized) != TraitImmutable|TraitForAuthorized {
		t.Errorf("got %+v", a)
	}
	a = assess(judged{response: `CDN-Cache-Control: max-age=60, no-cache="X-A, X-B" | Cache-Control: no-cache="X-C"`, change: targets(CDNCacheControl)})
	if a.Traits&TraitNoCache != 0 || !a.Directives.Strips("x-b") || a.Directives.Strips("x-c") {
		t.Errorf("got %+v", a)
	}
}

// TestSurrogate is the Edge Architecture Specification, §2.2.
func TestSurrogate(t *testing.T) {
	check := func(control string, reason Reason, lifetime, stale time.Duration) {
		t.Helper()
		a := assess(judged{response: "Cache-Control: max-age=7 | Surrogate-Control: " + control, change: targets(SurrogateControl)})
		if a.Reason != reason || a.Lifetime != lifetime || a.WhileStale != stale || a.IfError != stale {
			t.Errorf("%q: got %q, %s, %s, %s", control, a.Reason, a.Lifetime, a.WhileStale, a.IfError)
		}
	}
	const sec = time.Second
	check("max-age=60", Storable, 60*sec, 0)
	check("MaX-aGe=60", Storable, 60*sec, 0)
	check("foobar, max-age=60", Storable, 60*sec, 0)
	check("max-age=60+30", Storable, 60*sec, 30*sec)
	check("max-age=60+x", Storable, 60*sec, 0)
	check("max-age=60;tzero", Storable, 60*sec, 0)
	check("max-age=60 ; Tzero", Storable, 60*sec, 0)
	check("max-age=60;other", Storable, 7*sec, 0)
	check("max-age=60;tzero, max-age=5", Storable, 60*sec, 0)
	check("max-age=5, max-age=60;tzero", Storable, 60*sec, 0)
	check("no-store;other, max-age=60", Storable, 60*sec, 0)
	check("no-store", NotNoStore, 0, 0)
	check("no-store-remote", NotNoStore, 0, 0)
	check("no-store, max-age=60", NotNoStore, 0, 0)
	check(`content="ESI/1.0"`, Storable, 7*sec, 0)
	check(`content="ESI/1.0 a,b;c", max-age=60`, Storable, 60*sec, 0)
	check("max-age =60", Storable, 7*sec, 0)
	check("max-age= 60", Storable, 7*sec, 0)
	check("max-age=x", Storable, 7*sec, 0)
	check("", Storable, 7*sec, 0)
	if a := assess(judged{response: "Cache-Control: no-store | Surrogate-Control: max-age=60", change: targets(SurrogateControl)}); a.Reason != Storable {
		t.Errorf("Cache-Control outweighs Surrogate-Control: %q", a.Reason)
	}
}

func TestStatusesByChoice(t *testing.T) {
	wanted := func(r *Rules) { r.StoreStatus = []int{400, 414} }
	for _, status := range []int{400, 414} {
		if a := assess(judged{status: status, response: "Cache-Control: max-age=60", change: wanted}); a.Reason != Storable {
			t.Errorf("%d: %q", status, a.Reason)
		}
	}
	if a := assess(judged{status: 413, response: "Cache-Control: max-age=60", change: wanted}); a.Reason != NotStatus {
		t.Errorf("413: %q", a.Reason)
	}
	modified := "Date: " + at(0) + " | Last-Modified: " + at(-1000*time.Second)
	heuristic := func(r *Rules) { wanted(r); r.NegativeTTL = time.Minute }
	if a := assess(judged{status: 414, response: modified, change: heuristic}); a.Reason != Storable || a.Lifetime != time.Minute {
		t.Errorf("414: %q %s", a.Reason, a.Lifetime)
	}
	if a := assess(judged{status: 400, response: modified, change: heuristic}); a.Reason != NotStatus {
		t.Errorf("400 without a lifetime: %q", a.Reason)
	}
}

func FuzzTargeted(f *testing.F) {
	for _, s := range []string{"max-age=60, no-store", `private="a, b";x`, "max-age=60+30;tzero, no-store;x", "none", "max-age=1.5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for i, parse := range []func(field.List, string) (Directives, bool){parseTargeted, parseSurrogate} {
			l := field.List{{Name: []byte("X"), Value: []byte(s)}}
			d, ok := parse(l, "X")
			for _, n := range []int64{d.MaxAge, d.SMaxAge, d.StaleIfError, d.StaleWhileRevalidate} {
				if n < 0 || n > MaxDelta {
					t.Fatalf("%q: %+v", s, d)
				}
			}
			// A restriction on a line of its own stays one, whatever stands in front of it, or the field is no field at all.
			more, valid := parse(append(l, field.Field{Name: []byte("X"), Value: []byte("no-store")}), "X")
			if (i == 1 || valid) && !more.Has(NoStore) || ok && i == 0 && !valid && s != "" && s[len(s)-1] != ' ' {
				t.Fatalf("%q hides no-store", s)
			}
		}
	})
}
