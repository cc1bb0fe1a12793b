package configs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const refusedMark = "# refused: "

// Each file in testdata holds one fault; its first line says with which words it must be refused, after the
// file's name. -update rewrites that line.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	for _, file := range files {
		got := "nothing: it was taken"
		if _, err := (Input{Path: file}).Load(); err != nil {
			got = strings.TrimPrefix(err.Error(), file+":")
		}
		if strings.Contains(got, "\n") {
			t.Errorf("%s: more than one problem:\n%s", file, got)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, rest, _ := bytes.Cut(text, []byte("\n"))
		if *update {
			first = []byte(refusedMark + got)
			if err := os.WriteFile(file, append(append(first, '\n'), rest...), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := strings.TrimPrefix(string(first), refusedMark); got != want {
			t.Errorf("%s is refused with\n\t%s\nexpected\n\t%s", file, got, want)
		}
	}
}
