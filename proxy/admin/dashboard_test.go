package admin

import (
	"context"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

func status() Status {
	return Status{
		Version: "tzero 1.2.3", UptimeS: 7200, Ready: true, Generation: 3, ConfigHash: "9f86d081884c7d65", ConfigFile: "/etc/tzero.yaml",
		LastReload:  &Reload{Time: time.Unix(1e9, 0), Error: "tzero.yaml:14:7: unknown key <b>tll</b>"},
		Listeners:   []Listener{{Address: ":8080"}},
		Connections: &Connections{Open: 412, Limit: 40000},
		Routes:      []Route{{Name: "home", Match: "/", Origin: "app", Cache: "ttl 60s"}},
		Origins: []Origin{{Name: "app", Targets: []Target{
			{URL: "http://10.0.0.1:3000", State: "healthy", Open: 12, Latency: 12.4, Requests: 123456},
			{URL: "http://10.0.0.2:3000", State: "ejected", Why: "connection refused"},
		}}},
		Cache: &Cache{Objects: 12345, Bytes: 333 << 20, Capacity: 1 << 30},
		Traffic: &Traffic{
			Requests: 1000, ByClass: map[string]uint64{"2xx": 990, "5xx": 10}, ByCache: map[string]uint64{"hit": 750, "miss": 250},
			BoundsMS: []float64{0.25, 1, 5}, Latency: []uint64{600, 300, 90, 10},
		},
	}
}

// The page works in a browser under its own content security policy, without a word on the console.
func TestDashboardInABrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	d := deps()
	d.Status = func() any { return status() }
	r := start(t, Config{}, d)

	ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browser), chromedp.NoSandbox)...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()

	var mu sync.Mutex
	var console []string
	err = chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			console = append(console, ev.Entry.Text)
		case *runtime.EventExceptionThrown:
			console = append(console, "an exception: "+ev.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			console = append(console, string(ev.Type))
		}
	})
	if err != nil {
		t.Fatalf("cannot start the browser: %v", err)
	}
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+r.addr+"/")); err != nil {
		t.Fatal(err)
	}
	page, err := chromedp.Run(ctx, chromedp.Poll[string](
		`document.getElementById("updated").textContent !== "" && document.body.innerText`))
	if err != nil {
		t.Fatalf("the page does not fill: %v; console: %v", err, console)
	}
	for _, want := range []string{
		"tzero 1.2.3, up 2.0 h", "ready, a target is down", "75.0 %", "412", "333 MiB", "http://10.0.0.1:3000",
		"ejected: connection refused", "unknown key <b>tll</b>", "ttl 60s", "0.25 ms", "p99 within 5 ms",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(console) > 0 {
		t.Errorf("the console says %v", console)
	}
}
