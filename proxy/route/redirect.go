package route

import (
	"errors"
	"fmt"
	"strings"
)

// template is a compiled redirect target: literal texts and the placeholders between them.
type template []part

// part is a literal, or a placeholder when holder is set.
type part struct {
	literal string
	holder  holder
}

type holder uint8

const (
	holdNothing holder = iota
	holdScheme
	holdHost
	holdPath
	holdQuery
)

var holders = map[string]holder{"scheme": holdScheme, "host": holdHost, "path": holdPath, "query": holdQuery}

// parseTemplate compiles a redirect target and refuses what could send a visitor to a place that the
// request chose: a path may begin with //, so it must never stand where an authority could.
func parseTemplate(to string) (template, error) {
	var t template
	for rest := to; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			t = append(t, part{literal: rest})
			break
		}
		end := strings.IndexByte(rest, '}')
		if rest[open] == '}' || end < 0 {
			return nil, errors.New("braces must enclose one of scheme, host, path and query")
		}
		h, ok := holders[rest[open+1:end]]
		if !ok {
			return nil, fmt.Errorf("{%s} is not one of {scheme}, {host}, {path} and {query}", rest[open+1:end])
		}
		if open > 0 {
			t = append(t, part{literal: rest[:open]})
		}
		t = append(t, part{holder: h})
		rest = rest[end+1:]
	}
	return t, checkTemplate(to)
}

func checkTemplate(to string) error {
	for i := 0; i < len(to); i++ {
		if c := to[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^|`+"`", c) >= 0 {
			return fmt.Errorf("write the character %q in its escaped form", c)
		}
	}
	if strings.HasPrefix(to, "/") {
		if strings.HasPrefix(to, "//") || strings.HasPrefix(to, "/{") {
			return errors.New("a target that begins with / must go on with a fixed name, or a request's own path could name another site")
		}
		return nil
	}
	rest := to
	for _, prefix := range []string{"https://", "http://", "{scheme}://"} {
		rest = strings.TrimPrefix(rest, prefix)
	}
	if rest == to {
		return errors.New("it must begin with https://, http://, {scheme}:// or /")
	}
	authority := rest
	for _, end := range []string{"/", "?", "#", "{path}", "{query}"} {
		authority, _, _ = strings.Cut(authority, end)
	}
	switch {
	case authority == "":
		return errors.New("the host is missing")
	case strings.Contains(authority, "@"):
		return errors.New("credentials (name@) do not belong into a redirect")
	case strings.Contains(rest[len(authority):], "{host}") || strings.Contains(rest[len(authority):], "{scheme}"):
		return errors.New("{scheme} and {host} belong before the path")
	}
	return nil
}

// AppendLocation appends the redirect's target for a request. host may carry a port, which is left
// out; path and query are raw, the query without its question mark. Bytes that do not belong into a
// URI are escaped, so that nothing in a request can end the header line.
func (r *Route) AppendLocation(dst []byte, scheme string, host, path, query []byte, hasQuery bool) []byte {
	for _, p := range r.location {
		switch p.holder {
		case holdNothing:
			dst = append(dst, p.literal...)
		case holdScheme:
			dst = append(dst, scheme...)
		case holdHost:
			dst = appendURI(dst, cutPort(host))
		case holdPath:
			if len(path) == 0 || path[0] != '/' {
				dst = append(dst, '/') // OPTIONS *, or an absolute target without a path
				break
			}
			dst = appendURI(dst, path)
		case holdQuery:
			if hasQuery {
				dst = appendURI(append(dst, '?'), query)
			}
		}
	}
	return dst
}

func appendURI(dst, b []byte) []byte {
	for _, c := range b {
		switch {
		case c <= ' ', c >= 0x7f, c == '"', c == '<', c == '>', c == '\\', c == '^', c == '`', c == '{', c == '|', c == '}':
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// RedirectStatus returns the status of the redirect.
func (r *Route) RedirectStatus() int { return r.Config.redirectStatus() }

func (c *Config) redirectStatus() int {
	if c.Redirect.Status == 0 {
		return 308
	}
	return c.Redirect.Status
}
