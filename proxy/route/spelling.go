package route

// A path can be spelled in ways that one origin takes for the same and another does not: escaped
// slashes and dots, empty and dot segments, parameters after a semicolon, backslashes, double escapes.
// A rule for /admin/* must hold for all of them, yet the bytes forwarded must stay what they were
// (what is keyed is what is forwarded). So:
//
//   - A path is compared in its canonical spelling: escapes of characters that mean the same without
//     the escape are undone, hexadecimal digits are upper-case, what must be escaped is.
//   - A path whose spelling has structure that an origin may or may not undo is looked up in every
//     reading of `readings` as well. If one of them selects another route, or none, tzero cannot
//     know what the origin would serve, and the request is refused: 400, ambiguous-path.
//
// Paths without such structure, nearly all of them, pay one scan.

// reading is one way to understand a path.
type reading struct {
	slashes bool // %2F, %5C and \ separate segments
	params  bool // ;… at a segment's end is no part of its name
	merge   bool // // is /
	dots    bool // . and .. are resolved (RFC 3986 §5.2.4)
	twice   bool // escapes are undone twice
	cut     bool // an escaped ?, # or NUL ends the path
}

var canonical = reading{}

var readings = [...]reading{
	{dots: true},
	{slashes: true},
	{merge: true, dots: true},
	{params: true, dots: true},
	{slashes: true, dots: true},
	{slashes: true, merge: true, dots: true},
	{slashes: true, params: true, merge: true, dots: true},
	{slashes: true, params: true, merge: true, dots: true, twice: true},
	{slashes: true, params: true, merge: true, dots: true, twice: true, cut: true},
}

// append writes path as the reading understands it.
func (r reading) append(dst, path []byte) []byte {
	start := len(dst)
	dst = r.decode(dst, path)
	if r.params || r.merge || r.dots {
		out := dst[start:]
		dst = dst[:start+r.resolve(out)]
	}
	return dst
}

// decode undoes escapes.
func (r reading) decode(dst, path []byte) []byte {
	for i := 0; i < len(path); i++ {
		c, escaped := path[i], false
		if c == '%' && isEscape(path, i) {
			c, escaped = unescape(path, i), true
			i += 2
			// %2561 is %61 to the first who decodes, and a to the second.
			if c == '%' && r.twice && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
				c = unhex(path[i+1])<<4 | unhex(path[i+2])
				i += 2
			}
		}
		switch {
		case escaped && r.cut && (c == '?' || c == '#' || c == 0):
			return dst
		case (c == '\\' || c == '/') && r.slashes, c == '/' && !escaped:
			dst = append(dst, '/')
		case c == ';' && r.params, !escaped && structural(c) && c != '%':
			dst = append(dst, c)
		case structural(c) || c <= ' ' || c >= 0x7f:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// resolve rewrites the segments of path in place and returns the new length. It only ever shortens.
func (r reading) resolve(path []byte) int {
	if len(path) == 0 || path[0] != '/' {
		return len(path)
	}
	w := 0
	for at := 1; at <= len(path); {
		end := segmentEnd(path, at)
		seg, last := path[at:end], end == len(path)
		if r.params {
			seg = cutParams(seg)
		}
		up := r.dots && len(seg) == 2 && seg[0] == '.' && seg[1] == '.'
		here := r.dots && len(seg) == 1 && seg[0] == '.'
		if up {
			w = lastSlash(path[:w])
		}
		switch {
		case (up || here) && last:
			path[w] = '/'
			w++
		case up || here, r.merge && len(seg) == 0 && !last:
		default:
			path[w] = '/'
			w += 1 + copy(path[w+1:], seg)
		}
		at = end + 1
	}
	return w
}

func cutParams(seg []byte) []byte {
	for i, c := range seg {
		if c == ';' {
			return seg[:i]
		}
	}
	return seg
}

func lastSlash(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '/' {
			return i
		}
	}
	return 0
}

// spelling scans path: plain when it is its own canonical spelling, doubtful when other readings may
// differ. A path that is not plain has to be scanned again in its canonical spelling, where escaped
// dots have become visible.
func spelling(path []byte) (plain, doubtful bool) {
	plain = true
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '%' && isEscape(path, i):
			v := unescape(path, i)
			plain, doubtful = false, doubtful || structural(v) || v == 0
			i += 2
		case c == '%' || c <= ' ' || c >= 0x7f:
			plain = false
		case c == '\\' || c == ';':
			doubtful = true
		case c == '/' && i+1 < len(path) && path[i+1] == '/':
			doubtful = true
		}
	}
	return plain, doubtful || hasDotSegment(path)
}

// hasDotSegment reports whether a segment is "." or "..".
func hasDotSegment(path []byte) bool {
	for i := 0; i+1 < len(path); i++ {
		if path[i] != '/' || path[i+1] != '.' {
			continue
		}
		rest := path[i+2:]
		if len(rest) > 0 && rest[0] == '.' {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0] == '/' {
			return true
		}
	}
	return false
}

// structural names the characters whose escape must not be undone lightly.
func structural(c byte) bool {
	switch c {
	case '/', '\\', '%', '?', '#', ';':
		return true
	}
	return false
}

const upperHex = "0123456789ABCDEF"

func isEscape(b []byte, i int) bool {
	return i+2 < len(b) && b[i] == '%' && isHex(b[i+1]) && isHex(b[i+2])
}

func unescape(b []byte, i int) byte { return unhex(b[i+1])<<4 | unhex(b[i+2]) }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
