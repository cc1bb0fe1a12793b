package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// mirror is an origin with a page for everybody, and answers that tell what it was asked.
func mirror(t *testing.T) string {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Cache-Control", "max-age=600")
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("ETag", `"v1"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("<p>the same for everybody</p>\n", 100)))
			return
		}
		w.Header().Set("Cache-Control", "private, no-store")
		var lines []string
		for name, values := range r.Header {
			if name != "X-Request-Id" && name != "Traceparent" {
				lines = append(lines, fmt.Sprintf("%s: %q\n", name, values))
			}
		}
		slices.Sort(lines)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s for %s\n%s\n%s", r.Method, r.Host, strings.Join(lines, ""), body)
	}))
	t.Cleanup(origin.Close)
	return origin.URL
}

// visit is one client's connection.
type visit struct {
	net.Conn
	r *bufio.Reader
}

// serial makes paths that nobody has asked for yet: of others the gateway remembers for a while what they came to.
var serial atomic.Int64

func newVisit(t *testing.T, addr string) *visit {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &visit{c, bufio.NewReader(c)}
}

// send writes requests at once.
func (v *visit) send(t *testing.T, requests ...string) {
	t.Helper()
	var b strings.Builder
	for _, r := range requests {
		b.WriteString(strings.Replace(r, "/mine", fmt.Sprintf("/mine/%d", serial.Add(1)), 1))
	}
	if _, err := io.WriteString(v, b.String()); err != nil {
		t.Fatal(err)
	}
}

var changing = regexp.MustCompile(`(?m)^(Date|Age|X-Request-Id): .*\r\n|; ?ttl=\d+`)

// answer reads the next answer, without what no two have in common.
func (v *visit) answer(t *testing.T, request string) string {
	t.Helper()
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(v.r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	var head bytes.Buffer
	_ = res.Header.Write(&head)
	return fmt.Sprintf("%s %d\n%s\n%q", res.Status, res.ContentLength, changing.ReplaceAllString(head.String(), ""), body)
}

// repeats are the field sections of one client, with their content.
var repeats = []string{
	"User-Agent: x\r\n\r\n",
	"User-Agent: x\r\nAccept-Encoding: gzip\r\n\r\n",
	"User-Agent: x\r\nAccept-Encoding: identity\r\n\r\n",
	"User-Agent: x\r\nIf-None-Match: \"v1\"\r\n\r\n",
	"User-Agent: x\r\nIf-None-Match: \"v2\"\r\n\r\n",
	"User-Agent: x\r\nRange: bytes=2-5\r\n\r\n",
	"User-Agent: x\r\nRange: bytes=2-6\r\n\r\n",
	"User-Agent: x\r\nCookie: session=1\r\n\r\n",
	"User-Agent: x\r\nCookie: session=2\r\n\r\n",
	"User-Agent: x\r\nAuthorization: Basic YTpi\r\n\r\n",
	"Connection: X-Mine, keep-alive\r\nX-Mine: 1\r\nX_Y: 2\r\nX-Forwarded-For: 9.9.9.9\r\nCookie: session=1\r\n\r\n",
	"Content-Length: 5\r\n\r\nhello",
	"Content-Length: 6\r\n\r\nhello!",
	"Transfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n",
}

// TestRepeatedFieldsAreAnsweredAsNewOnes: on a connection that repeats its fields, changes them and takes them up
// again, every request gets the answer that it gets alone on a new connection.
func TestRepeatedFieldsAreAnsweredAsNewOnes(t *testing.T) {
	_, addr := gateway(t, mirror(t))
	alone := func(request string) string {
		v := newVisit(t, addr)
		defer v.Close()
		v.send(t, request)
		return v.answer(t, request)
	}
	const host = " HTTP/1.1\r\nHost: shop.test\r\n"
	requests := map[string]string{}
	for _, fields := range repeats {
		for _, line := range []string{"GET /page", "HEAD /page", "GET /mine", "POST /mine", "POST http://other.test/mine"} {
			content := strings.Contains(fields, "Content-Length") || strings.Contains(fields, "Transfer-Encoding")
			if content && !strings.HasPrefix(line, "POST") {
				continue
			}
			requests[line+host+fields] = ""
		}
	}
	end := time.Now().Add(30 * time.Second)
	for strings.HasPrefix(alone("GET /page"+host+repeats[1]), "200 OK -1") { // until the compressed copy is there
		if time.Now().After(end) {
			t.Fatal("the page is never compressed")
		}
	}
	var all []string
	kinds := map[string]bool{}
	for r := range requests {
		requests[r] = alone(r)
		all = append(all, r)
		kinds[requests[r]] = true
	}
	slices.Sort(all)
	if len(kinds) < 25 {
		t.Fatalf("%d requests have only %d different answers: this proves little", len(all), len(kinds))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		v := newVisit(t, addr)
		last := 0
		for range 150 {
			var sent []string
			for range 1 + rnd.IntN(3) {
				if rnd.IntN(3) == 0 {
					last = rnd.IntN(len(all))
				}
				sent = append(sent, all[last])
			}
			v.send(t, sent...)
			for _, r := range sent {
				if got := v.answer(t, r); got != requests[r] {
					t.Fatalf("%s\nanswered\n%s\nalone\n%s", r, got, requests[r])
				}
			}
		}
	}
}
