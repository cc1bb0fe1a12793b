// Package listen accepts connections and turns what clients send into exchanges: TCP, TLS, the PROXY
// protocol, the strict door ([conn]), and the timeouts and bounds that clients are held to. Answers that go in
// chunks are fasthttp's to send.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"

	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/internal/netset"
	"github.com/tzero-edge/tzero/proxy"
)

// Handler walks an exchange's journey.
type Handler interface {
	// Serve leaves the answer in x.Res. With x.Prompt it returns false where it would have to wait, and is called again
	// without.
	Serve(x *proxy.Exchange) (done bool)
	// Finish is told when the last byte was sent or could not be; sent counts content bytes.
	Finish(x *proxy.Exchange, sent int64, err error)
	// GiveUp is told when the drain has cut the connections that were left: whoever still waits for an origin on their
	// behalf must return from Serve.
	GiveUp()
}

// Settings are what a reload can change.
type Settings struct {
	Listeners []Config
	Limits    Limits
	Trusted   netset.Set // peers whose PROXY protocol header counts
}

// Server owns the listeners and the clients' connections.
type Server struct {
	handler   Handler
	log       *slog.Logger
	fast      *fasthttp.Server
	clock     clock
	exchanges sync.Pool
	readers   sync.Pool // *reading
	settings  atomic.Pointer[settings]
	listeners []*listener
	reg       registry
	loops     []*loop       // where connections rest; as many as processors
	next      atomic.Uint32 // the loop of the next connection
	napAfter  int64         // ms
	accepting acceptState
	draining  atomic.Bool
	counters  counters
	told      atomic.Int64
	conns     sync.WaitGroup
}

type settings struct {
	Settings
	maxConns int
}

type listener struct {
	*port
	at   int // index in Settings.Listeners
	cert atomic.Pointer[tls.Certificate]
	tls  *tls.Config
}

// New binds the listeners. Nothing is accepted before Run.
func New(h Handler, set Settings, log *slog.Logger) (*Server, error) {
	s := &Server{handler: h, log: log, napAfter: napAfter}
	s.clock.start = time.Now()
	s.clock.advance(s.clock.start)
	s.exchanges.New = func() any { return new(exchange) }
	s.readers.New = func() any { return &reading{Reader: http1.NewReader(nil, http1.Limits{})} }
	s.fast = &fasthttp.Server{
		Handler:                       s.handle,
		Concurrency:                   1 << 20, // connections are bounded by the registry
		ReadBufferSize:                128,     // only stand-in heads pass through it
		WriteBufferSize:               4 << 10,
		LazyRequestTime:               true,
		NoDefaultServerHeader:         true,
		NoDefaultDate:                 true,
		NoDefaultContentType:          true,
		DisableHeaderNamesNormalizing: true,
		DisablePreParseMultipartForm:  true,
		ConnState:                     s.state,
		Logger:                        quiet{},
	}
	for i, cfg := range set.Listeners {
		l, err := s.bind(i, cfg)
		if err != nil {
			s.closeListeners()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
	}
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(s.serveHere)
		if err != nil {
			s.closeListeners()
			s.closeLoops()
			return nil, err
		}
		s.loops = append(s.loops, l)
	}
	s.settings.Store(withDefaults(set))
	return s, nil
}

// quiet drops fasthttp's own messages: every outcome reaches the decision log by way of the journey.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (s *Server) bind(i int, cfg Config) (*listener, error) {
	p, err := openPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w%s", cfg.Address, err, bindHint(err))
	}
	l := &listener{port: p, at: i}
	if err := l.load(cfg); err != nil {
		p.close()
		return nil, err
	}
	return l, nil
}

func bindHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another server is running there: stop it, or choose another address with --listen"
	case errors.Is(err, syscall.EACCES):
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE, which the systemd unit gives"
	}
	return ""
}

// load reads the listener's certificate.
func (l *listener) load(cfg Config) error {
	if cfg.TLS.Cert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return fmt.Errorf("cannot load the certificate of listener %s: %w", cfg.Address, err)
	}
	l.cert.Store(&cert)
	if l.tls == nil {
		l.tls = &tls.Config{
			MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return l.cert.Load(), nil
			},
		}
	}
	return nil
}

// Check reads what a reload would need, without changing anything.
func Check(set Settings) error {
	for _, cfg := range set.Listeners {
		if err := new(listener).load(cfg); err != nil {
			return err
		}
	}
	return nil
}

// Apply takes over new settings. Addresses stay as they are bound; certificates are read again.
func (s *Server) Apply(set Settings) error {
	for _, l := range s.listeners {
		if l.at < len(set.Listeners) {
			if err := l.load(set.Listeners[l.at]); err != nil {
				return err
			}
		}
	}
	s.settings.Store(withDefaults(set))
	return nil
}

// Addrs returns the bound addresses.
func (s *Server) Addrs() []net.Addr {
	var as []net.Addr
	for _, l := range s.listeners {
		as = append(as, l.addr)
	}
	return as
}

