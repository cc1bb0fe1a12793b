package crowd

import (
	"fmt"
	"strings"
)

// Content is size bytes of text that differ by name, the same every time: a part that is missing, repeated or
// another name's shows when it is compared.
func Content(name string, size int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s, line %d\n", name, i)
	}
	return []byte(b.String()[:size])
}
