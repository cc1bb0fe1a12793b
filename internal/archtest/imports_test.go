// Package archtest keeps the project's import rules: it reads the imports of every package and fails,
// with the rule's reason, where one breaks an arrow of docs/ARCHITECTURE.md. It has only tests.
package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrow permits the packages that from names to import those that to names. The arrow with the most
// specific from applies, alone. A closed one permits, of packages that are neither the project's nor
// the standard library's, only those in third.
type arrow struct {
	from   string
	to     []string
	closed bool
	third  []string
	why    string
}

// guard keeps a package, and what lies beneath it but for the paths in free, out of every room but
// those in only.
type guard struct {
	path string
	free []string
	only []string
	why  string
}

func (g guard) guards(imported string) bool {
	return covers(g.path+"/...", imported) && !slices.Contains(g.free, imported)
}

type ruleset struct {
	module string
	arrows []arrow
	guards []guard
}

// covers reports whether pattern names pkg: exactly, or as "dir/..." with everything beneath dir.
func covers(pattern, pkg string) bool {
	dir, tree := strings.CutSuffix(pattern, "...")
	if !tree {
		return pattern == pkg
	}
	dir = strings.TrimSuffix(dir, "/")
	return dir == "" || pkg == dir || strings.HasPrefix(pkg, dir+"/")
}

func anyCovers(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, pkg) })
}

// arrowFor finds the most specific arrow for pkg. At equal length the exact name, which lacks the
// dots, must win over the tree: hence the comparison of directories first.
func (r ruleset) arrowFor(pkg string) (arrow, bool) {
	var best arrow
	found := false
	rank := func(from string) int {
		dir, tree := strings.CutSuffix(from, "/...")
		if tree {
			return 2 * len(dir)
		}
		return 2*len(dir) + 1
	}
	for _, a := range r.arrows {
		if covers(a.from, pkg) && (!found || rank(a.from) > rank(best.from)) {
			best, found = a, true
		}
	}
	return best, found
}

// check returns one sentence for each rule that an import of pkg breaks. pkg is relative to the module,
// imported is the full path.
func (r ruleset) check(pkg, imported string) []string {
	var broken []string
	for _, g := range r.guards {
		if g.guards(imported) && !anyCovers(g.only, pkg) {
			broken = append(broken, fmt.Sprintf("%s must not import %s: %s", pkg, imported, g.why))
		}
	}
	a, ok := r.arrowFor(pkg)
	if !ok {
		return append(broken, fmt.Sprintf("%s has no arrow: say in rules_test.go what it may import", pkg))
	}
	switch inside, own := r.inside(imported); {
	case own && !anyCovers(a.to, inside):
		broken = append(broken, fmt.Sprintf("%s must not import %s: %s", pkg, inside, a.why))
	case !own && !standard(imported) && a.closed && !slices.Contains(a.third, imported):
		broken = append(broken, fmt.Sprintf("%s must not import %s: %s", pkg, imported, a.why))
	}
	return broken
}

// inside returns the path relative to the module, and whether the package is the project's own.
func (r ruleset) inside(imported string) (string, bool) {
	if imported == r.module {
		return ".", true
	}
	return strings.CutPrefix(imported, r.module+"/")
}

// standard reports whether a path is the standard library's: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// read calls yield for every import of every Go file but tests, whatever its build tags: what is built
// on another system has to obey as well.
func read(tree fs.FS, yield func(pkg, file, imported string)) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != "." && (base == "testdata" || base == "node_modules" || base[0] == '.' || base[0] == '_') {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("cannot read the imports of %s: %w", name, err)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("cannot read an import of %s: %w", name, err)
			}
			yield(path.Dir(name), name, imported)
		}
		return nil
	})
}

func TestImportRules(t *testing.T) {
	imports := 0
	err := read(os.DirFS("../.."), func(pkg, file, imported string) {
		imports++
		for _, broken := range rules.check(pkg, imported) {
			t.Errorf("%s: %s", file, broken)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if imports < 10 {
		t.Fatalf("only %d imports were read: the test looks at the wrong directory", imports)
	}
}
