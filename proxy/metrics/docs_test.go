package metrics

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md")

const page = "../../docs/reference/metrics.md"

const pageHead = `# Metrics

What ` + "`/metrics`" + ` on the admin server says, for Prometheus. What ends in ` + "`_total`" + ` only grows while the process lives; times are in seconds, sizes in bytes.
The label ` + "`reason`" + ` has the words of [the reasons](reasons.md), ` + "`class`" + ` is the status class, and ` + "`cache`" + ` what the cache had to do with the answer: ` + "`hit`, `shared`, `stale`,\n`revalidated`, `collapsed`, `miss`, `bypass`, `none`" + `. The metrics of Go and of the process come on top. Generated from the code.

| metric | labels | meaning |
|---|---|---|
`

// TestMetricsPageIsCurrent keeps docs/reference/metrics.md equal to what is exposed.
func TestMetricsPageIsCurrent(t *testing.T) {
	ch := make(chan *prometheus.Desc, 200)
	newRequestCollector(nil).Describe(ch)
	for _, d := range describe() {
		ch <- d
	}
	close(ch)
	parts := regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]+)", .*variableLabels: \{([^}]*)\}\}$`)
	var rows []string
	for d := range ch {
		m := parts.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2]))
	}
	slices.Sort(rows)
	want := pageHead + strings.Join(rows, "")
	have, err := os.ReadFile(page)
	if err == nil && string(have) == want {
		return
	}
	if !*update {
		t.Fatal("docs/reference/metrics.md is not what is exposed; run: go generate ./...")
	}
	if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
