package route

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tzero-edge/tzero/internal/conf"
)

// at is the path of an item of the list.
func at(i int) string { return "[" + strconv.Itoa(i) + "]" }

// findings collects problems.
type findings []conf.Problem

func (f *findings) addf(path, format string, args ...any) {
	*f = append(*f, conf.Problem{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// Validate checks one route by itself. Whether its origin exists and whether other routes hide it is
// for whoever has the whole list ([New]). Header changes are checked by the package that applies them.
func (c Config) Validate() []conf.Problem {
	var f findings
	if c.Name != "" && !validName(c.Name) {
		f.addf("name", "%q is not a name; use up to 64 letters, digits, '.', '_' and '-'", c.Name)
	}
	c.Match.validate(&f)
	c.validateAction(&f)
	if c.BodyLimit < 0 {
		f.addf("body_limit", "it is negative")
	}
	if !slices.Contains([]string{"", "auto", "on", "off"}, c.Compress) {
		f.addf("compress", "%q is not one of auto, on and off", c.Compress)
	}
	c.Timeouts.validate(&f)
	return f
}

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return len(s) <= 64
}

func (m *MatchConfig) validate(f *findings) {
	if m.Scheme != "" && m.Scheme != "http" && m.Scheme != "https" {
		f.addf("match.scheme", "%q is not one of http and https", m.Scheme)
	}
	validateList(f, "match.host", m.Host, m.Hosts, func(s string) error { _, err := parseHost(s); return err })
	validateList(f, "match.path", m.Path, m.Paths, func(s string) error { _, err := parsePath(s); return err })
	for i, method := range m.Methods {
		if reason := methodFault(method); reason != "" {
			f.addf("match.methods"+at(i), "%s", reason)
		} else if slices.Contains(m.Methods[:i], method) {
			f.addf("match.methods"+at(i), "%s stands here twice", method)
		}
	}
	m.validateHeaders(f)
}

// validateList checks a pair of keys of which one holds one value and the other several.
func validateList(f *findings, key, one string, many []string, check func(string) error) {
	if one != "" && len(many) > 0 {
		f.addf(key+"s", "%s is given as well; put all of them into %ss", key[len("match."):], key[len("match."):])
	}
	if one != "" {
		if err := check(one); err != nil {
			f.addf(key, "%v", err)
		}
	}
	for i, s := range many {
		if err := check(s); err != nil {
			f.addf(key+"s"+at(i), "%v", err)
		} else if s == "" {
			f.addf(key+"s"+at(i), "it is empty")
		} else if slices.ContainsFunc(many[:i], func(o string) bool { return strings.EqualFold(o, s) && key == "match.host" || o == s }) {
			f.addf(key+"s"+at(i), "%q stands here twice", s)
		}
	}
}

func methodFault(m string) string {
	switch {
	case m == "" || len(m) > 32 || !isToken(m):
		return fmt.Sprintf("%q is not a method", m)
	case m == "CONNECT" || m == "TRACE":
		return m + " is never forwarded; tzero answers it itself"
	case strings.ToUpper(m) != m && methodBit([]byte(strings.ToUpper(m))) != 0:
		return fmt.Sprintf("methods are case-sensitive; write %s", strings.ToUpper(m))
	}
	return ""
}

func (m *MatchConfig) validateHeaders(f *findings) {
	for i, h := range m.Headers {
		key := "match.headers" + at(i)
		switch {
		case !isToken(h.Name):
			f.addf(key+".name", "%q is not a header name", h.Name)
		case strings.Contains(h.Name, "_"):
			f.addf(key+".name", "headers with an underscore are dropped at the door and cannot match")
		case strings.EqualFold(h.Name, "host"):
			f.addf(key+".name", "use host instead")
		case slices.ContainsFunc(m.Headers[:i], func(o HeaderMatch) bool { return strings.EqualFold(o.Name, h.Name) }):
			f.addf(key+".name", "%s has a condition already", h.Name)
		}
		if h.Equals != "" && h.Prefix != "" {
			f.addf(key+".prefix", "equals is given as well; use one of them")
		}
		if v := h.Equals + h.Prefix; !validValue(v) {
			f.addf(key, "the value contains control characters, or begins or ends with space, and can never match")
		}
	}
}

// validValue reports whether a field value can look like this (RFC 9110 §5.5).
func validValue(v string) bool {
	for i := 0; i < len(v); i++ {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return strings.Trim(v, " \t") == v
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

func (c *Config) validateAction(f *findings) {
	var has []string
	if c.Origin != "" {
		has = append(has, "origin")
	}
	if c.Redirect != (RedirectConfig{}) {
		has = append(has, "redirect")
		c.validateRedirect(f)
	}
	if c.hasResponse() {
		has = append(has, "respond")
		c.validateRespond(f)
	}
	switch len(has) {
	case 0:
		f.addf("", "the route does nothing; give it one of origin, redirect and respond")
	case 1:
	default:
		f.addf(has[1], "the route has %s as well; it can do one thing only", has[0])
	}
}

func (c *Config) validateRedirect(f *findings) {
	if !slices.Contains([]int{0, 301, 302, 303, 307, 308}, c.Redirect.Status) {
		f.addf("redirect.status", "%d is not one of 301, 302, 303, 307 and 308", c.Redirect.Status)
	}
	to := c.Redirect.To
	if to == "" {
		f.addf("redirect.to", "it is missing")
		return
	}
	if _, err := parseTemplate(to); err != nil {
		f.addf("redirect.to", "%q is not a redirect target: %v", to, err)
		return
	}
	switch {
	case to == "{scheme}://{host}{path}{query}",
		to == "https://{host}{path}{query}" && c.Match.Scheme == "https",
		to == "http://{host}{path}{query}" && c.Match.Scheme == "http":
		f.addf("redirect.to", "it leads back to the same address, forever")
	case to == "https://{host}{path}{query}" && c.Match.Scheme == "":
		f.addf("redirect.to", "requests over https would be redirected to themselves, forever; add scheme: http to match")
	}
}

func (c *Config) hasResponse() bool {
	r := &c.Respond
	return r.Status != 0 || r.Body != "" || r.ContentType != "" || len(r.Headers) > 0
}

func (c *Config) validateRespond(f *findings) {
	r := &c.Respond
	switch {
	case r.Status == 0:
		f.addf("respond.status", "it is missing")
	case r.Status < 200 || r.Status > 599:
		f.addf("respond.status", "%d is not a final status code, 200 to 599", r.Status)
	case r.Body != "" && (r.Status == 204 || r.Status == 205 || r.Status == 304):
		f.addf("respond.body", "a %d has no body", r.Status)
	}
	if !validValue(r.ContentType) {
		f.addf("respond.content_type", "it contains control characters, or begins or ends with space")
	}
	for name, value := range sorted(r.Headers) {
		switch lower := strings.ToLower(name); {
		case !isToken(name):
			f.addf("respond.headers", "%q is not a header name", name)
		case !validValue(value):
			f.addf("respond.headers."+name, "the value contains control characters, or begins or ends with space")
		case slices.Contains([]string{"content-length", "transfer-encoding", "connection", "content-type", "date", "trailer", "upgrade", "keep-alive"}, lower):
			f.addf("respond.headers."+name, "tzero writes this header itself")
		}
	}
}

func (t *TimeoutConfig) validate(f *findings) {
	if t.Total > 0 {
		for key, d := range sorted(map[string]conf.Duration{"connect": t.Connect, "first_byte": t.FirstByte}) {
			if d > t.Total {
				f.addf("timeouts."+key, "%s is longer than total (%s), which would cut it off", d, t.Total)
			}
		}
	}
}
