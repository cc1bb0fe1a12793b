// Package demo is the app that `tzero demo` puts behind the gateway: the launch page of Nimbus Notes, a
// product that does not exist, with everything that a gateway has to carry on launch day. It is an
// ordinary net/http app, knows nothing of tzero and works as well without it.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// What bounds the demo: it may face the same hostile crowd as the gateway.
const (
	maxSignups    = 10_000 // the oldest are forgotten; the count goes on
	maxFormBytes  = 16 << 10
	maxSlow       = 30 * time.Second
	maxDownload   = 16 << 30
	maxMessage    = 64 << 10 // of a WebSocket
	maxStreamLife = time.Hour
	shutdownGrace = 10 * time.Second
)

// Options are what the demo takes from outside. The zero value is ready for use.
type Options struct {
	Now   func() time.Time // nil: time.Now
	Rand  io.Reader        // session names; nil: crypto/rand
	Done  <-chan struct{}  // closed: event streams and WebSockets end; nil: never
	Ticks time.Duration    // between two events of /events; 0: one second
}

// New returns the app.
func New(opts Options) http.Handler { return newSite(opts) }

// site is the app's state. What every request may read is set once; the rest has a lock of its own.
type site struct {
	opts    Options
	started time.Time
	assets  assets
	pages   pages
	signups signups
	streams sync.WaitGroup // event streams and WebSockets: http.Server.Shutdown does not wait for the latter
	mux     *http.ServeMux
}

func newSite(opts Options) *site {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	if opts.Ticks <= 0 {
		opts.Ticks = time.Second
	}
	s := &site{opts: opts, started: opts.Now().UTC().Truncate(time.Second), assets: loadAssets(), mux: http.NewServeMux()}
	s.pages = loadPages(s.assets)
	s.routes()
	return s
}

func (s *site) routes() {
	handle := s.mux.HandleFunc
	handle("GET /{$}", s.home)
	handle("GET /pricing", s.page("pricing", cacheHTML))
	handle("GET /about", s.page("about", cacheHTML))
	handle("GET /live", s.page("live", cacheHTML))
	handle("GET /early", s.early)
	handle("GET /signup", s.page("signup", cacheHTML))
	handle("POST /signup", s.signup)
	handle("GET /welcome", s.welcome)
	handle("GET /static/{name}", s.static)
	handle("GET /favicon.ico", s.favicon)
	handle("GET /video.mp4", s.video)
	handle("GET /download", s.download)
	handle("GET /feed.xml", s.feed)
	handle("GET /sitemap.xml", s.sitemap)
	handle("GET /robots.txt", s.robots)
	handle("GET /api/slow", s.slow)
	handle("GET /api/launch-count", s.launchCount)
	handle("GET /api/me", s.me)
	handle("GET /api/headers", s.headers)
	handle("POST /api/upload", s.upload)
	handle("GET /events", s.events)
	handle("GET /ws", s.echo)
	handle("GET /fail", s.fail)
	handle("GET /healthz", s.healthz)
	handle("/", s.missing)
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "strict-origin-when-cross-origin")
	s.mux.ServeHTTP(w, r)
}

// Serve runs the app on ln until ctx is done, then lets running requests finish. Event streams and
// WebSockets are told to end at once. It returns nil after an orderly end.
func Serve(ctx context.Context, ln net.Listener) error {
	s := newSite(Options{Done: ctx.Done()})
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()

	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve the demo origin on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		return fmt.Errorf("cannot end the demo origin in good order: %w", errors.Join(err, srv.Close()))
	}
	<-failed
	s.streams.Wait()
	return nil
}
