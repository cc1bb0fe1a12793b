package encode

import (
	"regexp"
	"strconv"
	"strings"
)

var memberForm = regexp.MustCompile(`^[ \t]*([^; \t]+|[^; \t][^;]*[^; \t])[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?$`)

// naive negotiates with the default configuration, written from RFC 9110 §12.5.3 with regular
// expressions and floating point.
func naive(accept string) Coding {
	said := map[string]float64{}
	for _, m := range strings.Split(accept, ",") {
		parts := memberForm.FindStringSubmatch(m)
		if parts == nil {
			continue
		}
		name, q := strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, parts[1]), 1.0
		if name == "x-gzip" {
			name = "gzip"
		}
		if parts[2] != "" {
			q, _ = strconv.ParseFloat(parts[2], 64)
		}
		if _, twice := said[name]; !twice {
			said[name] = q
		}
	}
	best, bestQ := Identity, 0.0
	for _, c := range []Coding{Zstd, Brotli, Gzip} {
		q, ok := said[c.String()]
		if !ok {
			q = said["*"]
		}
		if q > bestQ {
			best, bestQ = c, q
		}
	}
	if said["identity"] > bestQ {
		return Identity
	}
	return best
}
