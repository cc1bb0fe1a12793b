package harness

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// Machine describes where figures come from: processors, memory, kernel.
func Machine() string {
	cpu := "unknown processor"
	if name := afterColon("/proc/cpuinfo", "model name"); name != "" {
		cpu = name
	}
	var kb float64
	_, _ = fmt.Sscanf(afterColon("/proc/meminfo", "MemTotal"), "%f", &kb)
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d × %s, %.0f MiB of memory, Linux %s", runtime.NumCPU(), cpu, kb/1024, strings.TrimSpace(string(kernel)))
}

// afterColon is the value of the first "name : value" line of a file.
func afterColon(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Trim(rest, "\t\n: ")
		}
	}
	return ""
}

// Busy is the machine's load average over the last minute.
func Busy() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// Version is what the binary under test and the toolchain say of themselves.
func Version(t testing.TB) string {
	t.Helper()
	said, err := exec.Command(Binary(t), "version").Output()
	if err != nil {
		t.Fatalf("cannot ask for the version: %v", err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	return first + ", " + runtime.Version()
}
