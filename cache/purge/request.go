package purge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
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

// Kind is the purge's kind.
func (r *Request) Kind() Kind {
	if r.Soft {
		return Soft
	}
	return Hard
}

// Cells are the cells of all targets. target gives a page's target as it is keyed: some parameters of a query may not
// count.
func (r *Request) Cells(target func(*url.URL) []byte) ([]Cell, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.All {
		return []Cell{Everything}, nil
	}
	var cells []Cell
	for _, s := range r.URLs {
		u, err := page(s)
		if err != nil {
			return nil, err
		}
		cells = append(cells, URL([]byte(u.Host), target(u)))
	}
	for _, s := range r.Prefixes {
		c, err := prefix(s)
		if err != nil {
			return nil, err
		}
		cells = append(cells, c)
	}
	for _, s := range r.Tags {
		if s == "" || len(s) > MaxTag || strings.ContainsAny(s, " \t\r\n,") {
			return nil, fmt.Errorf("cannot purge the tag %.40q: a tag has 1 to %d bytes and neither spaces nor commas", s, MaxTag)
		}
		cells = append(cells, Tag([]byte(s)))
	}
	return cells, nil
}

func page(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !isPort(u.Port()) || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("cannot purge %.200q: it is no page's address; write it as visitors see it, as https://example.org/news?page=2", s)
	}
	return u, nil
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
	u, err := page(full)
	switch {
	case err == nil && bare && u.Port() == "" && u.Host != "localhost" && !strings.Contains(u.Host, "."):
		return 0, fmt.Errorf("cannot purge the prefix %.200q: it names no host; write it as visitors see it, as https://example.org/blog", s)
	case err != nil || strings.ContainsAny(s, "?#*"):
		return 0, fmt.Errorf("cannot purge the prefix %.200q: a prefix is a host and the beginning of a path, whole segments, as https://example.org/blog", s)
	case strings.Count(strings.TrimRight(u.EscapedPath(), "/"), "/") > MaxDepth:
		return 0, fmt.Errorf("cannot purge the prefix %.200q: it has more than %d segments; purge the page, or a shorter prefix", s, MaxDepth)
	}
	return Prefix([]byte(u.Host), []byte(u.EscapedPath())), nil
}
