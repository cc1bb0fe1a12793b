package caching_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/caching"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// rig is a gateway before an origin, and a client.
type rig struct {
	*testing.T
	origin *caching.Origin
	url    string
}

// start runs the gateway; section is what stands under the route's cache key.
func start(t *testing.T, section string) *rig {
	t.Helper()
	o := caching.NewOrigin(t)
	config := harness.Config{Origin: o.URL}.YAML(t)
	if section != "" {
		config = strings.Replace(config, "routes: [{origin: app}]", "routes: [{origin: app, cache: "+section+"}]", 1)
	}
	return &rig{T: t, origin: o, url: harness.Start(t, config).URL}
}

// reply is what the client got.
type reply struct {
	*http.Response
	body string
}

// hit reports whether the cache answered without asking.
func (r reply) hit() bool { return strings.Contains(r.Header.Get("Cache-Status"), "tzero; hit") }

func (r *rig) do(method, target string, lines ...string) reply {
	r.Helper()
	req, err := http.NewRequest(method, r.url+target, nil)
	if err != nil {
		r.Fatal(err)
	}
	caching.Lines(req.Header, lines...)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		b = append(b, " broken off"...)
	}
	return reply{resp, string(b)}
}

func (r *rig) get(target string, lines ...string) reply {
	r.Helper()
	return r.do("GET", target, lines...)
}

// says answers with lines and a body that counts.
func says(lines ...string) caching.Answer {
	return func(n int, w http.ResponseWriter, _ *http.Request) {
		caching.Lines(w.Header(), lines...)
		fmt.Fprintf(w, "body %d", n)
	}
}

// TestTargeted is RFC 9213 with the grammar of RFC 9651.
func TestTargeted(t *testing.T) {
	r := start(t, "")
	const yes, no = true, false
	for i, c := range []struct {
		reused bool
		lines  []string
	}{
		{yes, []string{"CDN-Cache-Control: max-age=3600"}},
		{yes, []string{"Tzero-Cache-Control: max-age=3600"}},
		{yes, []string{"CDN-Cache-Control: max-age=3600", "Cache-Control: no-store"}},
		{yes, []string{"CDN-Cache-Control: max-age=3600", "Cache-Control: max-age=0", "Expires: 0"}},
		{no, []string{"CDN-Cache-Control: no-store", "Cache-Control: max-age=3600"}},
		{no, []string{"CDN-Cache-Control: no-cache", "Cache-Control: max-age=3600"}},
		{no, []string{"CDN-Cache-Control: private", "Cache-Control: max-age=3600"}},
		{no, []string{"CDN-Cache-Control: max-age=0", "Cache-Control: max-age=3600"}},
		{no, []string{"CDN-Cache-Control: none", "Cache-Control: max-age=3600"}},
		{yes, []string{"Tzero-Cache-Control: max-age=3600", "CDN-Cache-Control: no-store"}},
		{no, []string{"Tzero-Cache-Control: no-store", "CDN-Cache-Control: max-age=3600"}},
		{yes, []string{"CDN-Cache-Control: max-age=1", "CDN-Cache-Control: max-age=3600", "Age: 60"}},
		{yes, []string{"CDN-Cache-Control: max-age=3600;foo=bar"}},
		{yes, []string{"CDN-Cache-Control: foobar, max-age=3600"}},
		{no, []string{"CDN-Cache-Control: max-age=3600", "Age: 7200"}},
		// Broken anywhere: as if it were not there.
		{no, []string{"CDN-Cache-Control: max-age =3600"}},
		{no, []string{"CDN-Cache-Control: max-age= 3600"}},
		{no, []string{"CDN-Cache-Control: MaX-aGe=3600"}},
		{no, []string{"CDN-Cache-Control: max-age=3600,"}},
		{yes, []string{"CDN-Cache-Control: no-store, &", "Cache-Control: max-age=3600"}},
		{yes, []string{"CDN-Cache-Control:", "Cache-Control: max-age=3600"}},
		// Of the wrong type.
		{no, []string{"CDN-Cache-Control: max-age=3600.0"}},
		{no, []string{`CDN-Cache-Control: max-age="3600"`}},
		{no, []string{"CDN-Cache-Control: max-age=a3600"}},
		{no, []string{"CDN-Cache-Control: max-age=-3600"}},
		// Not in the list: no matter.
		{no, []string{"Surrogate-Control: max-age=3600"}},
		{yes, []string{"Surrogate-Control: no-store", "Cache-Control: max-age=3600"}},
	} {
		path := fmt.Sprintf("/targeted/%d", i)
		r.origin.On(path, says(c.lines...))
		r.get(path)
		if got := r.get(path); got.hit() != c.reused {
			t.Errorf("%q: %s", c.lines, got.Header.Get("Cache-Status"))
		}
	}
}

