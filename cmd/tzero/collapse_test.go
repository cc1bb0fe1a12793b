package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/configs"
)

// gateway runs all services in front of an origin and returns their address.
func gateway(t testing.TB, origin string) (*services, string) {
	t.Helper()
	dir := t.TempDir()
	in := configs.Input{Flags: configs.Overrides{Origin: origin, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", StateDir: filepath.Join(dir, "state")}}
	l, err := in.Load()
	if err != nil {
		t.Fatal(err)
	}
	l.Config.Logging.Decisions.Enabled = false
	l.Config.Shutdown.Think = 0
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
	return svc, svc.listener.Addrs()[0].String()
}

// crowd asks for one path many times at once and counts the answers by status and body.
func crowd(t *testing.T, addr, path string, n int, change func(*http.Request)) map[string]int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n, DisableCompression: true}, Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	got := map[string]int{}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			req, err := http.NewRequest("GET", "http://"+addr+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if change != nil {
				change(req)
			}
			<-start
			what := ""
			res, err := client.Do(req)
			if err != nil {
				what = "failed"
			} else {
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				what = fmt.Sprintf("%d %.20s", res.StatusCode, b)
				if err != nil {
					what = "cut"
				}
			}
			mu.Lock()
			got[what]++
			mu.Unlock()
		}()
	}
	close(start)
	wg.Wait()
	return got
}

func TestCrowdReachesTheOriginOnce(t *testing.T) {
	const (
		n         = 300
		leaders   = -1 // as many as the origin was asked: who comes after an error was answered asks again
		followers = -2 // the others
	)
	cases := []struct {
		name    string
		handler http.HandlerFunc
		answers map[string]int // expected, "*" for any
		most    int64          // requests at the origin at most
	}{
		{"a slow page", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(300 * time.Millisecond)
			w.Header().Set("Cache-Control", "max-age=60")
			fmt.Fprint(w, "page")
		}, map[string]int{"200 page": n}, 1},
		{"a page that streams", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			for range 5 {
				fmt.Fprint(w, "part ")
				w.(http.Flusher).Flush()
				time.Sleep(60 * time.Millisecond)
			}
		}, map[string]int{"200 part part part part ": n}, 1},
		{"a page that is private", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(100 * time.Millisecond)
			w.Header().Set("Cache-Control", "private")
			fmt.Fprint(w, "mine")
		}, map[string]int{"200 mine": n}, n},
		{"an origin that fails", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(200 * time.Millisecond)
			http.Error(w, "broken", 500)
		}, map[string]int{"500 broken\n": leaders, "500 500 Internal Server ": followers}, 2}, // the page is the leader's alone
		{"an origin that hangs up", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(200 * time.Millisecond)
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		}, nil, 4},
		{"an origin that hangs up in the middle", func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(100 * time.Millisecond)
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond)
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		}, nil, 4},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				c.handler(w, r)
			}))
			defer origin.Close()
			_, addr := gateway(t, origin.URL)
			got := crowd(t, addr, "/thing", n, nil)
			t.Logf("origin asked %d times, answers %v", asked.Load(), got)
			if asked.Load() > c.most {
				t.Errorf("the origin was asked %d times, at most %d expected", asked.Load(), c.most)
			}
			for what, count := range c.answers {
				switch count {
				case leaders:
					count = int(asked.Load())
				case followers:
					count = n - int(asked.Load())
				}
				if got[what] != count {
					t.Errorf("%d answers %q, expected %d: %v", got[what], what, count, got)
				}
			}
		})
	}
}

// TestLeaderLeaves: the client that was elected goes away; everybody else is served, by its one fetch.
func TestLeaderLeaves(t *testing.T) {
	var asked atomic.Int64
	begun := make(chan struct{}, 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		begun <- struct{}{}
		time.Sleep(1500 * time.Millisecond)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "page")
	}))
	defer origin.Close()
	_, addr := gateway(t, origin.URL)
	leader, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(leader, "GET /thing HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
	<-begun
	leader.Close()
	got := crowd(t, addr, "/thing", 100, nil)
	if got["200 page"] != 100 || asked.Load() != 1 {
		t.Errorf("origin asked %d times, answers %v", asked.Load(), got)
	}
}

// TestStaleWhileRevalidate: a stale page is served at once, one request renews it in the background, on the
// same terms as a visitor's.
func TestStaleWhileRevalidate(t *testing.T) {
	var asked atomic.Int64
	renewed := make(chan *http.Request, 10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=1, stale-while-revalidate=60")
		fmt.Fprintf(w, "page %d", n)
		if n > 1 {
			renewed <- r.Clone(context.Background())
		}
	}))
	defer origin.Close()
	_, addr := gateway(t, origin.URL)
	get := func() string {
		res, err := http.Get("http://" + addr + "/thing?utm_source=x&a=1")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		return string(b) + " " + res.Header.Get("Cache-Status")
	}
	defer http.DefaultClient.CloseIdleConnections()
	get()
	time.Sleep(1200 * time.Millisecond)
	for range 20 {
		if got := get(); !strings.HasPrefix(got, "page ") {
			t.Fatal(got)
		}
	}
	r := <-renewed
	if r.URL.RequestURI() != "/thing?a=1" || r.Host != addr {
		t.Errorf("renewed by %s on %s", r.URL.RequestURI(), r.Host)
	}
	for range 100 {
		if strings.HasPrefix(get(), "page 2 tzero; hit; ttl=0") || strings.HasPrefix(get(), "page 2 tzero; hit; ttl=1") {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := get(); !strings.HasPrefix(got, "page 2") || asked.Load() != 2 {
		t.Errorf("asked %d times; now %s", asked.Load(), got)
	}
}
