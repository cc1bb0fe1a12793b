package conformance

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Count sums up the tests of one kind. Tests for browsers only are not in it.
type Count struct {
	Passed  int
	Failed  int
	Unclear int // not judged: the setup went another way, or a test that this one builds on did not pass
}

// Total is how many tests there are.
func (c Count) Total() int { return c.Passed + c.Failed + c.Unclear }

// Percent is the share of tests that passed.
func (c Count) Percent() float64 {
	if c.Total() == 0 {
		return 0
	}
	return 100 * float64(c.Passed) / float64(c.Total())
}

func (c Count) String() string {
	return fmt.Sprintf("passed %d failed %d unclear %d", c.Passed, c.Failed, c.Unclear)
}

// Counts sums up a run. Of a check, "passed" is yes and "failed" is no; neither is better.
type Counts map[Kind]Count

// Tally counts.
func Tally(results []Result) Counts {
	counts := Counts{}
	for _, r := range results {
		c := counts[r.Kind]
		switch r.Verdict {
		case Untested:
			continue
		case Pass, Yes:
			c.Passed++
		case Fail, No:
			c.Failed++
		default:
			c.Unclear++
		}
		counts[r.Kind] = c
	}
	return counts
}

// judged lists the kinds that are kept count of.
func judged() []Kind { return []Kind{Required, Optimal} }

// Worse says in words where c falls behind what was reached before.
func (c Counts) Worse(before Counts) []string {
	var said []string
	for _, k := range judged() {
		now, then := c[k], before[k]
		if now.Passed < then.Passed {
			said = append(said, fmt.Sprintf("%s: %d passed, %d did before", k, now.Passed, then.Passed))
		}
		if now.Failed > then.Failed {
			said = append(said, fmt.Sprintf("%s: %d failed, %d did before", k, now.Failed, then.Failed))
		}
	}
	return said
}

const countsHead = "# What `make conformance` reached. passed may not fall, failed may not rise; better counts are written here.\n"

// Write prints the counts in the form that ReadCounts reads, one kind on a line.
func (c Counts) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(countsHead)
	for _, k := range judged() {
		fmt.Fprintf(&b, "%s %v\n", k, c[k])
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("cannot write the counts: %w", err)
	}
	return nil
}

// ReadCounts reads what Write wrote. Every kind that is kept count of must be there.
func ReadCounts(r io.Reader) (Counts, error) {
	counts := Counts{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var k Kind
		var c Count
		if _, err := fmt.Sscanf(line, "%s passed %d failed %d unclear %d", &k, &c.Passed, &c.Failed, &c.Unclear); err != nil {
			return nil, fmt.Errorf("cannot read the counts in %q: %w", line, err)
		}
		counts[k] = c
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the counts: %w", err)
	}
	for _, k := range judged() {
		if _, ok := counts[k]; !ok {
			return nil, fmt.Errorf("cannot read the counts: the line for %s is missing", k)
		}
	}
	return counts, nil
}
