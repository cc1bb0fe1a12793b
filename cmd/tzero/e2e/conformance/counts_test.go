package conformance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/conformance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

func TestTally(t *testing.T) {
	var results []conformance.Result
	add := func(k conformance.Kind, verdicts ...conformance.Verdict) {
		for _, v := range verdicts {
			results = append(results, conformance.Result{Kind: k, Verdict: v})
		}
	}
	add(conformance.Required, conformance.Pass, conformance.Pass, conformance.Fail, conformance.Setup, conformance.Untested)
	add(conformance.Optimal, conformance.Pass, conformance.Dependency, conformance.Retry)
	add(conformance.Check, conformance.Yes, conformance.No, conformance.No)
	want := conformance.Counts{
		conformance.Required: {Passed: 2, Failed: 1, Unclear: 1},
		conformance.Optimal:  {Passed: 1, Unclear: 2},
		conformance.Check:    {Passed: 1, Failed: 2},
	}
	if got := conformance.Tally(results); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := want[conformance.Required]; got.Total() != 4 || got.Percent() != 50 {
		t.Errorf("total %d, %v %%", got.Total(), got.Percent())
	}
}

func TestWorse(t *testing.T) {
	before := conformance.Counts{
		conformance.Required: {Passed: 10, Failed: 1},
		conformance.Optimal:  {Passed: 5, Failed: 2},
	}
	worse := func(required, optimal conformance.Count, lines int) {
		t.Helper()
		now := conformance.Counts{conformance.Required: required, conformance.Optimal: optimal}
		if said := now.Worse(before); len(said) != lines {
			t.Errorf("%v after %v: %q", now, before, said)
		}
	}
	worse(conformance.Count{Passed: 10, Failed: 1}, conformance.Count{Passed: 5, Failed: 2}, 0)
	worse(conformance.Count{Passed: 11}, conformance.Count{Passed: 7}, 0)
	worse(conformance.Count{Passed: 9, Failed: 1, Unclear: 1}, conformance.Count{Passed: 5, Failed: 2}, 1)
	worse(conformance.Count{Passed: 10, Failed: 2}, conformance.Count{Passed: 4, Failed: 3}, 3)
}

func TestCountsThere(t *testing.T) {
	want := conformance.Counts{
		conformance.Required: {Passed: 3, Failed: 2, Unclear: 1},
		conformance.Optimal:  {Passed: 6, Failed: 5, Unclear: 4},
	}
	var text bytes.Buffer
	if err := want.Write(&text); err != nil {
		t.Fatal(err)
	}
	got, err := conformance.ReadCounts(&text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "required passed 1 failed 2 unclear 3", "required 1 2 3", "optimal passed x failed 0 unclear 0"} {
		if c, err := conformance.ReadCounts(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read as %v", bad, c)
		}
	}
}

// TestPage keeps the committed page and the committed counts together: both come from one run.
func TestPage(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	// Not what was embedded: a run that reached more has just written both.
	written, err := os.ReadFile(filepath.Join(root, "cmd", "tzero", "e2e", "conformance", "counts.txt"))
	if err != nil {
		t.Fatal(err)
	}
	counts, err := conformance.ReadCounts(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		t.Fatalf("cannot read the page: %v", err)
	}
	if line := conformance.Summary("tzero, literal", counts); !strings.Contains(string(page), line) {
		t.Errorf("docs/conformance.md has no line %q", line)
	}
}

func TestReasons(t *testing.T) {
	reasons, err := conformance.Reasons()
	if err != nil {
		t.Fatal(err)
	}
	if len(reasons) == 0 {
		t.Error("no reasons")
	}
}
