package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// Purpose is what a client is for: each has connections, a budget and a breaker of its own, so that what is slow for one
// is not slow for the others.
type Purpose uint8

// The purposes.
const (
	Reads  Purpose = iota // of stored pages, on the way of a request
	Writes                // of stored pages, behind it
	Leases                // who fetches, on the way of a request
	Bus                   // purges, writes and nodes
	Limits                // rate limits
	numPurposes
)

var purposeNames = [numPurposes]string{"reads", "writes", "leases", "bus", "limits"}

func (p Purpose) String() string { return purposeNames[p] }

// Redis is the clients of one Redis, or of one Sentinel group or Cluster.
type Redis struct {
	keys    Keys
	clients [numPurposes]redis.UniversalClient
	hooks   [numPurposes]*hook
	counts  counts
}

// Open makes the clients. It does not connect: a gateway serves while Redis is away.
func Open(c Config, log *slog.Logger) (*Redis, error) {
	a, err := parseAddress(c.URL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("cannot use redis.url: it %w", err)
	}
	var secure *tls.Config
	if a.secured {
		if secure, err = c.TLS.load(); err != nil {
			return nil, err
		}
	}
	logging.Disable() // it writes to standard error by itself; what it has to say is in the errors, and they are counted
	r := &Redis{keys: Keys{Prefix: c.Prefix}}
	budgets := [numPurposes]time.Duration{Reads: c.ReadBudget.D(), Writes: c.WriteBudget.D(), Leases: c.LeaseBudget.D(), Bus: time.Second, Limits: c.LimitBudget.D()}
	for p, budget := range budgets {
		o := a.options(Purpose(p), budget)
		o.TLSConfig, o.SentinelPassword = secure, c.SentinelPassword.Reveal()
		r.hooks[p] = newHook(Purpose(p), budget, &r.counts, log)
		r.clients[p] = a.client(o)
		r.clients[p].AddHook(r.hooks[p])
	}
	return r, nil
}

// options are those of one purpose. Nothing is tried twice: what fails on a request's way costs its budget once, and
// what fails behind it comes again by itself. The library's own defaults are seconds, and several tries.
func (a *address) options(p Purpose, budget time.Duration) *redis.UniversalOptions {
	dial := max(budget, 250*time.Millisecond) // of its own goroutine; a command waits for it no longer than its context
	o := &redis.UniversalOptions{
		Addrs: a.hosts, DB: a.db, Username: a.username, Password: a.password, MasterName: a.master, IsClusterMode: a.kind == cluster,
		ClientName: "tzero", DisableIdentity: true, Protocol: 2,
		MaxRetries: -1, DialerRetries: 1, DialTimeout: dial, ReadTimeout: budget, WriteTimeout: budget, ContextTimeoutEnabled: true,
		PoolTimeout: budget, PoolSize: 32, ConnMaxIdleTime: 5 * time.Minute, MaxRedirects: 3,
	}
	if p != Bus && p != Limits { // a crowd comes in one moment: to connect then would cost the budget
		o.MinIdleConns = 4
	}
	if a.kind == cluster {
		o.MaxRetries, o.PoolSize = 1, 16 // a retry is how it follows a slot that has moved
	}
	if p == Bus {
		o.PoolSize = 8
	}
	return o
}

func (a *address) client(o *redis.UniversalOptions) redis.UniversalClient {
	switch a.kind {
	case sentinel:
		return redis.NewFailoverClient(o.Failover())
	case cluster:
		return redis.NewClusterClient(o.Cluster())
	}
	s := o.Simple()
	if a.hosts[0][0] == '/' {
		s.Network = "unix"
	}
	return redis.NewClient(s)
}

// Client is the client for a purpose. Its commands end within the purpose's budget, unless the caller's context ends
// before, and fail with ErrOpen at once while Redis does not answer.
func (r *Redis) Client(p Purpose) redis.UniversalClient { return r.clients[p] }

// Keys names keys.
func (r *Redis) Keys() Keys { return r.keys }

// Close ends all connections.
func (r *Redis) Close() error {
	var errs []error
	for _, c := range r.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Late reports whether an error says that Redis did not answer within a budget, rather than that it cannot be reached.
func Late(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() || errors.Is(err, redis.ErrPoolTimeout)
}

// unreachable reports whether an error is the connection's and not an answer.
func unreachable(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, net.ErrClosed)
}
