// Package conformance runs the public test suite for HTTP caches (cache-tests.fyi) against tzero and keeps
// count. `make conformance` does it and writes docs/conformance.md; prepare.sh says which suite it is.
//
//	suite := conformance.Prepare(t)
//	origin := suite.Origin(t)
//	gw := harness.Start(t, harness.Config{Origin: origin}.YAML(t))
//	results := suite.Run(t, gw.URL)
package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// Kind is what the suite holds of a test.
type Kind string

// The kinds.
const (
	Required Kind = "required" // the specification demands it
	Optimal  Kind = "optimal"  // the specification permits it, and a good cache does it
	Check    Kind = "check"    // a question; no answer is wrong
)

// Verdict is the suite's own judgement on one test.
type Verdict string

// The verdicts.
const (
	Pass       Verdict = "pass"
	Fail       Verdict = "fail"
	Yes        Verdict = "yes" // of a check
	No         Verdict = "no"
	Setup      Verdict = "setup"      // what comes before the tested behaviour went another way
	Dependency Verdict = "dependency" // a test that this one builds on did not pass
	Retry      Verdict = "retry"      // a request was sent twice
	Harness    Verdict = "harness"    // the suite itself broke
	Untested   Verdict = "untested"   // for browsers only
)

// Result is one test and what came of it.
type Result struct {
	Group   string  `json:"group"`
	ID      string  `json:"id"`
	Name    string  `json:"name"` // what the cache should do, in Markdown
	Kind    Kind    `json:"kind"`
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"` // what the suite saw instead
}

// Missed reports whether a test that can be won was not.
func (r Result) Missed() bool {
	return r.Kind != Check && r.Verdict != Pass && r.Verdict != Untested
}

// Suite is an installed suite.
type Suite struct {
	dir string
}

// Prepare installs the suite where that has not been done; it downloads packages with npm.
func Prepare(t testing.TB) Suite {
	t.Helper()
	_, self, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("cannot find the directory of prepare.sh")
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(filepath.Dir(self), "prepare.sh"))
	out, err := output(cmd)
	if err != nil {
		t.Fatalf("cannot install the test suite: %v", err)
	}
	return Suite{dir: strings.TrimSpace(string(out))}
}

// Origin starts the suite's origin, which answers as each test asks it to, and returns its URL.
func (s Suite) Origin(t testing.TB) string {
	t.Helper()
	port := harness.FreePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	p := harness.Spawn(t, "the suite's origin", "env", "-C", filepath.Join(s.dir, "suite"),
		"npm_config_protocol=http", fmt.Sprintf("npm_config_port=%d", port),
		"npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"), "node", "--no-warnings", "server/server.mjs")
	p.WaitTCP(t, addr)
	return "http://" + addr
}

// Run sends all tests through the gateway at url, a hundred at a time, which takes about 15 s, and lets the suite
// judge what came back.
func (s Suite) Run(t testing.TB, url string) []Result {
	t.Helper()
	client := exec.CommandContext(t.Context(), "node", "--no-warnings", "cli.mjs")
	client.Dir = filepath.Join(s.dir, "suite")
	client.Env = append(client.Environ(), "npm_config_base="+url, "npm_config_id=", "npm_package_config_id=") // no id: all tests
	raw, err := output(client)
	if err != nil {
		t.Fatalf("cannot run the suite's client: %v", err)
	}
	judge := exec.CommandContext(t.Context(), "node", "--no-warnings", "verdicts.mjs")
	judge.Dir, judge.Stdin = s.dir, bytes.NewReader(raw)
	verdicts, err := output(judge)
	if err != nil {
		t.Fatalf("cannot judge what the suite saw: %v", err)
	}
	var results []Result
	if err := json.Unmarshal(verdicts, &results); err != nil {
		t.Fatalf("cannot read the verdicts: %v", err)
	}
	return results
}

// output runs a command and puts what it complained about into the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said.String())
	}
	return out, nil
}
