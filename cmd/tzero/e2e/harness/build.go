package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built memoises the one build of a test process. It is written once and never changes.
var built = sync.OnceValues(build)

// Binary is the path of tzero, built on first use.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Main runs the tests of a package that uses Binary and removes what was built:
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
func Main(m *testing.M) int {
	defer os.RemoveAll(buildDir())
	return m.Run()
}

// buildDir is one folder per test process, so that packages tested at the same time do not overwrite a running binary.
func buildDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("tzero-e2e-%d", os.Getpid()))
}

func build() (string, error) {
	if given := os.Getenv("TZERO_BINARY"); given != "" {
		return filepath.Abs(given)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	out := filepath.Join(buildDir(), "tzero")
	args := []string{"build", "-o", out}
	if os.Getenv("TZERO_RACE") == "1" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./cmd/tzero")...)
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build tzero: %w\n%s", err, said)
	}
	return out, nil
}

// Root is the folder of go.mod.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || file == "" || file == os.DevNull {
		return "", fmt.Errorf("cannot find the module's root: go env GOMOD said %q: %w", file, err)
	}
	return filepath.Dir(file), nil
}
