package configs

import (
	"bytes"
	"os"
	"testing"
)

// The committed files are what the program would write today; -update rewrites them.
func TestGenerated(t *testing.T) {
	generated := func(path string, make func() ([]byte, error)) {
		t.Helper()
		want, err := make()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not current (%v); run go generate ./configs", path, err)
		}
	}
	generated("tzero.schema.json", Schema)
	generated("../docs/reference/configuration.md", Reference)
}
