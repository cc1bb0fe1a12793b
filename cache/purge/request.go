package purge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Request is what an operator asks for: one purge of all targets together.
type Request struct {
	URLs     []string `json:"urls,omitempty"`     // pages, absolute
	Prefixes []string `json:"prefixes,omitempty"` // hosts with paths, absolute
	Tags     []string `json:"tags,omitempty"`     // of Surrogate-Key, Cache-Tag and Cache-Groups
	All      bool     `json:"all,omitempty"`
	Soft     bool     `json:"soft,omitempty"` // stale from now on, and used while new ones are fetched
}

// MaxTargets bounds one request.
const MaxTargets = 10000

// ReadRequest reads a request in JSON. The plural names take lists; url, prefix and tag are short for lists of one.
func ReadRequest(b []byte) (Request, error) {
	var r struct {
		Request
		URL    string `json:"url"`
		Prefix string `json:"prefix"`
		Tag    string `json:"tag"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return Request{}, fmt.Errorf(`cannot read the purge: %s; write it as {"tags": ["news"]}, {"urls": […]}, {"prefixes": […]} or {"all": true}, with "soft": true if what is stored may be used while it is renewed`, plain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("cannot read the purge: something follows the JSON object")
	}
	for _, one := range []struct {
		value string
		list  *[]string
	}{{r.URL, &r.URLs}, {r.Prefix, &r.Prefixes}, {r.Tag, &r.Tags}} {
		if one.value != "" {
			*one.list = append(*one.list, one.value)
		}
	}
	return r.Request, r.Request.check()
}

// plain says what is wrong with JSON in words that know nothing of Go.
func plain(err error) string {
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "there is nothing"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.As(err, &kind) && kind.Field == "":
		return "it is an " + kind.Value + " and no object"
	case errors.As(err, &kind):
		name := kind.Field[strings.LastIndexByte(kind.Field, '.')+1:]
		return fmt.Sprintf("%s cannot be of the kind %s", name, kind.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func (r *Request) check() error {
	switch n := len(r.URLs) + len(r.Prefixes) + len(r.Tags); {
	case r.All && n > 0:
		return errors.New("cannot purge everything and some of it: name targets, or all")
	case !r.All && n == 0:
		return errors.New("cannot purge nothing: name tags, urls or prefixes, or say all")
	case n > MaxTargets:
		return fmt.Errorf("cannot purge %d targets at once: at most %d; a tag that they share makes them one", n, MaxTargets)
	}
	return nil
}

// Targets counts what is to be purged.
func (r *Request) Targets() int {
	if r.All {
		return 1
	}
	return len(r.URLs) + len(r.Prefixes) + len(r.Tags)
}

// Kind is the purge's kind.
func (r *Request) Kind() Kind {
	if r.Soft {
		return Soft
	}
	return Hard
}

// Address is a page's, as a visitor's browser asks for it.
type Address struct {
	Scheme   string // http or https
	Host     string
	Path     string // raw, at least "/"
	Query    string
	HasQuery bool
}

// Cells are the cells of all targets. target gives a page's target as it is keyed: some parameters of a query may not
// count. It is asked for http and for https, which may have routes of their own.
func (r *Request) Cells(target func(*Address) []byte) ([]Cell, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.All {
		return []Cell{Everything}, nil
	}
	var cells []Cell
	for _, s := range r.URLs {
		a, err := readAddress(s)
		if err != nil {
			return nil, fmt.Errorf("cannot purge %.200q: %w; write it as visitors see it, as https://example.org/news?page=2", s, err)
		}
		for _, a.Scheme = range []string{"http", "https"} {
			cells = append(cells, URL([]byte(a.Host), target(&a)))
		}
	}
	for _, s := range r.Prefixes {
		c, err := prefix(s)
		if err != nil {
			return nil, fmt.Errorf("cannot purge the prefix %.200q: %w; a prefix is a host and the beginning of a path, whole segments, as https://example.org/blog", s, err)
		}
		cells = append(cells, c)
	}
	for _, s := range r.Tags {
		if s == "" || len(s) > MaxTag || strings.ContainsFunc(s, unicode.IsControl) {
			return nil, fmt.Errorf("cannot purge the tag %.40q: a tag has 1 to %d bytes, and no control characters", s, MaxTag)
		}
		cells = append(cells, Tag([]byte(s)))
		if parts := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' }); len(parts) > 1 {
			for _, p := range parts { // Cache-Tag and Cache-Groups can have it as one, Surrogate-Key as several
				cells = append(cells, Tag([]byte(p)))
			}
		}
	}
	slices.Sort(cells)
	return slices.Compact(cells), nil
}

// readAddress takes an absolute URL apart. The path stays as it is written, since paths are never rewritten, but for what no
// client sends as it is.
func readAddress(s string) (Address, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Opaque != "", u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil:
		return Address{}, errors.New("it is no page's address")
	case !isPort(u.Port()):
		return Address{}, fmt.Errorf("there is no port %.20s", u.Port())
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf || r <= ' ' }):
		return Address{}, errors.New("write the host's name as it is sent, which for letters beyond ASCII begins with xn--")
	}
	_, rest, _ := strings.Cut(s, "//")
	rest, _, _ = strings.Cut(rest, "#")
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		rest, at = rest+"/", len(rest)
	}
	a := Address{Scheme: u.Scheme, Host: u.Host}
	a.Path, a.Query, a.HasQuery = strings.Cut(rest[at:], "?")
	a.Path, a.Query = encoded(a.Path, "\"<>`{}"), encoded(a.Query, "\"<>")
	if a.Path == "" {
		a.Path = "/"
	}
	return a, nil
}

// encoded writes what is no printable ASCII, and the characters of also, as browsers do (URL Standard, path and query
// percent-encode sets, but for ^, which the door lets pass).
func encoded(s, also string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(also, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil
}

// prefix takes https://host/path and host/path. A word alone is rather a path whose host was forgotten than a host.
func prefix(s string) (Cell, error) {
	full := s
	bare := !strings.Contains(s, "://")
	if bare {
		full = "https://" + s
	}
	a, err := readAddress(full)
	switch {
	case err != nil:
		return 0, err
	case strings.ContainsAny(s, "?#*"):
		return 0, errors.New("it has more than a host and a path")
	case bare && !strings.ContainsAny(a.Host, ".:") && a.Host != "localhost":
		return 0, errors.New("it names no host")
	case strings.Count(strings.TrimRight(a.Path, "/"), "/") > MaxDepth:
		return 0, fmt.Errorf("it has more than %d segments; purge the page, or a shorter one", MaxDepth)
	}
	return Prefix([]byte(a.Host), []byte(a.Path)), nil
}
