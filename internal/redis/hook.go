package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/go-redis/v9"
)

// ErrOpen is the error of a command that was not sent, because Redis has not answered lately.
var ErrOpen = errors.New("redis has not answered lately: not asked")

// The breaker: it opens when most of the last commands failed or took longer than the budget, one after the other: a
// command counts when it began after the one that counted before was known. A crowd's commands that are late together,
// because this process or the network stood still for a moment, are one misfortune and not sixty. It goes by their number
// and not by time, since every one of them keeps somebody waiting. Whether Redis is back, Run finds out: no request has to
// wait for that.
const (
	breakerLast     = 8 // commands that count
	breakerFailures = 5 // of them
	breakerDelay    = time.Second

	pingEvery = 300 * time.Millisecond
	lately    = time.Second // so long after its last answer Redis counts as being there
)

// probing marks the context of what asks whether Redis is back.
type probing struct{}

// hook stands between a client and the network: budget, breaker, counters.
type hook struct {
	purpose Purpose
	budget  time.Duration
	breaker circuitbreaker.CircuitBreaker[any]
	counts  *counts
	log     *slog.Logger
	heard   atomic.Int64 // Unix ms of the last answer in time
	trouble atomic.Pointer[trouble]
	warned  atomic.Int64 // Unix ms of the last time that a refusal was logged

	mu    sync.Mutex
	known time.Time // since when the last command that counts is known
}

// trouble is the last thing that went wrong.
type trouble struct {
	at      time.Time
	login   bool // the name or the password
	refused bool // Redis answered, and not what was hoped for
	what    string
}

const (
	longestTrouble = 200 // bytes of an error that are kept: it may be the other side's text
	warnEvery      = time.Minute
	recently       = 10 * time.Second
)

func newHook(p Purpose, budget time.Duration, c *counts, log *slog.Logger) *hook {
	h := &hook{purpose: p, budget: budget, counts: c, log: log}
	h.breaker = circuitbreaker.NewBuilder[any]().
		WithFailureThresholdRatio(breakerFailures, breakerLast).
		WithDelay(breakerDelay).
		WithSuccessThreshold(1).
		OnOpen(func(e circuitbreaker.StateChangedEvent) {
			if e.OldState == circuitbreaker.ClosedState { // and not after a probe
				log.Warn("Redis does not answer: going on without it", "purpose", p.String(), "last_error", h.lately().what)
			}
		}).
		OnClose(func(circuitbreaker.StateChangedEvent) { log.Info("Redis answers again", "purpose", p.String()) }).
		Build()
	return h
}

// lately is what went wrong within the last seconds.
func (h *hook) lately() trouble {
	if t := h.trouble.Load(); t != nil && time.Since(t.at) < recently {
		return *t
	}
	return trouble{}
}

// remember keeps an error for the log and for the status. What Redis refuses is a mistake in its configuration or ours,
// and nothing that opens a breaker: it is logged by itself, now and then.
func (h *hook) remember(cmds []redis.Cmder, err error, now time.Time) {
	name := cmds[0].Name()
	for _, c := range cmds { // of a pipeline, what the first refused command came to
		if len(cmds) > 1 && c.Err() != nil && !harmless(c.Err()) {
			err, name = c.Err(), c.Name()
			break
		}
	}
	if err == nil || harmless(err) {
		return
	}
	t := &trouble{at: now, refused: !unreachable(err), login: redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOAUTH"), what: err.Error()}
	if errors.Is(err, context.DeadlineExceeded) {
		t.what = fmt.Sprintf("no answer within %s", h.budget)
	}
	if len(t.what) > longestTrouble {
		t.what = strings.ToValidUTF8(t.what[:longestTrouble], "") + "…"
	}
	h.trouble.Store(t)
	if last := h.warned.Load(); t.refused && now.UnixMilli()-last > warnEvery.Milliseconds() && h.warned.CompareAndSwap(last, now.UnixMilli()) {
		h.log.Warn("Redis refuses a command", "purpose", h.purpose.String(), "command", name, "error", t.what)
	}
}

// harmless reports whether an error is none for an operator.
func harmless(err error) bool {
	return errors.Is(err, redis.Nil) || errors.Is(err, ErrOpen) || errors.Is(err, context.Canceled) || redis.HasErrorPrefix(err, "NOSCRIPT")
}

// DialHook is redis.Hook.
func (h *hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook is redis.Hook.
func (h *hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.guard(ctx, []redis.Cmder{cmd}, func(ctx context.Context) error { return next(ctx, cmd) })
	}
}

// ProcessPipelineHook is redis.Hook.
func (h *hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.guard(ctx, cmds, func(ctx context.Context) error { return next(ctx, cmds) })
	}
}

func (h *hook) guard(ctx context.Context, cmds []redis.Cmder, run func(context.Context) error) error {
	if greeting(cmds) {
		return run(ctx)
	}
	if !h.lets(ctx) {
		for _, c := range cmds {
			c.SetErr(ErrOpen)
			h.counts.add(c.Name(), outcomeOpen)
		}
		return ErrOpen
	}
	bounded, cancel := context.WithTimeout(ctx, h.budget)
	defer cancel()
	began := time.Now()
	err := run(bounded)
	h.judge(ctx, err, began)
	h.remember(cmds, err, began)
	if len(cmds) == 1 { // the command itself learns of it later
		h.counts.add(cmds[0].Name(), outcomeOf(ctx, err))
		return err
	}
	for _, c := range cmds {
		h.counts.add(c.Name(), outcomeOf(ctx, c.Err()))
	}
	return err
}

