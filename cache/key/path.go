package key

// PlainPath reports whether every reader understands a path alike. A path with dot segments, with ";" or
// with encoded delimiters ("%2F", "%3B", "%23", "%3F", "%5C", "%2E", control bytes) is one resource to one
// reader and another to the next, which is how private pages end up stored under public names: such
// requests pass the cache by.
func PlainPath(p []byte) bool {
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c == 0x7f || c == ';' || c == '\\' || c == '#' || c == '?':
			return false
		case c == '/' && dotSegment(p[i+1:]):
			return false
		case c == '%':
			if i+2 >= len(p) || !plainEscape(p[i+1], p[i+2]) {
				return false
			}
			i += 2
		}
	}
	return true
}

// dotSegment reports whether b begins with "." or ".." followed by a slash or the end.
func dotSegment(b []byte) bool {
	n := 0
	for n < len(b) && b[n] == '.' {
		n++
	}
	return (n == 1 || n == 2) && (n == len(b) || b[n] == '/')
}

func plainEscape(hi, lo byte) bool {
	h, l := unhex(hi), unhex(lo)
	if h < 0 || l < 0 {
		return false
	}
	switch c := byte(h<<4 | l); c {
	case '/', '\\', ';', '#', '?', '.', '%', 0x7f:
		return false
	default:
		return c >= ' '
	}
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
