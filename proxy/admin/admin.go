// Package admin is the operator's door: metrics, health, status and a dashboard to read over TCP, and
// changes through a unix socket that only the gateway's own user can open, or with a bearer token.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/tzero-edge/tzero/cache/purge"
)

// Deps are what the server asks. All are called concurrently; a nil one answers 501.
type Deps struct {
	// Status returns what /status shows as JSON, usually a [Status].
	Status func() any
	// Ready says whether the gateway should get traffic, and why not. The reasons are public words.
	Ready func() (ok bool, reasons []string)
	// Reload loads the configuration again and returns what to tell, or why nothing changed.
	Reload func(ctx context.Context) (any, error)
	// Purge purges.
	Purge func(ctx context.Context, r purge.Request) (Purged, error)
	// Rule denies or allows addresses as an order in JSON says; Rulings are those in force.
	Rule    func(ctx context.Context, order []byte) (Ruled, error)
	Rulings func() Ruled
	// Metrics answers scrapes.
	Metrics http.Handler
}

const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	reloadTimeout = time.Minute
	ruleTimeout   = 3 * time.Second
	writeTimeout  = reloadTimeout + 10*time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	maxBody       = 4 << 10
	maxList       = 1 << 20 // of what names many things
	maxConns      = 256
	grace         = 2 * time.Second
)

// Server is the admin server. Open it with [Server.Listen] or [Server.Add], then [Server.Run] it.
type Server struct {
	config Config
	deps   Deps
	log    *slog.Logger
	guard  guard

	reloading sync.Mutex

	listeners []net.Listener
	socket    *socket
}

// New makes a server from a valid Config.
func New(c Config, deps Deps, log *slog.Logger) *Server {
	return &Server{config: c, deps: deps, log: log, guard: newGuard(c)}
}

// Listen opens the address and, in stateDir, the unix socket; either may be "" to leave it out.
func (s *Server) Listen(stateDir string) error {
	if s.config.Address != "" {
		l, err := net.Listen("tcp", s.config.Address)
		if err != nil {
			return fmt.Errorf("cannot open the admin address %s: %w", s.config.Address, err)
		}
		s.Add(l)
	}
	if stateDir != "" {
		sock, err := listenSocket(SocketPath(stateDir))
		if err != nil {
			s.Close()
			return err
		}
		s.socket = sock
	}
	return nil
}

// Add serves l too, under the rules of the address.
func (s *Server) Add(l net.Listener) { s.listeners = append(s.listeners, l) }

// Addrs returns the opened TCP addresses.
func (s *Server) Addrs() []net.Addr {
	var out []net.Addr
	for _, l := range s.listeners {
		out = append(out, l.Addr())
	}
	return out
}

// Close gives up what Listen opened. Run does it itself; Close is for a start that failed elsewhere.
func (s *Server) Close() {
	for _, l := range s.listeners {
		l.Close()
	}
	if s.socket != nil {
		s.socket.Close()
	}
}

// Run serves until ctx ends, then lets running answers finish for a moment. It returns an error only
// when a listener failed.
func (s *Server) Run(ctx context.Context) error {
	outside := s.server(s.guard.outside(s.routes()))
	inside := s.server(secured(s.insideRoutes()))
	failed := make(chan error, len(s.listeners)+1)
	var running sync.WaitGroup
	for _, l := range s.listeners {
		running.Go(func() { failed <- outside.Serve(netutil.LimitListener(l, maxConns)) })
	}
	if s.socket != nil {
		running.Go(func() { failed <- inside.Serve(netutil.LimitListener(s.socket, maxConns)) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stop(ctx, outside, inside)
	s.Close()
	running.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the admin address: %w", err)
	}
	return nil
}

// stop gives running answers a moment, then cuts them.
func stop(ctx context.Context, servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range servers {
		all.Go(func() {
			if s.Shutdown(ctx) != nil {
				s.Close()
			}
		})
	}
	all.Wait()
}

func (s *Server) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
