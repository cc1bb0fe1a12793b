package strict

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a parser finds hard, in large files. The limit is on the processor's time, so that a busy machine
// does not matter, and generous: the usual is some 0.2 s, a quadratic parser would take minutes.
func TestHugeFilesAreBounded(t *testing.T) {
	for _, unit := range []string{"[", "{a,", "? ", "- ", "a: ", "\n", "- # c\n\n", "x: y # c\n", "&a ", "\"\\", "---\n", ">\n ", "%a b\n", "[a: ", "x\n"} {
		for _, before := range []string{"", "a: ["} {
			data := before + strings.Repeat(unit, MaxFile/4/len(unit))
			start := processorTime(t)
			Decode([]byte(data), &site{}, options())
			if took := processorTime(t) - start; took > 15*time.Second {
				t.Errorf("%d bytes of %q after %q took %v", len(data), unit, before, took)
			}
		}
	}
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
