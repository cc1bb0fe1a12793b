package key

import (
	"bytes"
	"fmt"
	"strings"
)

// Mode says which query parameters belong to the key and to a cacheable fetch.
type Mode uint8

// The modes.
const (
	Deny  Mode = iota // all but the named ones; the default, with TrackingParameters
	All               // all of them, byte for byte
	None              // none: the query never reaches key or origin
	Allow             // the named ones only
)

// TrackingParameters are the names that say where a visitor came from and nothing about the page.
func TrackingParameters() []string {
	return []string{
		"utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "fbclid", "msclkid", "yclid",
		"twclid", "ttclid", "li_fat_id", "igshid", "mc_cid", "mc_eid", "_ga", "_gl", "_hsenc", "_hsmi",
		"ref=producthunt", "ref=hackernews",
	}
}

// QueryRule is a compiled rule. A nil pointer keeps the whole query. Rules are immutable and may be shared.
type QueryRule struct {
	mode     Mode
	first    [256]bool           // first bytes of all names: most parameters are none of them
	exact    map[string]struct{} // "gclid", "ref=producthunt"
	prefixes []string            // "utm_"
}

// NewQueryRule compiles a rule. A name may end in "*" (a prefix) or be "name=value", which matches
// that one value only; names are compared byte for byte with the raw query.
func NewQueryRule(mode Mode, names []string) (*QueryRule, error) {
	r := &QueryRule{mode: mode, exact: make(map[string]struct{}, len(names))}
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, "&#? \t") {
			return nil, fmt.Errorf("cannot use %q as a query parameter's name", n)
		}
		r.first[n[0]] = true
		prefix, wild := strings.CutSuffix(n, "*")
		switch {
		case strings.Contains(prefix, "*"):
			return nil, fmt.Errorf("cannot use %q as a query parameter's name: * is allowed at its end only", n)
		case wild && prefix == "":
			return nil, fmt.Errorf("cannot use %q as a query parameter's name: it names all of them", n)
		case wild:
			r.prefixes = append(r.prefixes, prefix)
		default:
			r.exact[n] = struct{}{}
		}
	}
	return r, nil
}

// AppendTarget appends path and query as they are keyed and forwarded. When the rule drops no parameter the
// bytes are exactly those of the request; a "?" stays unless everything behind it went.
func AppendTarget(dst, path, query []byte, hasQuery bool, rule *QueryRule) []byte {
	dst = append(dst, path...)
	switch {
	case !hasQuery:
		return dst
	case rule == nil || rule.mode == All:
		dst = append(dst, '?')
		return append(dst, query...)
	case rule.mode == None:
		return dst
	}
	sep := byte('?')
	for more := true; more; {
		var param []byte
		param, query, more = bytes.Cut(query, []byte("&"))
		if rule.names(param) == (rule.mode == Allow) {
			dst = append(dst, sep)
			dst = append(dst, param...)
			sep = '&'
		}
	}
	return dst
}

// names reports whether a parameter, "name" or "name=value", is one of the rule's.
func (r *QueryRule) names(param []byte) bool {
	if len(param) == 0 || !r.first[param[0]] {
		return false
	}
	name := param
	if i := bytes.IndexByte(param, '='); i >= 0 {
		name = param[:i]
		if _, ok := r.exact[string(param)]; ok {
			return true
		}
	}
	if _, ok := r.exact[string(name)]; ok {
		return true
	}
	for _, p := range r.prefixes {
		if len(name) >= len(p) && string(name[:len(p)]) == p {
			return true
		}
	}
	return false
}