// Run accepts until ctx ends, then drains: listeners close, every answer carries `Connection: close`,
// connections that stay idle are closed after think, and what is left is cut after grace (patience is asked
// then). It returns when no connection is left.
func (s *Server) Run(ctx context.Context, patience func() (think, grace time.Duration)) error {
	work, stop := context.WithCancel(context.Background())
	var loops errgroup.Group
	loops.Go(func() error { s.tick(work); return nil })
	for _, l := range s.loops {
		loops.Go(l.run)
	}
	loops.Go(func() error { s.release(work); return nil })
	var accepts errgroup.Group
	for _, l := range s.listeners {
		accepts.Go(func() error { return s.accept(l) })
	}
	<-ctx.Done()
	s.drain(patience())
	err := accepts.Wait()
	stop()
	s.closeLoops()
	return errors.Join(err, loops.Wait())
}

func (s *Server) closeLoops() {
	for _, l := range s.loops {
		l.close()
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		l.close()
	}
}

// drain says goodbye: a client that sends its next request in time gets an answer and is told that it
// is the last one.
func (s *Server) drain(think, grace time.Duration) {
	s.draining.Store(true)
	for _, l := range s.listeners {
		l.stopQueueing()
	}
	s.wait(lastCall, func() int { return 1 })
	s.closeListeners()
	s.accepting.close()
	s.wait(think, func() int { return s.reg.len() })
	s.wait(grace, func() int {
		s.endIdle(think)
		return s.reg.len()
	})
	s.counters.cut.Add(int64(s.reg.len()))
	for s.reg.len() > 0 {
		s.cut()
		s.handler.GiveUp()
		s.wait(100*time.Millisecond, s.reg.len) // one may have been between its loop and its goroutine
	}
	s.conns.Wait()
}

// cut ends all connections.
func (s *Server) cut() {
	var resting []rested
	s.reg.each(func(c *conn) {
		c.cut()
		_, _, word := c.in.read(0)
		resting = append(resting, rested{c, word})
	})
	s.endResting(resting)
}

// lastCall is the time in which what is queued already is accepted.
const lastCall = 20 * time.Millisecond

// endIdle closes connections that have waited for a request for so long. One whose answer had begun before the
// drain was not told that it is the last: it comes to rest later than the others, and has the same time to think.
func (s *Server) endIdle(think time.Duration) {
	now := s.clock.now()
	var resting []rested
	s.reg.each(func(c *conn) {
		switch p, lasted, word := c.in.read(now); {
		case lasted < think.Milliseconds():
		case p == phaseResting:
			resting = append(resting, rested{c, word})
		case p == phaseIdle && c.in.poke(word):
			_ = c.raw.SetReadDeadline(past)
		}
	})
	s.endResting(resting)
}

// wait returns when left reports 0 or the time is over.
func (s *Server) wait(d time.Duration, left func() int) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for left() > 0 {
		select {
		case <-deadline.C:
			return
		case <-t.C:
		}
	}
}

// serve runs one connection from the handshake to its end or its first nap.
func (s *Server) serve(c *conn, l *listener) {
	if err := s.greet(c, l); err != nil {
		s.counters.handshakes.Add(1)
		s.tell(c, err)
		s.remove(c)
		_ = c.raw.Close()
		s.conns.Done()
		return
	}
	s.attend(c)
}

// source is what the connection's requests are read from.
func (c *conn) source() io.Reader {
	if c.sock != nil {
		return c.sock
	}
	return c.Conn
}

// reading is what a connection needs to read requests, unless it has rested for a while.
type reading struct {
	*http1.Reader
	before proxy.Memory
}

// fetchReading has c ready to read requests.
func (c *conn) fetchReading() {
	if c.rd != nil {
		return
	}
	c.rd = c.srv.readers.Get().(*reading)
	c.rd.SetLimits(c.srv.settings.Load().Limits.heads())
	c.rd.Reset(c.source())
	c.warm.Store(true)
}

// stow gives back what fetchReading has brought.
func (c *conn) stow() {
	if c.rd == nil {
		return
	}
	c.rd.Reset(nil)
	c.rd.before.Forget()
	c.srv.readers.Put(c.rd)
	c.rd = nil
	c.warm.Store(false)
}

// attendTo gives the connection a goroutine.
func (s *Server) attendTo(c *conn) {
	c.adopt()
	go s.attend(c)
}

// attend serves the connection, in a goroutine of its own, until it ends or goes to rest in its loop. From the first
// answer that is fasthttp's to send, fasthttp runs it.
func (s *Server) attend(c *conn) {
	for {
		c.fetchReading()
		if c.drive() == nil {
			_ = s.fast.ServeConn(c) // whatever went wrong has been told by Finish
		} else {
			_ = c.Close()
		}
		if c.leaving == leavesForGood {
			c.stow()
			s.conns.Done()
			return
		}
		if c.leaving == leavesToNap {
			c.stow()
		}
		c.leaving, c.prompts = leavesForGood, 0
		if c.loop.put(c) {
			return // c is no longer ours
		}
		c.wakeIdle()
	}
}

// tell logs a failed greeting, once a second at most: anybody can make them fail.
func (s *Server) tell(c *conn, err error) {
	now, last := s.clock.now(), s.told.Load()
	if now-last >= 1000 && s.told.CompareAndSwap(last, now) {
		s.log.Warn("a connection ended before its first request", "peer", addressOf(c.peer.Addr()).String(), "error", err)
	}
}

// state is fasthttp's hook: an idle connection has sent its answer whole.
func (s *Server) state(nc net.Conn, st fasthttp.ConnState) {
	if c, ok := nc.(*conn); ok && st == fasthttp.StateIdle {
		c.finish(nil)
	}
}
