package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/configs"
)

var rewrite = flag.Bool("rewrite", false, "write what the gateway does now into the golden traces")

// TestJourneys plays testdata/journeys/*.trace against a whole gateway with a scripted origin behind it. A
// trace holds requests, each followed by what the client got, what the origin was asked, and the journey as
// the decision log tells it. -rewrite renews them; read the difference before you commit it.
func TestJourneys(t *testing.T) {
	files, err := filepath.Glob("testdata/journeys/*.trace")
	if err != nil || len(files) == 0 {
		t.Fatal("no traces", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".trace"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	stage := newStage(t)
	var out strings.Builder
	for _, scene := range strings.SplitAfter(string(have), "\n\n=== ") {
		scene = strings.TrimSuffix(scene, "\n\n=== ")
		title, rest, ok := strings.Cut(strings.TrimPrefix(scene, "=== "), "\n")
		if !ok {
			t.Fatalf("a scene without a request: %q", scene)
		}
		request, _, _ := strings.Cut(rest, "\n---")
		request += "\n"
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "=== %s\n%s---\n%s", title, request, stage.play(t, request))
	}
	if out.String() == string(have) {
		return
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s has changed (- as committed, + now):\n%s", file, difference(string(have), out.String()))
}

// difference shows the lines from the first to the last one that differ.
func difference(have, now string) string {
	a, b := strings.Split(have, "\n"), strings.Split(now, "\n")
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return indent("- ", strings.Join(a, "\n")) + indent("+ ", strings.Join(b, "\n"))
}

// stage is a gateway, its origin and its decision log.
type stage struct {
	addr   string
	origin *script
	log    *bufio.Reader
}

const stageConfig = `
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
state_dir: %q
origins:
  app: {targets: [%q]}
  replica: {targets: [%q]}
  gone: {targets: ["http://127.0.0.1:1"]}
routes:
  - {name: app, match: {host: shop.test}, origin: app}
  - {name: reads, match: {host: shop.test, path: /split, methods: [GET]}, origin: replica}
  - {name: apex, match: {host: apex.test}, redirect: {to: "https://www.apex.test{path}{query}", status: 301}}
  - {name: robots, match: {host: shop.test, path: /robots.txt}, respond: {status: 200, body: "User-agent: *\n", headers: {Cache-Control: "max-age=3600"}}}
  - {name: down, match: {host: shop.test, path: "/down/*"}, origin: gone}
  - {name: small, match: {host: shop.test, path: "/small/*"}, origin: app, body_limit: 5B}
  - {name: ttl, match: {host: shop.test, path: "/ttl/*"}, origin: app, cache: {mode: ttl, ttl: 60s}}
  - {name: api, match: {host: shop.test, path: "/api/*"}, origin: app, cache: {mode: never}}
  - {name: edited, match: {host: shop.test, path: /edited}, origin: app, request_headers: {set: {X-Set: "1"}, remove: [X-Secret]}, response_headers: {remove: [X-Powered-By], set: {X-Frame-Options: DENY}}}
  - {name: guarded, match: {host: shop.test, path: "/admin/*"}, respond: {status: 403, body: "no\n"}}
  - {name: limited, match: {host: shop.test, path: "/limited/*"}, origin: app, rate_limits: [pages], cache: {mode: ttl, ttl: 60s}}
  - {name: login, match: {host: shop.test, path: "/login/*"}, origin: app, rate_limits: [logins, pages]}
  - {name: rehearsed, match: {host: shop.test, path: "/rehearsed/*"}, origin: app, rate_limits: [dry]}
rate_limits:
  policies:
    pages: {by: ["header:X-Key"], rate: 2/1h}
    logins: {by: ["header:X-Key", route], rate: 1/1h, count: all, page: "<h1>Slowly, please</h1>"}
    dry: {by: ["header:X-Key"], rate: 1/1h, dry_run: true}
cache: {jitter: 0} # the traces name lifetimes
clients: {trusted_proxies: []}
logging: {decisions: {output: %q, everything: true, flush: 1ms, address: full}}
shutdown: {think: 0s, grace: 1s}
`

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	s := &stage{origin: &script{}}
	origin := serveScript(t, s.origin)
	logFile := filepath.Join(dir, "decisions.log")
	file := filepath.Join(dir, "tzero.yaml")
	text := fmt.Sprintf(stageConfig, dir, "http://"+origin, "http://"+origin, logFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	in := configs.Input{Path: file}
	l, err := in.Load()
	if err != nil {
		t.Fatal(err)
	}
	svc, err := newServices(in, l, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- svc.run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.addr = svc.listener.Addrs()[0].String()
	f := openWhenThere(t, logFile, func() { s.send(t, "GET /first HTTP/1.1\nHost: nobody.test\nConnection: close\n") })
	t.Cleanup(func() { f.Close() })
	s.log = bufio.NewReader(f)
	s.journey(t)
	return s
}

// openWhenThere waits for the log's first line, which opens the file.
func openWhenThere(t *testing.T, path string, provoke func()) *os.File {
	t.Helper()
	provoke()
	for range 500 {
		if f, err := os.Open(path); err == nil {
			return f
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Fatal("the decision log never began")
	return nil
}

// play sends one request and writes down everything that came of it.
func (s *stage) play(t *testing.T, request string) string {
	t.Helper()
	s.origin.reset()
	answer := s.send(t, request)
	var out strings.Builder
	out.WriteString(indent("< ", tidy(answer)))
	for _, seen := range s.origin.seen() {
		out.WriteString(indent("@ ", tidy(seen)))
	}
	out.WriteString("journey: " + s.journey(t) + "\n")
	return out.String()
}

func (s *stage) send(t *testing.T, request string) string {
	t.Helper()
	head, body, _ := strings.Cut(request, "\n\n")
	raw := strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n") + "\r\n\r\n" + strings.TrimSuffix(body, "\n")
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	b, _ := io.ReadAll(c)
	return string(b)
}

// journey reads the next line of the decision log.
func (s *stage) journey(t *testing.T) string {
	t.Helper()
	var line []byte
	for range 1000 {
		part, err := s.log.ReadBytes('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		<-time.After(5 * time.Millisecond)
	}
	var d struct {
		Steps []string `json:"steps"`
		Error string   `json:"error"`
		Fault string   `json:"fault"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatalf("no line in the decision log: %v: %q", err, line)
	}
	j := strings.Join(d.Steps, " → ")
	if d.Fault != "" {
		j += " | fault: " + d.Fault
	}
	return j
}

var volatile = []struct {
	re  *regexp.Regexp
	put string
}{
	{regexp.MustCompile(`(?m)^Date: .*`), "Date: …"},
	{regexp.MustCompile(`(?m)^(X-Request-Id|traceparent): .*`), "$1: …"},
	{regexp.MustCompile(`request [0-9a-f]{32}`), "request …"},
	{regexp.MustCompile(`(boundary=|--)[0-9a-f]{32}`), "$1…"},
	{regexp.MustCompile(`"requestId":"[0-9a-f]{32}"`), `"requestId":"…"`},
	{regexp.MustCompile(`(Host|host=)(: )?127\.0\.0\.1:\d+`), "$1$2ORIGIN"},
	{regexp.MustCompile(`Retry-After: \d{4}\b`), "Retry-After: …"},
	{regexp.MustCompile(`again in \d+ (minutes|hours)`), "again in …"},
	{regexp.MustCompile(`;t=(1799|1800)\b`), ";t=1800"},
	{regexp.MustCompile(`;t=(3599|3600)\b`), ";t=3600"},
	{regexp.MustCompile(`ttl=(59|60)\b`), "ttl=60"},
	{regexp.MustCompile(`ttl=-?[01]\b`), "ttl=0"},
}

func tidy(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	for _, v := range volatile {
		s = v.re.ReplaceAllString(s, v.put)
	}
	if len(s) > 1200 {
		s = s[:1200] + "…"
	}
	return strings.TrimRight(s, "\n")
}

func indent(prefix, s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(s, "\n") {
		b.WriteString(strings.TrimRight(prefix+line, " ") + "\n")
	}
	return b.String()
}

// script is an origin whose answers go by the path. It keeps the raw bytes of what it was asked.
type script struct {
	mu   sync.Mutex
	reqs []string
}

func (s *script) reset() { s.mu.Lock(); s.reqs = nil; s.mu.Unlock() }

func (s *script) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.reqs...)
}

func serveScript(t *testing.T, s *script) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() { defer wg.Done(); s.serve(c) }()
		}
	}()
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// serve reads requests as they stand on the wire and answers each; the connection ends when it should.
func (s *script) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		var head bytes.Buffer
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
			if line == "\r\n" {
				break
			}
		}
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head.Bytes()), br)))
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		s.mu.Lock()
		s.reqs = append(s.reqs, head.String()+string(body))
		s.mu.Unlock()
		answer, keep := scripted(req)
		if req.Method == "HEAD" {
			head, _, _ := strings.Cut(answer, "\n\n")
			answer = head + "\n\n"
		}
		if _, err := io.WriteString(c, strings.ReplaceAll(answer, "\n", "\r\n")); err != nil || !keep {
			return
		}
	}
}

const html = "Content-Type: text/html\n"

func ok(fields, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\n%sContent-Length: %d\n\n%s", fields, len(body), body)
}

// ranged answers one range as it is asked for.
func ranged(fields, body string, r *http.Request) string {
	var first, last int
	if v := r.Header.Get("If-Range"); r.Method == "HEAD" || v != "" && !strings.Contains(fields, v) {
		r.Header.Del("Range")
	}
	fields = "Content-Type: video/mp4\nCache-Control: max-age=60\n" + fields
	switch n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); {
	case n == 0:
		return ok(fields, body)
	case n == 1:
		last = len(body) - 1
	}
	return strings.Replace(ok(fmt.Sprintf("%sContent-Range: bytes %d-%d/%d\n", fields, first, last, len(body)), body[first:last+1]), "200 OK", "206 Partial Content", 1)
}

// scripted returns the answer to a request, with \n for line ends, and whether the connection stays.
func scripted(r *http.Request) (string, bool) {
	path := r.URL.Path
	switch {
	case path == "/etag" && r.Header.Get("If-None-Match") == `"v1"`:
		return "HTTP/1.1 304 Not Modified\nETag: \"v1\"\nCache-Control: max-age=0\n\n", true
	case path == "/etag":
		return ok(html+"ETag: \"v1\"\nCache-Control: max-age=0\n", "tagged"), true
	case path == "/private":
		return ok(html+"Cache-Control: private\nSet-Cookie: a=1; Path=/\nSet-Cookie: b=2\n", "yours"), true
	case path == "/vary":
		return ok(html+"Cache-Control: max-age=60\nVary: Accept-Language\n", "lang "+r.Header.Get("Accept-Language")), true
	case path == "/chunked":
		return "HTTP/1.1 200 OK\nContent-Type: text/plain\nCache-Control: no-store\nTransfer-Encoding: chunked\nTrailer: X-Sum\n\n3\none\n3\ntwo\n0\nX-Sum: 6\nX-Not-Announced: 1\n\n", true
	case path == "/close":
		return "HTTP/1.1 200 OK\nContent-Type: text/plain\nCache-Control: max-age=60\n\nuntil the end", false
	case path == "/short":
		return "HTTP/1.1 200 OK\nContent-Type: text/plain\nCache-Control: max-age=60\nContent-Length: 100\n\nonly this", false
	case path == "/reset":
		return "", false
	case path == "/garbage":
		return "HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 4\n\nabcd", false
	case path == "/early":
		return "HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload\n\n" + ok("Cache-Control: no-store\n", "page"), true
	case path == "/hop":
		return ok("Cache-Control: no-store\nConnection: X-Internal\nX-Internal: 1\nKeep-Alive: timeout=5\nX-Twice: a\nX-Twice: b\nDate: Tue, 03 Nov 2026 10:00:00 GMT\n", "x"), true
	case path == "/named":
		return ok(html+"Cache-Control: max-age=60, no-cache=\"Set-Cookie\"\nSet-Cookie: sid=1\n", "page"), true
	case path == "/canon":
		return ok(html+"Cache-Control: max-age=60\n", "asked as "+r.Host), true
	case path == "/film":
		return ranged("ETag: \"f1\"\n", "0123456789abcdefghij", r), true
	case path == "/untold":
		return ranged("", "0123456789abcdefghij", r), true
	case path == "/odd": // what comes is shorter than it says it is
		return "HTTP/1.1 206 Partial Content\nCache-Control: max-age=60\nContent-Range: bytes 4-9/10\nContent-Length: 5\n\n01234", true
	case path == "/missing":
		return "HTTP/1.1 404 Not Found\nContent-Length: 4\n\nnone", true
	case path == "/long":
		return ok("Content-Type: text/css\nCache-Control: max-age=60\nETag: \"s\"\n", strings.Repeat("a { color: red }\n", 200)), true
	case path == "/api/prices": // an API of which nothing is stored, and which says what page it changed
		return "HTTP/1.1 201 Created\nLocation: /ttl/prices?currency=eur\nContent-Length: 0\n\n", true
	case path == "/edited":
		return ok("Cache-Control: no-store\nX-Powered-By: PHP\n", "set "+r.Header.Get("X-Set")), true
	case strings.HasPrefix(path, "/ttl/"):
		return ok(html+"Cache-Control: private\n", "cookie "+r.Header.Get("Cookie")), true
	}
	return ok(html+"Cache-Control: max-age=60\nETag: \"f\"\n", "hello from "+r.URL.RequestURI()), true
}
