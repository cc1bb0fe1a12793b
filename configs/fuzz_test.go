package configs

import (
	"os"
	"path/filepath"
	"testing"
)

// Whatever the file says, loading ends in a configuration or in problems; and what was taken can be
// printed, hashed and taken again.
func FuzzLoad(f *testing.F) {
	f.Add(Example)
	bad, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range bad {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "fuzz.yaml") // every worker is a process with a directory of its own
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Input{Path: path}.Load()
		if err != nil {
			if err.Error() == "" {
				t.Fatal("refused without a word")
			}
			return
		}
		l.Effective()
		if first, again := Hash(l.Config), Hash(l.Config); first != again {
			t.Fatal("the hash is not stable")
		}
	})
}
