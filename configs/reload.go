package configs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tzero-edge/tzero/configs/strict"
)

// Apply makes a configuration the running one: it builds a whole new generation, then stores one pointer.
// When it returns an error, nothing has changed.
type Apply func(ctx context.Context, l *Loaded, generation uint64) error

// Result is what became of a reload.
type Result struct {
	OK         bool          `json:"ok"`
	Trigger    string        `json:"trigger"` // "start", "SIGHUP", "admin", …
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"took_ns"`
	Generation uint64        `json:"generation"` // the running one, after the attempt
	Hash       string        `json:"hash"`       // of the running configuration
	Error      string        `json:"error,omitempty"`
	// NeedsRestart lists the settings whose new value waits for the next start; the rest applies.
	NeedsRestart []string `json:"needs_restart,omitempty"`
	Warnings     []string `json:"warnings,omitempty"`
}

// Reloader owns the change from one configuration to the next. Reloads happen one after the other; a
// refused one leaves everything as it is.
type Reloader struct {
	input  Input
	apply  Apply
	report func(Result)
	now    func() time.Time

	turn chan struct{} // holds one token: whoever has it reloads

	mu      sync.Mutex
	running *Loaded
	last    Result // names the running generation and its hash
}

// ReloaderOptions are the parts that a Reloader is given.
type ReloaderOptions struct {
	Input   Input
	Running *Loaded // what the process started with: generation 1
	Apply   Apply
	Report  func(Result) // told of every attempt; may be nil
	Now     func() time.Time
}

// NewReloader returns a Reloader for a process that runs with o.Running.
func NewReloader(o ReloaderOptions) *Reloader {
	r := &Reloader{input: o.Input, apply: o.Apply, report: o.Report, now: o.Now, running: o.Running, turn: make(chan struct{}, 1)}
	r.last = Result{OK: true, Trigger: "start", At: o.Now(), Generation: 1, Hash: Hash(o.Running.Config),
		Warnings: texts(o.Running.Warnings)}
	return r
}

// Running returns the configuration that is in force. It is shared: read only.
func (r *Reloader) Running() *Loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// Last returns the result of the last reload, or of the start.
func (r *Reloader) Last() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Run reloads at every signal until ctx ends or the channel closes. Signals that come during a reload
// make one more, however many they are.
func (r *Reloader) Run(ctx context.Context, sighup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-sighup:
			if !open || !drain(sighup) {
				return nil
			}
			// The result is kept and reported; a refused file must not end the loop.
			_, _ = r.Reload(ctx, "SIGHUP")
		}
	}
}

// drain takes what is waiting; false when the channel is closed.
func drain(c <-chan os.Signal) bool {
	for {
		select {
		case _, open := <-c:
			if !open {
				return false
			}
		default:
			return true
		}
	}
}

// Reload reads the configuration again and applies it. Its error says why nothing changed, in the words
// of Result.Error.
func (r *Reloader) Reload(ctx context.Context, trigger string) (Result, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return r.Last(), fmt.Errorf("cannot reload: another reload is under way: %w", context.Cause(ctx))
	}
	start := r.now()
	next, kept, err := r.attempt(ctx)
	last := r.Last()
	result := Result{Trigger: trigger, At: start, Generation: last.Generation, Hash: last.Hash}
	if err == nil {
		result.OK, result.NeedsRestart, result.Warnings = true, kept, texts(next.Warnings)
		result.Generation, result.Hash = last.Generation+1, Hash(next.Config)
	} else {
		err = fmt.Errorf("cannot reload: %w", err)
		result.Error = err.Error()
	}
	result.Took = r.now().Sub(start)
	r.settle(next, result)
	if r.report != nil {
		r.report(result)
	}
	return result, err
}

// attempt loads and applies. A panic in a check or a build is an error like any other: the running
// generation is complete and goes on.
func (r *Reloader) attempt(ctx context.Context) (next *Loaded, kept []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			next, kept, err = nil, nil, fmt.Errorf("a fault in tzero itself: %v", p)
		}
	}()
	next, err = r.input.Load()
	if err != nil {
		return nil, nil, err
	}
	kept = strict.KeepRestart(r.Running().Config, next.Config)
	for _, path := range kept {
		next.Sources.Set(path, strict.Source{Label: "as running; the new value needs a restart"})
	}
	if err := next.recheck(kept); err != nil {
		return nil, nil, err
	}
	if err := r.apply(ctx, next, r.Last().Generation+1); err != nil {
		return nil, nil, err
	}
	return next, kept, nil
}

// recheck looks at a configuration again in which some values are still those of the running one: each was
// valid with its own file, which does not make them fit together.
func (l *Loaded) recheck(kept []string) error {
	if len(kept) == 0 {
		return nil
	}
	found := append(l.Config.parts(), l.Config.across()...)
	if err := strict.Refuse(l.Sources.PlaceAll(found, nil)); err != nil {
		return fmt.Errorf("this needs a restart, since %s cannot change before and the rest does not go with it:\n%w",
			strings.Join(kept, ", "), err)
	}
	return nil
}

// settle keeps the result and, where there is one, the new configuration.
func (r *Reloader) settle(next *Loaded, result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = result
	if result.OK {
		r.running = next
	}
}

// Problems returns what a failed Load or Reload found, placed, for output as a list.
func Problems(err error) []strict.Problem {
	var e *strict.Error
	if errors.As(err, &e) {
		return e.Problems
	}
	return nil
}

func texts(problems []strict.Problem) []string {
	out := make([]string, len(problems))
	for i, p := range problems {
		out[i] = p.String()
	}
	return out
}
