// Package launchpage opens the demo's launch page in a real browser, through the real binary.
package launchpage

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/demo"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/browser"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// TestSecondLoadIsServedFromTheCache: a first visitor's browser has the page and its assets fetched, a second
// visitor's gets all of them from memory, sees the same, and neither hears a complaint.
func TestSecondLoadIsServedFromTheCache(t *testing.T) {
	origin := httptest.NewServer(demo.New(demo.Options{}))
	t.Cleanup(origin.Close)
	gw := harness.Start(t, harness.Config{Origin: origin.URL}.YAML(t))
	b := browser.Start(t)
	first, second := b.Tab(t), b.Tab(t)
	first.Open(gw.URL + "/")
	first.Settle()
	second.Open(gw.URL + "/")
	second.Settle()
	if text := second.Text("document.body.innerText"); !strings.Contains(text, "Nimbus Notes") {
		t.Errorf("the second visitor reads %.200q", text)
	}
	for name, tab := range map[string]*browser.Tab{"first": first, "second": second} {
		if c := tab.Seen().Complaints(); len(c) > 0 {
			t.Errorf("%s visitor: %s", name, strings.Join(c, "\n"))
		}
	}
	t.Logf("what the second visitor got:\n%s", second.Seen().CacheTable())
	hits := 0
	for line := range strings.SplitSeq(second.Seen().CacheTable(), "\n") {
		if strings.Contains(line, "Document") && !strings.Contains(line, "tzero; hit") {
			t.Errorf("the page did not come from memory: %s", line)
		}
		if strings.Contains(line, "/static/") && !strings.Contains(line, "tzero; hit") && !strings.Contains(line, "own cache") {
			t.Errorf("an asset did not come from memory: %s", line)
		}
		if strings.Contains(line, "tzero; hit") {
			hits++
		}
	}
	if hits < 4 {
		t.Errorf("only %d hits", hits)
	}
}
