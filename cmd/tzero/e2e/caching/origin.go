// Package caching tests the real binary's caching by cases of our own: what the public suite
// (cmd/tzero/e2e/conformance) does not ask in the version that is run there, such as targeted cache control with the
// grammar of its fields, interim responses, the windows for serving stale, equivalent queries, and the bounds on what
// one client can do to the cache.
package caching

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Answer makes an origin's nth answer, counted from 1, to one path.
type Answer func(n int, w http.ResponseWriter, r *http.Request)

// Origin is an app whose answers each test writes for paths of its own, and that keeps what it was asked.
type Origin struct {
	URL string

	mu      sync.Mutex
	answers map[string]Answer
	asked   map[string][]*http.Request
}

// NewOrigin starts an origin that stops with the test.
func NewOrigin(t testing.TB) *Origin {
	o := &Origin{answers: map[string]Answer{}, asked: map[string][]*http.Request{}}
	s := httptest.NewServer(o)
	t.Cleanup(s.Close)
	o.URL = s.URL
	return o
}

// On says how a path is answered.
func (o *Origin) On(path string, a Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[path] = a
}

// Asked gives the requests for a path so far, whatever their query.
func (o *Origin) Asked(path string) []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]*http.Request(nil), o.asked[path]...)
}

func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked[r.URL.Path] = append(o.asked[r.URL.Path], r.Clone(r.Context()))
	n, a := len(o.asked[r.URL.Path]), o.answers[r.URL.Path]
	o.mu.Unlock()
	if a == nil {
		http.NotFound(w, r)
		return
	}
	a(n, w, r)
}

// Lines writes "Name: value" lines into a header, each on its own.
func Lines(h http.Header, lines ...string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		h.Add(name, strings.TrimSpace(value))
	}
}

// Raw sends bytes as they stand and hangs up.
func Raw(w http.ResponseWriter, response string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer func(c net.Conn) { _ = c.Close() }(c)
	_, _ = c.Write([]byte(strings.ReplaceAll(response, "\n", "\r\n")))
}
