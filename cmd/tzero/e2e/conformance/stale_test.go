//go:build conformance

package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// TestNeverStale holds tzero, as shipped, to what the suite's stale-close tests are about: a response that is stale and forbids
// being served stale (RFC 9111 §4.2.4) does not stand in for an origin that hangs up.
func TestNeverStale(t *testing.T) {
	gone := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gone:
			panic(http.ErrAbortHandler) // hangs up
		default:
			// Older than it may become: stored, since it can be validated, and stale at once.
			w.Header().Set("Age", "100")
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Cache-Control", r.URL.Query().Get("cc"))
		}
	}))
	defer origin.Close()
	gw := harness.Start(t, harness.Config{Origin: origin.URL}.YAML(t))
	ask := func(cc string) int {
		t.Helper()
		resp, err := http.Get(gw.URL + "/?cc=" + cc)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		t.Logf("%s: %s, %s", cc, resp.Status, resp.Header.Get("Cache-Status"))
		return resp.StatusCode
	}
	forbidding := []string{"max-age=2,must-revalidate", "max-age=2,proxy-revalidate", "max-age=2,no-cache", "max-age=2,s-maxage=2"}
	for _, cc := range append(forbidding, "max-age=2") {
		if status := ask(cc); status != http.StatusOK {
			t.Fatalf("%s: answered %d while the origin was there", cc, status)
		}
	}
	close(gone)
	for _, cc := range forbidding {
		if status := ask(cc); status < 500 {
			t.Errorf("%s: answered %d although the origin hung up", cc, status)
		}
	}
	if status := ask("max-age=2"); status != http.StatusOK {
		t.Errorf("answered %d: without a prohibition the stale response was to stand in", status)
	}
}
