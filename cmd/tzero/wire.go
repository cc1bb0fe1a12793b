package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/internal/collector"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/proxy/decisionlog"
	"github.com/tzero-edge/tzero/proxy/listen"
	"github.com/tzero-edge/tzero/proxy/metrics"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/tunnel"
	"github.com/tzero-edge/tzero/ratelimit"
)

// services are what outlives a configuration: built once, told of every new generation, stopped in order.
type services struct {
	started time.Time
	file    string // the configuration's, "" without one
	log     *slog.Logger
	level   *slog.LevelVar

	cache     *cache.Cache
	cluster   *cluster // nil without Redis
	pools     *origin.Pools
	tunnels   *tunnel.Registry
	metrics   *metrics.Metrics
	decisions *decisionlog.Log
	edge      *proxy.Edge
	listener  *listen.Server
	admin     *admin.Server
	limiter   *ratelimit.Limiter
	saving    sync.Mutex // of rulings
	reloader  *configs.Reloader
	reloads   reloadCount
	draining  func() bool
	memory    memory
}

// memory is what the process may take, in bytes.
type memory struct{ available, cache int64 }

// newServices builds everything that the configuration asks for. Listening sockets are bound, nothing
// is accepted yet.
func newServices(in configs.Input, l *configs.Loaded, stderr io.Writer) (*services, error) {
	c := l.Config
	s := &services{started: time.Now(), file: in.Path, level: new(slog.LevelVar)}
	s.log = newLogger(c.Logging, s.level, stderr)
	if err := s.open(c); err != nil {
		return nil, err
	}
	s.metrics = metrics.New(metrics.Build{Version: buildVersion(), GoVersion: runtime.Version()}, s.sources(), time.Now)
	s.decisions = decisionlog.New(c.Logging.Decisions, s.log)
	s.edge = proxy.New(proxy.Parts{
		Cache: s.cache, Tunnels: s.tunnels, Observers: []proxy.Observer{s.metrics, s.decisions},
		Random: rand.Uint64, Log: s.log,
	})
	s.reloader = configs.NewReloader(configs.ReloaderOptions{
		Input: in, Running: l, Apply: s.apply, Report: s.report, Now: time.Now,
	})
	listener, err := listen.New(s.edge, listenSettings(c, nil), s.log)
	if err != nil {
		return nil, err
	}
	s.listener = listener
	if err := s.apply(context.Background(), l, 1); err != nil {
		return nil, err
	}
	s.admin = admin.New(c.Admin, admin.Deps{
		Status: func() any { return s.status() }, Ready: s.ready, Metrics: s.metrics.Handler(),
		Reload:  func(ctx context.Context) (any, error) { return s.reloader.Reload(ctx, "admin") },
		Purge:   s.purge,
		Rule:    func(ctx context.Context, order []byte) (admin.Ruled, error) { return s.rule(ctx, c.StateDir, order) },
		Rulings: s.rulings,
	}, s.log)
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w; choose another one with --state-dir", err)
	}
	s.loadRulings(c.StateDir)
	if err := s.admin.Listen(c.StateDir); err != nil {
		return nil, err
	}
	return s, nil
}

// open builds the services that hold state.
func (s *services) open(c *configs.Config) error {
	available, err := cache.AvailableMemory()
	if err != nil {
		return err
	}
	s.memory = memory{int64(available), c.Cache.Memory.Bytes(available)}
	tier, err := l1.New(s.memory.cache, c.Cache.PinnedBytes(s.memory.cache))
	if err != nil {
		return fmt.Errorf("cannot set up the cache: %w", err)
	}
	s.cache = cache.New(c.Cache, tier)
	s.limiter = ratelimit.New(rand.Uint64(), s.started)
	if c.Redis.Enabled() {
		if s.cluster, err = openCluster(c, s.cache, s.limiter, s.generationNumber, s.learned(c.StateDir), s.log); err != nil {
			return err
		}
	}
	s.pools = origin.New(origin.Options{Log: s.log})
	s.tunnels = tunnel.New(c.Tunnels)
	return nil
}

