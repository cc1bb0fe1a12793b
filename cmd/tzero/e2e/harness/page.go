package harness

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// WritePage writes a file below the project's root: a page of figures under docs, or what is compared the next time.
func WritePage(t testing.TB, path string, write func(io.Writer) error) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatalf("cannot make %s: %v", path, err)
	}
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(path)), out.Bytes(), 0o644); err != nil {
		t.Fatalf("cannot keep what was found: %v", err)
	}
}

// Size chooses between a small case and the full one.
func Size[T any](full bool, small, large T) T {
	if full {
		return large
	}
	return small
}
