package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/demo"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/browser"
)

func TestTheDemoInABrowser(t *testing.T) {
	done := make(chan struct{})
	app := httptest.NewServer(demo.New(demo.Options{Done: done}))
	defer app.Close()
	defer close(done) // before Close, which waits for the streams
	b := browser.Start(t)

	clean := func(t *testing.T, tab *browser.Tab) {
		t.Helper()
		if complaints := tab.Seen().Complaints(); len(complaints) > 0 {
			t.Errorf("the browser complains:\n%s", strings.Join(complaints, "\n"))
		}
	}
	t.Run("pages", func(t *testing.T) {
		tab := b.Tab(t)
		for _, path := range []string{"/", "/pricing", "/about", "/signup", "/early"} {
			tab.Open(app.URL + path)
			if s := tab.Snapshot(); s.Path != path || !strings.Contains(s.Title, "Nimbus Notes") {
				t.Errorf("opened %s, got %q at %q", path, s.Title, s.Path)
			}
		}
		clean(t, tab)
	})
	t.Run("the second load comes from the browser's cache", func(t *testing.T) {
		tab := b.Tab(t)
		tab.Open(app.URL + "/")
		first := tab.Seen()
		tab.Forget()
		tab.Open(app.URL + "/")
		second := tab.Seen()
		page, _ := second.Find(app.URL + "/")
		if page.Status != 200 {
			t.Errorf("the page is %+v", page)
		}
		css := func(s browser.Seen) (r browser.Request) {
			for _, r = range s.Requests {
				if strings.HasSuffix(r.URL, ".css") {
					break
				}
			}
			return r
		}
		if a, b := css(first), css(second); a.FromCache || a.Wire != 200 || a.Header.Get("Cache-Control") == "" || !b.FromCache {
			t.Errorf("the style sheet, first and second: %+v, %+v", a, b)
		}
		if !strings.Contains(second.CacheTable(), "(the browser's own cache)") {
			t.Errorf("the table does not say so:\n%s", second.CacheTable())
		}
	})
	t.Run("sign-up", func(t *testing.T) {
		tab := b.Tab(t)
		tab.Open(app.URL + "/")
		tab.Type("#email", "ada@example.com")
		tab.Click(".join button")
		if s := tab.Snapshot(); s.Path != "/welcome" || !strings.Contains(strings.Join(s.Text, "\n"), "Number 1, as ada@example.com") {
			t.Errorf("got to %q: %q", s.Path, s.Text)
		}
		if post, ok := tab.Seen().Find("/signup"); !ok || post.Method != "POST" || post.Status != http.StatusSeeOther || post.Header.Get("Set-Cookie") == "" {
			t.Errorf("the form was sent as %+v", post)
		}
		clean(t, tab)
	})
	t.Run("live", func(t *testing.T) {
		tab := b.Tab(t)
		tab.Open(app.URL + "/live")
		tab.WaitFor(`/^\d{4}-/.test(document.getElementById("clock").textContent)`)
		tab.WaitFor(`!document.getElementById("echo-form").hidden`)
		tab.Click("#echo-form button")
		tab.WaitFor(`document.getElementById("echoed").textContent === "It came back: Hello, edge"`)
		if ws, ok := tab.Seen().Find("/ws"); !ok || ws.Status != http.StatusSwitchingProtocols {
			t.Errorf("the WebSocket is %+v", ws)
		}
		clean(t, tab)
	})
	t.Run("variants and sizes", func(t *testing.T) {
		tab := b.Tab(t)
		tab.Size(390, 844)
		tab.Open(app.URL + "/")
		if width := tab.Text(`String(document.documentElement.scrollWidth)`); width != "390" {
			t.Errorf("the page is %s pixels wide on a phone of 390", width)
		}
		file := filepath.Join(t.TempDir(), "shots", "phone.png")
		tab.Screenshot(file)
		if png, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
			t.Errorf("the screenshot: %d bytes, %v", len(png), err)
		}
	})
}

// A page with every fault there is: an observer that stays silent proves nothing.
func TestFaultsAreSeen(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<!doctype html><html lang="en"><title>Faults</title><link rel="icon" href="data:,"><body><img src="/missing.png" alt="">
				<script>console.error("said", {a: 1}); console.warn("warned"); console.log("unheard"); fetch("/cut").catch(() => {}); throw new Error("thrown")</script>`)
		case "/cut":
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	}))
	defer app.Close()
	tab := browser.Start(t).Tab(t)
	tab.Open(app.URL + "/")
	complaints := strings.Join(tab.Seen().Complaints(), "\n")
	for _, want := range []string{"console error: said Object", "console warning: warned", "Error: thrown", "/missing.png: 404", "/cut: 0 net::ERR_"} {
		if !strings.Contains(complaints, want) {
			t.Errorf("%q is not among the complaints:\n%s", want, complaints)
		}
	}
	if strings.Contains(complaints, "unheard") {
		t.Errorf("console.log is no complaint:\n%s", complaints)
	}
	tab.Forget()
	if complaints := tab.Seen().Complaints(); len(complaints) > 0 {
		t.Errorf("not forgotten: %q", complaints)
	}
}

func TestSnapshotsAreCompared(t *testing.T) {
	a := browser.Snapshot{Path: "/", Title: "A", Text: []string{"at 12:00"}, DOM: []string{"html", " body", "  at 12:00"}}
	differs := func(change func(*browser.Snapshot), want string) {
		t.Helper()
		b := a.Without(regexp.MustCompile(`^$`))
		change(&b)
		if got := a.Diff(b); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	differs(func(*browser.Snapshot) {}, "")
	differs(func(b *browser.Snapshot) { b.Path = "/b" }, `path: "/", "/b"`)
	differs(func(b *browser.Snapshot) { b.Title = "B" }, `title: "A", "B"`)
	differs(func(b *browser.Snapshot) { b.Text = nil }, `text, line 1: "at 12:00", "(nothing)"`)
	differs(func(b *browser.Snapshot) { b.DOM = append(b.DOM, " more") }, `DOM, line 4: "(nothing)", " more"`)

	later := browser.Snapshot{Path: "/", Title: "A", Text: []string{"at 12:01"}, DOM: []string{"html", " body", "  at 12:01"}}
	if a.Diff(later) == "" {
		t.Error("the times were not compared")
	}
	clock := regexp.MustCompile(`\d\d:\d\d`)
	if d := a.Without(clock).Diff(later.Without(clock)); d != "" {
		t.Errorf("masked snapshots differ by %q", d)
	}
}
