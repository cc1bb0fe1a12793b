package cluster

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// Table is a table of figures in the making.
type Table struct {
	Title   string
	Columns []string
	rows    [][]string
}

// Row appends a line.
func (b *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = strings.ReplaceAll(fmt.Sprint(c), "|", "\\|")
	}
	b.rows = append(b.rows, row)
}

func (b *Table) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "## %s\n\n| %s |\n|%s\n", b.Title, strings.Join(b.Columns, " | "), strings.Repeat("---|", len(b.Columns)))
	for _, r := range b.rows {
		fmt.Fprintf(&s, "| %s |\n", strings.Join(r, " | "))
	}
	return s.String() + "\n"
}

// WritePage writes tables to a page under docs.
func WritePage(t testing.TB, name, preface string, tables ...*Table) {
	t.Helper()
	text := fmt.Sprintf(preface, time.Now().UTC().Format(time.DateOnly), harness.Machine(), harness.Version(t))
	for _, b := range tables {
		text += b.String()
	}
	harness.WritePage(t, "docs/"+name, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.TrimSpace(text)+"\n")
		return err
	})
}
