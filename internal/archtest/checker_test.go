package archtest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// A checker that finds nothing proves nothing: these are violations that it must find, and imports
// that look like violations and are none.

func TestCheckerFindsViolations(t *testing.T) {
	refused := func(pkg, imported, reason string) {
		t.Helper()
		broken := rules.check(pkg, imported)
		if !slices.ContainsFunc(broken, func(s string) bool { return strings.Contains(s, reason) }) {
			t.Errorf("%s importing %s: got %q, want a violation that says %q", pkg, imported, broken, reason)
		}
	}
	const own = "github.com/tzero-edge/tzero/"
	refused("proxy", "github.com/valyala/fasthttp", "lenient parser")
	refused("proxy/origin", "github.com/valyala/fasthttp/fasthttputil", "lenient parser")
	refused("proxy", "github.com/prometheus/client_golang/prometheus", "snapshots")
	refused("proxy", "net/http", "normalises")
	refused("cache", "net/http/httptest", "normalises")
	refused("proxy", own+"configs", "owns its Config")
	refused("proxy", own+"proxy/listen", "adapters")
	refused("proxy", own+"proxy/metrics", "adapters")
	refused("proxy", own+"cache/l1", "journey")
	refused("cache", own+"cache/l1", "Tier")
	refused("cache", own+"proxy", "Tier")
	refused("cache/rfc9111", own+"cache", "pure")
	refused("cache/rfc9111", "golang.org/x/sync/errgroup", "pure")
	refused("cache/key", "github.com/dgraph-io/ristretto/v2/z", "pure")
	refused("proxy/route", own+"proxy", "pure")
	refused("internal/http1", own+"internal/redis", "pure")
	refused("internal/field", own+"internal/conf", "bottom")
	refused("internal/redis", own+"cache", "domain")
	refused("cmd/tzero/demo", own+"proxy", "demo origin")
	refused("proxy/route", "math/rand", "math/rand/v2")
	refused("attic", "fmt", "no arrow")
}

func TestCheckerLetsPass(t *testing.T) {
	allowed := func(pkg, imported string) {
		t.Helper()
		if broken := rules.check(pkg, imported); len(broken) > 0 {
			t.Errorf("%s importing %s: %q", pkg, imported, broken)
		}
	}
	const own = "github.com/tzero-edge/tzero/"
	allowed("cmd/tzero", own+"configs")
	allowed("cmd/tzero", own+"proxy/listen")
	allowed("proxy", own+"cache")
	allowed("proxy", "math/rand/v2")
	allowed("proxy/admin", "net/http")
	allowed("proxy/listen", "github.com/valyala/fasthttp")
	allowed("proxy/metrics", "github.com/prometheus/client_golang/prometheus/promhttp")
	allowed("cache/key", "github.com/cespare/xxhash/v2")
	allowed("cache/l1", own+"cache")
	allowed("cache/rfc9111", own+"internal/field")
	allowed("proxy/decisionlog", "log/slog")
	allowed("internal/field", "bytes")
}

func TestTheMostSpecificArrowApplies(t *testing.T) {
	is := func(pkg, from string) {
		t.Helper()
		if a, ok := rules.arrowFor(pkg); !ok || a.from != from {
			t.Errorf("the arrow of %s is %q, want %q", pkg, a.from, from)
		}
	}
	is("proxy", "proxy")
	is("proxy/listen", "proxy/listen/...")
	is("ratelimit", "ratelimit")
	is("ratelimit/redis", "ratelimit/...")
	is("cmd/tzero", "cmd/...")
	is("cmd/tzero/demo", "cmd/tzero/demo/...")
	is("internal/field", "internal/field")
	is("internal/journal", "internal/...")
}

func TestReadSeesEveryFileButTests(t *testing.T) {
	file := func(src string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(src)} }
	tree := fstest.MapFS{
		"a/a.go":               file("package a\nimport (\n\t\"fmt\"\n\tx \"net/http\"\n)"),
		"a/a_windows.go":       file("//go:build windows\npackage a\nimport \"unsafe\""),
		"a/a_test.go":          file("package a\nimport \"testing\""),
		"a/testdata/broken.go": file("no Go"),
		".cache/c.go":          file("package c\nimport \"os\""),
		"README.md":            file("no Go either"),
	}
	var got []string
	if err := read(tree, func(pkg, _, imported string) { got = append(got, pkg+"<-"+imported) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a<-fmt", "a<-net/http", "a<-unsafe"}; !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	tree["b/b.go"] = file("pakage b")
	if err := read(tree, func(_, _, _ string) {}); err == nil {
		t.Fatal("a file that does not parse was passed over")
	}
}
