package strict

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the candidate that is the fewest typing mistakes away from word, or "" when none is
// near enough to be meant (one mistake per three letters, and at least one; a beginning of the word counts
// as one mistake) or when several are equally near.
func Nearest(word string, candidates []string) string {
	if len(word) > 64 {
		return ""
	}
	limit := max(1, len(word)/3) + 1
	best, bestDistance := "", limit
	for _, c := range candidates {
		switch d := mistakes(strings.ToLower(word), strings.ToLower(c), limit); {
		case d < bestDistance:
			best, bestDistance = c, d
		case d == bestDistance:
			best = ""
		}
	}
	return best
}

func mistakes(word, candidate string, limit int) int {
	short, long := candidate, word
	if len(short) > len(long) {
		short, long = long, short
	}
	if len(short) >= 3 && len(short) < len(long) && strings.HasPrefix(long, short) {
		return 1
	}
	return distance(word, candidate, limit)
}

// distance counts insertions, deletions, substitutions and swaps of neighbours between a and b, byte by
// byte; from limit on the exact figure does not matter.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			substitute := last[j-1]
			if a[i-1] != b[j-1] {
				substitute++
			}
			row[j] = min(substitute, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Hint says which name may have been meant: the nearest one, else all of them when they are few.
func Hint(word string, names []string) string {
	if n := Nearest(word, names); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	if len(names) == 0 || len(names) > 16 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(names))
	return "; possible here: " + strings.Join(sorted, ", ")
}

// words lists the members of an enumeration for a message.
func words(enum []string) string {
	quoted := make([]string, len(enum))
	for i, e := range enum {
		quoted[i] = e
		if e == "" {
			quoted[i] = `""`
		}
	}
	return strings.Join(quoted, ", ")
}

func didYouMean(word string, enum []string) string {
	if n := Nearest(word, enum); n != "" {
		return fmt.Sprintf("; did you mean %q?", n)
	}
	return ""
}

func contains(enum []string, word string) bool { return slices.Contains(enum, word) }