// TestTargetedFieldsGoTheirWay: what speaks to tzero ends there, what speaks to networks goes on.
func TestTargetedFieldsGoTheirWay(t *testing.T) {
	all := []string{"Tzero-Cache-Control: max-age=60", "CDN-Cache-Control: max-age=50", "Surrogate-Control: max-age=40", "ETag: \"1\""}
	check := func(section string, surrogate bool, age string) {
		t.Helper()
		r := start(t, section)
		r.origin.On("/", says(all...))
		r.origin.On("/alone", says(append(all, "Set-Cookie: a=b")...))
		for _, target := range []string{"/", "/", "/alone", "/alone"} {
			got := r.get(target)
			if got.Header.Get("Tzero-Cache-Control") != "" || got.Header.Get("CDN-Cache-Control") != "max-age=50" ||
				(got.Header.Get("Surrogate-Control") == "") != surrogate {
				t.Errorf("%s %s: the client got %v", section, target, got.Header)
			}
			if target == "/" && got.hit() && !strings.Contains(got.Header.Get("Cache-Status"), "ttl="+age) {
				t.Errorf("%s: %s, want ttl=%s", section, got.Header.Get("Cache-Status"), age)
			}
		}
		capability := r.origin.Asked("/")[0].Header.Get("Surrogate-Capability")
		if (capability != "") != surrogate {
			t.Errorf("%s: the origin was sent Surrogate-Capability %q", section, capability)
		}
	}
	check("", false, "5")
	check("{targeted: [Surrogate-Control, CDN-Cache-Control]}", true, "3")
}

// TestInterim: 1xx responses are sent on, and never stored.
func TestInterim(t *testing.T) {
	r := start(t, "")
	r.origin.On("/", func(n int, w http.ResponseWriter, _ *http.Request) {
		for _, status := range []int{102, 103} {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.Header().Set("Cache-Control", "max-age=3600")
			w.WriteHeader(status)
		}
		w.Header().Del("Link")
		fmt.Fprintf(w, "body %d", n)
	})
	ask := func() (reply, []int) {
		var seen []int
		req, _ := http.NewRequest("GET", r.url+"/", nil)
		req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { seen = append(seen, code); return nil },
		}))
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return reply{resp, string(b)}, seen
	}
	first, seen := ask()
	if fmt.Sprint(seen) != "[102 103]" || first.StatusCode != 200 || first.body != "body 1" {
		t.Errorf("first: %v, then %d %q", seen, first.StatusCode, first.body)
	}
	second, seen := ask()
	if len(seen) != 0 || !second.hit() || second.body != "body 1" || second.Header.Get("Link") != "" {
		t.Errorf("second: %v, then %s %q %v", seen, second.Header.Get("Cache-Status"), second.body, second.Header)
	}
}

// TestStaleWindows is RFC 5861. A response that comes with an Age is stale at once, so that nothing has to wait.
func TestStaleWindows(t *testing.T) {
	r := start(t, "{stale_if_down: 0s}")
	at := func(path, control string, later caching.Answer) {
		r.origin.On(path, func(n int, w http.ResponseWriter, req *http.Request) {
			if n > 1 {
				later(n, w, req)
				return
			}
			caching.Lines(w.Header(), "Age: 100", `ETag: "1"`, "Cache-Control: "+control)
			fmt.Fprint(w, "old")
		})
		r.get(path)
	}
	fresh := says("Cache-Control: max-age=3600")
	fails := func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }
	hangs := func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

	at("/swr", "max-age=60, stale-while-revalidate=1000", fresh)
	if got := r.get("/swr"); got.body != "old" || !got.hit() {
		t.Errorf("within stale-while-revalidate: %q %s", got.body, got.Header.Get("Cache-Status"))
	}
	for end := time.Now().Add(10 * time.Second); r.get("/swr").body != "body 2"; {
		if time.Now().After(end) {
			t.Fatal("nothing was fetched in the background")
		}
	}
	for path, control := range map[string]string{
		"/over": "max-age=60, stale-while-revalidate=30", "/must": "max-age=60, stale-while-revalidate=1000, must-revalidate",
		"/proxy": "max-age=60, stale-while-revalidate=1000, proxy-revalidate", "/no-cache": "no-cache, stale-while-revalidate=1000",
	} {
		at(path, control, fresh)
		if got := r.get(path); got.body != "body 2" {
			t.Errorf("%s: %q %s", control, got.body, got.Header.Get("Cache-Status"))
		}
	}
	for name, later := range map[string]caching.Answer{"503": fails, "gone": hangs} {
		for control, status := range map[string]int{
			"max-age=60, stale-if-error=1000": 200, "max-age=60, stale-if-error=30": 503, "max-age=60": 503,
			"max-age=60, stale-if-error=1000, must-revalidate": 503, "max-age=60, s-maxage=60": 503,
		} {
			path := "/" + name + "/" + strings.ReplaceAll(control, " ", "")
			at(path, control, later)
			got := r.get(path)
			if stale := got.StatusCode == 200 && got.body == "old"; stale != (status == 200) || !stale && got.StatusCode < 500 {
				t.Errorf("%s, %s: %d %q", name, control, got.StatusCode, got.body)
			}
		}
	}
}

