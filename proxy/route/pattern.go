package route

import (
	"errors"
	"fmt"
	"strings"
)

// pathClass orders path patterns: the more specific class goes first.
type pathClass uint8

const (
	pathExact pathClass = iota
	pathPattern
	pathAny
)

// pattern is a compiled path pattern.
//
// `*` as the last byte takes the whole rest, slashes included; elsewhere it takes at least one byte of
// its segment. A segment `**` takes any number of whole segments, none included.
type pattern struct {
	class    pathClass
	text     string // as written, in canonical spelling
	lit      string // pathExact: the path; pathPattern: the bytes before the first wildcard
	from     int    // offset in the path from which segs apply
	segs     []segment
	literals int // bytes that are no wildcard
	deep     int // number of ** segments
	stars    int
}

// segment is one part between slashes.
type segment struct {
	deep         bool // **: any number of segments
	star         bool // before + at least one byte + after
	tail         bool // before + whatever follows, across slashes; always the last one
	before, past string
}

// maxPattern bounds a pattern's length; longer ones are a mistake.
const maxPattern = 1024

// parsePath compiles a path pattern. The empty pattern and "/*" take any path.
func parsePath(s string) (pattern, error) {
	if s == "" || s == "/*" || s == "/**" {
		return pattern{class: pathAny, text: "/*"}, nil
	}
	if err := checkPath(s); err != nil {
		return pattern{}, fmt.Errorf("%q is not a path: %w", s, err)
	}
	text := string(canonical.append(nil, []byte(s)))
	if strings.HasSuffix(text, "/**") {
		text = text[:len(text)-1]
	}
	star := strings.IndexByte(text, '*')
	if star < 0 {
		return pattern{class: pathExact, text: text, lit: text, literals: len(text)}, nil
	}
	p := pattern{class: pathPattern, text: text, lit: text[:star]}
	p.deep = strings.Count(text, "**")
	p.stars = strings.Count(text, "*") - 2*p.deep
	p.literals = len(text) - 2*p.deep - p.stars
	p.from = strings.LastIndexByte(p.lit, '/') + 1
	if star == len(text)-1 {
		return p, nil // a plain prefix: lit says it all
	}
	parts := strings.Split(text[p.from:], "/")
	for i, part := range parts {
		seg, err := parseSegment(part, i == len(parts)-1)
		if err != nil {
			return pattern{}, fmt.Errorf("%q is not a path: %w", s, err)
		}
		p.segs = append(p.segs, seg)
	}
	return p, nil
}

func parseSegment(part string, last bool) (segment, error) {
	if part == "**" {
		return segment{deep: true}, nil
	}
	before, past, star := strings.Cut(part, "*")
	switch {
	case strings.Contains(past, "*"):
		return segment{}, errors.New("a segment may have one *, or be ** alone")
	case star && last && past == "":
		return segment{tail: true, before: before}, nil
	}
	return segment{star: star, before: before, past: past}, nil
}

// checkPath refuses patterns that could match no request or only an ambiguous one.
func checkPath(s string) error {
	switch {
	case s[0] != '/':
		return errors.New("it must begin with /")
	case len(s) > maxPattern:
		return fmt.Errorf("it is longer than %d bytes", maxPattern)
	case strings.ContainsAny(s, "?#"):
		return errors.New("only paths are matched, neither query nor fragment")
	case strings.Contains(s, "//"):
		return errors.New("an empty segment (//) can only be matched ambiguously; see ambiguous-path")
	case strings.ContainsAny(s, `;\`):
		return errors.New("; and \\ can only be matched ambiguously; see ambiguous-path")
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f:
			return fmt.Errorf("write the character %q in its escaped form (%%20)", c)
		case c == '%' && !isEscape([]byte(s), i):
			return errors.New("% must be followed by two hexadecimal digits")
		case c == '%' && structural(unescape([]byte(s), i)):
			return fmt.Errorf("the escape %s can only be matched ambiguously; see ambiguous-path", s[i:i+3])
		case c == '%' && unescape([]byte(s), i) == '*':
			return errors.New("an asterisk itself cannot be matched")
		}
	}
	if c := canonical.append(nil, []byte(s)); hasDotSegment(c) {
		return errors.New("the segments . and .. cannot be matched")
	}
	return nil
}

// match reports whether the pattern takes path, of which lit is known to be a prefix. Backtracking goes
// to the last ** only: what an earlier one could take in addition, the later one takes as well.
func (p *pattern) match(path []byte) bool {
	if p.segs == nil {
		return true
	}
	si, at := 0, p.from
	backSeg, backAt := -1, 0
	for {
		if si < len(p.segs) && p.segs[si].deep {
			si++
			backSeg, backAt = si, at
			continue
		}
		if si == len(p.segs) && at > len(path) {
			return true
		}
		if si < len(p.segs) && at <= len(path) {
			end := segmentEnd(path, at)
			if p.segs[si].tail && hasPrefix(path[at:], p.segs[si].before) {
				return true
			}
			if p.segs[si].takes(path[at:end]) {
				si, at = si+1, end+1
				continue
			}
		}
		if backSeg < 0 || backAt > len(path) {
			return false
		}
		backAt = segmentEnd(path, backAt) + 1
		si, at = backSeg, backAt
	}
}

// takes reports whether the segment pattern takes one whole segment.
func (s *segment) takes(part []byte) bool {
	switch {
	case s.tail:
		return false
	case s.star:
		return len(part) > len(s.before)+len(s.past) && hasPrefix(part, s.before) &&
			string(part[len(part)-len(s.past):]) == s.past
	}
	return string(part) == s.before
}

func segmentEnd(path []byte, at int) int {
	for at < len(path) && path[at] != '/' {
		at++
	}
	return at
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}
