package proxy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of the documentation")

const architecture = "../docs/ARCHITECTURE.md"

// TestDiagramIsCurrent keeps the drawn state machine equal to the one that runs.
func TestDiagramIsCurrent(t *testing.T) {
	b, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	begin, end := "```mermaid\n", "```\n"
	at := strings.Index(text, begin)
	if at < 0 {
		t.Fatal("docs/ARCHITECTURE.md has no state diagram")
	}
	at += len(begin)
	length := strings.Index(text[at:], end)
	if text[at:at+length] == Diagram() {
		return
	}
	if !*update {
		t.Fatal("the diagram in docs/ARCHITECTURE.md is not the machine's; run: go test ./proxy -run Current -update")
	}
	if err := os.WriteFile(architecture, []byte(text[:at]+Diagram()+text[at+length:]), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestReasonsPageIsCurrent keeps docs/reference/reasons.md equal to the enumeration.
func TestReasonsPageIsCurrent(t *testing.T) {
	const path = "../docs/reference/reasons.md"
	var b strings.Builder
	b.WriteString("# Reasons\n\nThe one word for why a step of a request's journey went the way it did. The same word stands in `Cache-Status`\n" +
		"(`detail`), in the metrics, in the decision log and in `tzero explain`. Generated from the code.\n\n| reason | from | meaning |\n|---|---|---|\n")
	for _, e := range Explanations() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", e.Reason, e.From, e.Meaning)
	}
	have, err := os.ReadFile(path)
	if err == nil && string(have) == b.String() {
		return
	}
	if !*update {
		t.Fatal("docs/reference/reasons.md is not current; run: go test ./proxy -run Current -update")
	}
	if err := os.MkdirAll("../docs/reference", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEveryReasonIsExplained(t *testing.T) {
	known := map[Reason]bool{}
	for _, e := range Explanations() {
		if e.Meaning == "" {
			t.Errorf("%s is not explained", e.Reason)
		}
		if known[e.Reason] {
			t.Errorf("%s stands there twice", e.Reason)
		}
		known[e.Reason] = true
	}
	for _, r := range Reasons() {
		if !known[r] {
			t.Errorf("%s is missing", r)
		}
	}
}

func TestEveryStateLeadsToFinish(t *testing.T) {
	for s := range numStates {
		seen := map[State]bool{}
		var walk func(State) bool
		walk = func(at State) bool {
			if at == StateFinish {
				return true
			}
			if seen[at] {
				return false
			}
			seen[at] = true
			for _, next := range transitions[at] {
				if walk(next) {
					return true
				}
			}
			return false
		}
		if !walk(s) {
			t.Errorf("%s never finishes", s)
		}
		if s != StateFinish && steps[s] == nil {
			t.Errorf("%s has no function", s)
		}
	}
}