// TestEquivalentQueries is No-Vary-Search.
func TestEquivalentQueries(t *testing.T) {
	r := start(t, "")
	r.origin.On("/", says("Cache-Control: max-age=3600", `No-Vary-Search: key-order, params=("x")`))
	r.origin.On("/plain", says("Cache-Control: max-age=3600"))
	for _, c := range []struct{ target, body string }{
		{"/?a=1&b=2&x=3", "body 1"}, {"/?b=2&a=1", "body 1"}, {"/?x&b=2&a=%31", "body 1"}, {"/?b=2&a=3", "body 2"},
		{"/plain?x=1", "body 1"}, {"/plain?x=2", "body 2"},
	} {
		if got := r.get(c.target); got.body != c.body {
			t.Errorf("%s: %q", c.target, got.body)
		}
	}
	if q := r.origin.Asked("/")[0].URL.RawQuery; q != "a=1&b=2&x=3" {
		t.Errorf("the origin was asked for %q", q)
	}
	r.do("POST", "/?x=7&a=1&b=2")
	if got := r.get("/?b=2&a=1&x=8"); got.hit() {
		t.Error("a write did not reach an equivalent query")
	}
}

// TestNeverStored: what is incomplete, or cannot be known to be complete.
func TestNeverStored(t *testing.T) {
	r := start(t, "")
	for name, raw := range map[string]string{
		"short":        "HTTP/1.1 200 OK\nCache-Control: max-age=3600\nContent-Length: 10\n\nhalf",
		"chunk":        "HTTP/1.1 200 OK\nCache-Control: max-age=3600\nTransfer-Encoding: chunked\n\n4\nhalf\n",
		"until-close":  "HTTP/1.1 200 OK\nCache-Control: max-age=3600\nConnection: close\n\nwhole?",
		"old-protocol": "HTTP/1.0 200 OK\nCache-Control: max-age=3600\n\nwhole?",
		"star":         "HTTP/1.1 200 OK\nCache-Control: max-age=3600\nVary: Accept,*\nContent-Length: 1\n\n1",
		"cookie":       "HTTP/1.1 200 OK\nCache-Control: max-age=3600\nSet-Cookie: a=b\nContent-Length: 1\n\n1",
		"understand":   "HTTP/1.1 599 What\nCache-Control: max-age=3600, must-understand\nContent-Length: 1\n\n1",
		"429":          "HTTP/1.1 429 Slow\nCache-Control: max-age=3600\nContent-Length: 1\n\n1",
		"400":          "HTTP/1.1 400 Bad\nCache-Control: max-age=3600\nContent-Length: 1\n\n1",
	} {
		r.origin.On("/"+name, func(_ int, w http.ResponseWriter, _ *http.Request) { caching.Raw(w, raw) })
		r.get("/" + name)
		before := len(r.origin.Asked("/" + name))
		if got := r.get("/" + name); got.hit() || len(r.origin.Asked("/"+name)) == before {
			t.Errorf("%s: answered from the cache: %d %q", name, got.StatusCode, got.body)
		}
	}
}

// TestLoopOfWrites: a client that writes without end cannot make every visitor a request to the origin, sees its first
// writes at once and its last one soon.
func TestLoopOfWrites(t *testing.T) {
	r := start(t, "{write_burst: 5, write_interval: 1s}")
	var gets atomic.Int64
	r.origin.On("/", func(n int, w http.ResponseWriter, req *http.Request) {
		if req.Method == "GET" {
			gets.Add(1)
		}
		says("Cache-Control: max-age=3600", "Content-Location: /")(n, w, req)
	})
	began, written := time.Now(), 0
	for i := range 200 {
		r.do("POST", "/")
		written = len(r.origin.Asked("/"))
		if got := r.get("/"); i < 5 && got.body != fmt.Sprintf("body %d", written+1) {
			t.Errorf("write %d was not seen: %q", i, got.body)
		}
	}
	if n, bound := gets.Load(), int64(5+3*(int(time.Since(began).Seconds())+2)); n > bound {
		t.Errorf("%d of 200 reads reached the origin in %s", n, time.Since(began))
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var n int
		if _, err := fmt.Sscanf(r.get("/").body, "body %d", &n); err != nil {
			t.Fatal(err)
		}
		if n > written {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the last write was forgotten")
		}
	}
}
