package strict

import (
	"strings"
	"testing"
	"time"
)

// What a parser finds hard, as large as a file may be: the limit is generous, since a quadratic parser
// would take minutes. The usual time is a few hundred milliseconds.
func TestHugeFilesAreBounded(t *testing.T) {
	for _, unit := range []string{"[", "{a,", "? ", "- ", "a: ", "\n", "- # c\n\n", "x: y # c\n", "&a ", "\"\\", "---\n", ">\n ", "%a b\n", "[a: ", "x\n"} {
		for _, before := range []string{"", "a: ["} {
			data := before + strings.Repeat(unit, (MaxFile-20)/len(unit))
			start := time.Now()
			Decode([]byte(data), &site{}, options())
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("%d bytes of %q after %q took %v", len(data), unit, before, took)
			}
		}
	}
}
