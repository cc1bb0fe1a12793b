//go:build nextapp

package nextapp_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/browser"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/nextapp"
)

// volatile is what differs between two loads of the same page: ports, times in milliseconds, counters.
var volatile = regexp.MustCompile(`127\.0\.0\.1:\d+|\b1[0-9]{12}\b|Counter: -?\d+`)

// Three visitors look at every page: one directly, one through the gateway, one through it after that. All
// must see the same, none may hear a complaint, and the third must be served from memory what may be.
func TestSamePagesThroughTheGateway(t *testing.T) {
	b := browser.Start(t)
	for _, app := range nextapp.Apps() {
		t.Run(string(app), func(t *testing.T) {
			s := nextapp.Start(t, app)
			gw := harness.Start(t, harness.Config{Origin: s.URL}.YAML(t))
			direct, first, second := b.Tab(t), b.Tab(t), b.Tab(t)
			for _, path := range app.Pages() {
				want := visit(direct, s.URL+path)
				if d := want.Diff(visit(first, gw.URL+path)); d != "" {
					t.Errorf("%s differs through the gateway: %s", path, d)
				}
				if d := want.Diff(visit(second, gw.URL+path)); d != "" {
					t.Errorf("%s differs from the cache: %s", path, d)
				}
			}
			for name, tab := range map[string]*browser.Tab{"direct": direct, "through": first, "cached": second} {
				noComplaints(t, name, tab)
			}
			fromMemory(t, second.Seen())
			t.Logf("what the second visitor got:\n%s", second.Seen().CacheTable())
		})
	}
}

func visit(tab *browser.Tab, url string) browser.Snapshot {
	tab.Open(url)
	tab.WaitFor(`!document.body.innerText.includes("Not there yet.")`) // the page that comes in parts
	return tab.Snapshot().Without(volatile)
}

func noComplaints(t *testing.T, who string, tab *browser.Tab) {
	t.Helper()
	if complaints := tab.Seen().Complaints(); len(complaints) > 0 {
		t.Errorf("%s: %s", who, strings.Join(complaints, "\n"))
	}
}

// fromMemory asserts that what the app allows to be kept came from the gateway's memory, and nothing else.
func fromMemory(t *testing.T, seen browser.Seen) {
	t.Helper()
	for _, r := range seen.Requests {
		if r.FromCache || r.Wire == 0 {
			continue // the gateway was not asked
		}
		status := r.Header.Get("Cache-Status")
		hit := strings.HasPrefix(status, "tzero; hit")
		switch control := r.Header.Get("Cache-Control"); {
		case strings.Contains(control, "no-store") && hit:
			t.Errorf("%s must not be stored, and is: %s", r.URL, status)
		case (strings.Contains(control, "immutable") || strings.Contains(control, "s-maxage") || strings.Contains(r.URL, "/_next/image")) && !hit:
			t.Errorf("%s (%s) did not come from memory: %s", r.URL, control, status)
		case status == "":
			t.Errorf("%s has no Cache-Status", r.URL)
		}
	}
}

// noteParts writes down when each part of a page that streams became visible.
const noteParts = `(() => {
  window.parts = {};
  new MutationObserver(() => {
    for (const ms of [500, 1500]) {
      if (document.getElementById("part-" + ms)) parts[ms] ??= performance.now();
    }
  }).observe(document, { childList: true, subtree: true });
  return "";
})()`

// What the pages do without being loaded anew: navigation, mutations, data.
func TestClicksThroughTheGateway(t *testing.T) {
	b := browser.Start(t)
	open := func(t *testing.T, app nextapp.App, path string) *browser.Tab {
		t.Helper()
		s := nextapp.Start(t, app)
		gw := harness.Start(t, harness.Config{Origin: s.URL}.YAML(t))
		tab := b.Tab(t)
		tab.Open(gw.URL + path)
		return tab
	}
	t.Run("a tRPC mutation", func(t *testing.T) {
		tab := open(t, nextapp.T3, "/")
		tab.Type("form input", "Through the gateway")
		tab.Click("form button")
		tab.WaitFor(`document.body.innerText.includes("Your most recent post: Through the gateway")`)
		noComplaints(t, "t3", tab)
	})
	t.Run("navigation by data", func(t *testing.T) {
		tab := open(t, nextapp.Tutorial, "/")
		tab.Click(`a[href="/posts/pre-rendering"]`)
		tab.WaitFor(`document.querySelector("article h1")?.textContent === "Two Forms of Pre-rendering"`)
		tab.Click(`a[href="/"]`)
		tab.WaitFor(`location.pathname === "/" && document.body.innerText.includes("Blog")`)
		noComplaints(t, "tutorial", tab)
	})
	t.Run("navigation to a page that streams", func(t *testing.T) {
		tab := open(t, nextapp.Slow, "/")
		tab.Text(noteParts)
		tab.Click(`a[href="/stream"]`)
		tab.WaitFor(`parts[1500]`)
		if apart, err := strconv.ParseFloat(tab.Text(`String(parts[1500] - parts[500])`), 64); err != nil || apart < 500 {
			t.Errorf("the parts came %v ms apart, %v; the app sends them 1000 ms apart", apart, err)
		}
		noComplaints(t, "slow", tab)
	})
	t.Run("navigation between revalidated pages", func(t *testing.T) {
		tab := open(t, nextapp.CacheLab, "/")
		const page = "/pages/revalidated-fetch/revalidate15--default-page"
		tab.Click(`a[href="` + page + `"]`)
		tab.WaitFor(`location.pathname === "` + page + `" && document.body.innerText.includes("Timestamp")`)
	})
}
