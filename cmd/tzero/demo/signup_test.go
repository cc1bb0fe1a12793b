package demo

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestSignup(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	h := New(Options{Now: func() time.Time { return now }})
	const form = "application/x-www-form-urlencoded"
	first := post(t, h, "/signup", form, "email=Ada%40example.com")
	if first.StatusCode != http.StatusSeeOther || first.Header.Get("Location") != "/welcome" {
		t.Fatalf("a sign-up got %d to %q", first.StatusCode, first.Header.Get("Location"))
	}
	cookie := first.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie is open to scripts or to other sites: %v", cookie)
	}
	send := "Cookie: " + cookie.Name + "=" + cookie.Value
	me := get(t, h, "/api/me", send)
	if got, want := body(t, me), `{"email":"ada@example.com","position":1,"at":"2026-11-23T09:00:00Z"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if me.Header.Get("Cache-Control") != "private, no-cache" || me.Header.Get("Vary") != "Cookie" {
		t.Errorf("a private answer is marked %v", me.Header)
	}
	if page := body(t, get(t, h, "/welcome", send)); !strings.Contains(page, "ada@example.com") {
		t.Error("the welcome page does not know its visitor")
	}
	if again := post(t, h, "/signup", form, "email=ada%40EXAMPLE.com"); again.Cookies()[0].Value != cookie.Value {
		t.Error("the same address got a second place")
	}
	if count := body(t, get(t, h, "/api/launch-count")); !strings.Contains(count, `"count":1,`) {
		t.Errorf("the count is %s", count)
	}
}

func TestSignupRefuses(t *testing.T) {
	h := New(Options{})
	refused := func(contentType, form string, status int) {
		t.Helper()
		res := post(t, h, "/signup", contentType, form)
		if res.StatusCode != status || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("%.60q got %d, %v; want %d", form, res.StatusCode, res.Header, status)
		}
	}
	const form = "application/x-www-form-urlencoded"
	refused(form, "", 422)
	refused(form, "email=", 422)
	refused(form, "email=nobody", 422)
	refused(form, "email=a%40b", 422)
	refused(form, "email=Ada+%3Cada%40example.com%3E", 422)
	refused(form, "email="+strings.Repeat("a", 300)+"%40example.com", 422)
	refused(form, "email=%zz", 400)
	refused(form, "email="+strings.Repeat("a", maxFormBytes), 413)
	refused("text/plain", "email=ada%40example.com", 422)

	typed := post(t, h, "/signup", form, "email="+url.QueryEscape(`"><script>`))
	if page := body(t, typed); strings.Contains(page, "<script>") || !strings.Contains(page, `role="alert"`) {
		t.Error("the refused address is not escaped, or its problem is not said")
	}
}

func TestTheListForgetsTheOldest(t *testing.T) {
	var l signups
	for i := range maxSignups + 3 {
		l.add(fmt.Sprintf("%d@example.com", i), fmt.Sprintf("s%d", i), time.Time{})
	}
	if l.count() != maxSignups+3 || len(l.ring) != maxSignups || len(l.byEmail) != maxSignups || len(l.bySession) != maxSignups {
		t.Errorf("%d counted, %d kept, %d addresses, %d sessions", l.count(), len(l.ring), len(l.byEmail), len(l.bySession))
	}
	if _, ok := l.find("s2"); ok {
		t.Error("an overwritten sign-up is still found")
	}
	if s, ok := l.find("s3"); !ok || s.Position != 4 {
		t.Errorf("the oldest that is kept is %+v", s)
	}
}