// apply puts a configuration in force: everything that can fail comes first, then the services are told,
// and the generation is one pointer.
func (s *services) apply(_ context.Context, l *configs.Loaded, number uint64) error {
	c := l.Config
	set, err := s.pools.Build(c.Origins)
	if err != nil {
		return err
	}
	gen, err := buildGeneration(c, set, s.limiter, number)
	if err != nil {
		return err
	}
	settings := listenSettings(c, gen)
	if err := listen.Check(settings); err != nil {
		return err
	}
	if err := s.listener.Apply(settings); err != nil {
		return err
	}
	s.pools.Use(set)
	s.tunnels.Apply(c.Tunnels)
	s.decisions.Apply(c.Logging.Decisions)
	s.metrics.Apply(gen.RouteNames())
	s.level.Set(logLevel(c.Logging.Level))
	s.edge.Use(gen)
	return nil
}

// run serves until ctx ends, then drains: first the clients, then everything they needed.
func (s *services) run(ctx context.Context, sighup <-chan os.Signal) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	base, stopBase := context.WithCancel(context.Background())
	defer stopBase()
	var group errgroup.Group
	s.draining = func() bool { return serving.Err() != nil } // asked by the admin server, so before it runs
	own := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			defer stop() // without one of its services the gateway cannot go on
			if err := run(base); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	own("collector", s.collect)
	own("origins", s.pools.Run)
	own("tunnels", s.tunnels.Watch)
	own("decision log", s.decisions.Run)
	own("compressed copies", s.edge.Copyist().Run)
	own("admin server", s.admin.Run)
	if s.cluster != nil {
		own("redis", s.cluster.redis.Run)
		own("shared tier", s.cluster.tier.Run)
		own("leases", s.cluster.leases.Run)
		own("purge bus", s.cluster.bus.Run)
		own("nodes", s.cluster.nodes.Run)
		own("rate limits", s.cluster.limits.Run)
		own("rulings", s.cluster.rulings.Run)
	} else {
		own("rulings", s.expiring)
	}
	own("reloader", func(ctx context.Context) error { return s.reloader.Run(ctx, sighup) })

	err := s.serve(serving)
	stopBase()
	err = errors.Join(err, group.Wait())
	// Nobody waits for the fills that still run.
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.cache.Close(grace); err != nil {
		s.log.Warn("fills were cut", "error", err)
	}
	if s.cluster != nil {
		err = errors.Join(err, s.cluster.redis.Close())
	}
	return err
}

// collect sets the garbage collector up and keeps it so. Beside the cache the process may need what fills, slow
// readers and connections are allowed to, and some for itself.
func (s *services) collect(ctx context.Context) error {
	const connection, itself = 32 << 10, 128 << 20
	c := s.reloader.Running().Config
	others := itself + s.cache.MostHeld() + int64(c.Limits.SlowReaders) + connection*int64(s.listener.Stats().Limit)
	env := collector.FromEnvironment()
	limit := env.SetLimit(s.memory.cache, others, s.memory.available)
	s.log.Debug("memory", "available", s.memory.available, "cache", s.memory.cache, "limit", limit)
	return env.Pace(ctx)
}

// serve runs the listeners; at the end tunnels get the grace period too.
func (s *services) serve(ctx context.Context) error {
	patience := func() (think, grace time.Duration) {
		sh := s.reloader.Running().Config.Shutdown
		return sh.Think.D(), sh.Grace.D()
	}
	var cut errgroup.Group
	cut.Go(func() error {
		<-ctx.Done()
		_, d := patience()
		s.log.Info("draining: requests under way are finished, no new connections are taken; a second signal ends at once",
			"connections", s.listener.Stats().Open, "tunnels", s.tunnels.Stats().Live, "at_most", d)
		grace, cancel := context.WithTimeout(context.Background(), d)
		defer cancel()
		if n := s.tunnels.CloseAll(grace); n > 0 {
			s.log.Warn("tunnels were cut at the end of the grace period", "tunnels", n)
		}
		return nil
	})
	err := s.listener.Run(ctx, patience)
	_ = cut.Wait()
	return err
}

func newLogger(c configs.Logging, level *slog.LevelVar, w io.Writer) *slog.Logger {
	level.Set(logLevel(c.Level))
	opt := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

func logLevel(word string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(word)); err != nil {
		return slog.LevelInfo
	}
	return l
}
