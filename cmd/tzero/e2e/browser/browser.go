// Package browser drives a headless Chromium in tests and writes down all it sees: every request with the
// headers of its answer, what the console says, what failed, and the page itself.
//
//	tab := browser.Start(t).Tab(t)
//	tab.Open(gw.URL + "/")
//	if seen := tab.Seen(); len(seen.Complaints()) > 0 { … }
//
// A Browser is one process with a fresh profile; a Tab has a cache and cookies of its own. Both end with
// the test. Nothing here waits longer than a minute.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	patience = time.Minute            // for one action
	quiet    = 300 * time.Millisecond // without a request: the page is done loading
)

// Browser is a running Chromium.
type Browser struct{ ctx context.Context }

// Start runs Chromium: the one that TZERO_CHROMIUM names, else the system's. Width and height are those
// of a desktop until a Tab asks for others.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := executable()
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // Chromium has none to offer to root
		chromedp.DisableGPU,
		chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en"),
	)
	// Not the test's context: that ends before the clean-up, which still needs it to end the browser in
	// good order.
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		stop(ctx)
		cancel()
		cancelAlloc()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot start %s: %v", path, err)
	}
	return &Browser{ctx}
}

// stop closes what ctx owns, a tab or the browser, and waits for it, but not for ever.
func stop(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_ = chromedp.Cancel(limited)
}

func executable() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if given := os.Getenv("TZERO_CHROMIUM"); given != "" {
		names = []string{given}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find a browser, looked for %q: install chromium or set TZERO_CHROMIUM", names)
}

// Tab is one page. Its methods fail the test that opened it.
type Tab struct {
	t    testing.TB
	ctx  context.Context
	seen observer
}

// Tab opens an empty page with a cache and cookies of its own.
func (b *Browser) Tab(t testing.TB) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tab := &Tab{t: t, ctx: ctx, seen: observer{changed: make(chan struct{}, 1)}}
	closed := sync.OnceFunc(func() {
		stop(ctx)
		cancel()
	})
	t.Cleanup(closed)
	if err := chromedp.Listen(ctx, tab.seen.handle); err != nil {
		t.Fatalf("cannot open a tab: %v", err)
	}
	return tab
}

// Size makes the page's area width by height CSS pixels: a phone is 390 by 844.
func (tab *Tab) Size(width, height int) {
	tab.t.Helper()
	tab.do("resize", chromedp.EmulateViewport(int64(width), int64(height)))
}

// Open goes to url and waits until the page and all that it asks for have arrived.
func (tab *Tab) Open(url string) {
	tab.t.Helper()
	tab.do("open "+url, chromedp.Navigate(url))
	tab.Settle()
}

// Reload asks for the page again, as F5 does: the browser revalidates what it has.
func (tab *Tab) Reload() {
	tab.t.Helper()
	tab.do("reload", chromedp.Reload())
	tab.Settle()
}

// Click clicks the first element that matches a CSS selector and waits for what that brings.
func (tab *Tab) Click(selector string) {
	tab.t.Helper()
	tab.do("click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
	tab.Settle()
}

// Type types text into a field.
func (tab *Tab) Type(selector, text string) {
	tab.t.Helper()
	tab.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// WaitFor waits until a JavaScript expression is true.
func (tab *Tab) WaitFor(expression string) {
	tab.t.Helper()
	tab.do("wait for "+expression, chromedp.Poll[chromedp.Void]("Boolean("+expression+")", chromedp.WithPollingTimeout(patience)))
}

// Text evaluates a JavaScript expression that gives a string.
func (tab *Tab) Text(expression string) string {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		tab.t.Fatalf("cannot evaluate %s: %v", expression, err)
	}
	return text
}

// scroll goes through the page once, so that images which load late load.
const scroll = `(async () => {
  for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
    scrollTo({ top: y, behavior: "instant" });
    await new Promise(requestAnimationFrame);
  }
  scrollTo({ top: 0, behavior: "instant" });
  return "";
})()`

// Screenshot writes the whole page, not just what is in view, as a PNG.
func (tab *Tab) Screenshot(file string) {
	tab.t.Helper()
	tab.Text(scroll)
	tab.Settle()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, png, 0o644))
	}
	if err != nil {
		tab.t.Fatalf("cannot take a screenshot: %v", err)
	}
}

// Seen returns what the tab has seen since it was opened or since Forget.
func (tab *Tab) Seen() Seen { return tab.seen.report() }

// Forget clears what was seen, but not the cache and the cookies.
func (tab *Tab) Forget() { tab.seen.forget() }

// Settle waits until the document is complete and no request has been under way for a moment. Open
// streams (events, WebSocket, a film) do not count.
func (tab *Tab) Settle() {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	for {
		still := time.NewTimer(quiet)
		select {
		case <-tab.seen.changed:
			still.Stop()
		case <-still.C:
			if len(tab.seen.underway()) == 0 && tab.complete(ctx) {
				return
			}
		case <-ctx.Done():
			tab.t.Fatalf("cannot see the page settle: still waiting for %q", tab.seen.underway())
		}
	}
}

// complete is false also when the question got lost because the page was just going elsewhere.
func (tab *Tab) complete(ctx context.Context) bool {
	state, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.readyState`))
	return err == nil && state == "complete"
}

func (tab *Tab) do(what string, action chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		tab.t.Fatalf("cannot %s: %v", what, err)
	}
}