// greeting reports whether commands are those with which a connection begins. They are part of a command that is guarded
// itself, or of a connection that is made beforehand: what becomes of them, that command finds out.
func greeting(cmds []redis.Cmder) bool {
	for _, c := range cmds {
		switch c.Name() {
		case "hello", "auth", "select", "client", "readonly", "role":
		default:
			return false
		}
	}
	return true
}

// lets reports whether a command may be sent. While the breaker is not closed, only a probe is, when it is time.
func (h *hook) lets(ctx context.Context) bool {
	if ctx.Value(probing{}) == nil && !h.breaker.IsClosed() {
		return false
	}
	return h.breaker.TryAcquirePermit()
}

// judge tells the breaker. What the caller gave up says nothing about Redis, but the permit has to go back.
func (h *hook) judge(ctx context.Context, err error, began time.Time) {
	now := time.Now()
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		if !h.breaker.IsClosed() {
			h.record(true)
		}
		return
	}
	failed := err != nil && unreachable(err) || errors.Is(err, ErrOpen) || now.Sub(began) > h.budget
	h.note(failed, began, now)
	if !failed && (err == nil || errors.Is(err, redis.Nil)) {
		h.heard.Store(now.UnixMilli())
		if t := h.trouble.Load(); t != nil && t.login {
			h.trouble.CompareAndSwap(t, nil) // whoever is answered is let in again
		}
	}
}

// note tells the breaker of a command that counts. Of probes all do.
func (h *hook) note(failed bool, began, now time.Time) {
	if h.breaker.IsClosed() && !h.follows(began, now) {
		return
	}
	h.record(failed)
}

// follows reports whether a command began after the last one that counts was known, and makes it that one.
func (h *hook) follows(began, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if began.Before(h.known) {
		return false
	}
	h.known = now
	return true
}

func (h *hook) record(failed bool) {
	if failed {
		h.breaker.RecordFailure()
	} else {
		h.breaker.RecordSuccess()
	}
}

// Run asks, for every purpose, whether Redis is there, until ctx ends. It has to run while the clients are used.
func (r *Redis) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, c := range r.clients {
		all.Go(func() {
			for probe := context.WithValue(ctx, probing{}, true); ctx.Err() == nil; {
				c.Ping(probe) // what comes of it, the hook learns
				select {
				case <-ctx.Done():
				case <-time.After(pingEvery*3/4 + rand.N(pingEvery/2)):
				}
			}
		})
	}
	all.Wait()
	return nil
}

// There reports whether Redis has answered lately for a purpose, and in time.
func (r *Redis) There(p Purpose) bool {
	return time.Now().UnixMilli()-r.hooks[p].heard.Load() < lately.Milliseconds()
}

type outcome uint8

const (
	outcomeOK outcome = iota
	outcomeNil
	outcomeTimeout
	outcomeOOM
	outcomeReadOnly
	outcomeError
	outcomeOpen
	outcomeCanceled
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"ok", "nil", "timeout", "oom", "readonly", "error", "open", "canceled"}

func outcomeOf(ctx context.Context, err error) outcome {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, redis.Nil), strings.HasPrefix(err.Error(), "NOSCRIPT "): // the script is sent next
		return outcomeNil
	case errors.Is(ctx.Err(), context.Canceled):
		return outcomeCanceled
	case Late(err):
		return outcomeTimeout
	case strings.HasPrefix(err.Error(), "OOM "):
		return outcomeOOM
	case strings.HasPrefix(err.Error(), "READONLY "):
		return outcomeReadOnly
	}
	return outcomeError
}

// commands are the names that are counted; the last stands for all others.
var commands = [...]string{"get", "set", "del", "exists", "pttl", "hset", "hgetall", "hdel", "zrange", "zrangebyscore", "zscore", "publish", "ping", "eval", "evalsha", "other"}

// counts are shared by all clients.
type counts struct {
	n [len(commands)][numOutcomes]atomic.Uint64
}

func (c *counts) add(command string, o outcome) {
	i := 0
	for i < len(commands)-1 && commands[i] != command {
		i++
	}
	c.n[i][o].Add(1)
}

// CommandCount is how often a command ended in one way.
type CommandCount struct {
	Command, Outcome string
	N                uint64
}

// Stats is a snapshot.
type Stats struct {
	Commands []CommandCount    // those that are not 0
	Open     map[string]bool   // by purpose: the breaker lets nothing through
	Trouble  map[string]string // by purpose: what went wrong within the last seconds
}

// Stats returns one.
func (r *Redis) Stats() Stats {
	s := Stats{Open: map[string]bool{}, Trouble: map[string]string{}}
	for i := range r.counts.n {
		for o := range r.counts.n[i] {
			if n := r.counts.n[i][o].Load(); n > 0 {
				s.Commands = append(s.Commands, CommandCount{commands[i], outcomeNames[o], n})
			}
		}
	}
	for p, h := range r.hooks {
		s.Open[Purpose(p).String()] = h.breaker.IsOpen()
		if t := h.lately(); t.refused {
			s.Trouble[Purpose(p).String()] = "refuses: " + t.what
		} else if t.what != "" {
			s.Trouble[Purpose(p).String()] = "lately: " + t.what
		}
	}
	return s
}
