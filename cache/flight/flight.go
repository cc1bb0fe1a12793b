// Package flight elects, among callers who want the same thing at the same moment, the one that gets it.
package flight

import (
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/singleflight"
)

// Group elects one leader per key and moment. The zero value is ready.
type Group[T any] struct{ flights singleflight.Group }

// Panicked is the error that everybody gets when the leader's function panicked. The panic itself ends in
// the leader: it must cost one request, not the process and not those who waited.
type Panicked struct {
	Value any
	Stack []byte
}

func (p *Panicked) Error() string { return fmt.Sprintf("panic while filling: %v", p.Value) }

// Do runs run in the calling goroutine unless another caller with the same key is running its own; then it
// waits for that one and returns what it returned. led says which of the two it was.
func (g *Group[T]) Do(key string, run func() (T, error)) (v T, led bool, err error) {
	got, err, _ := g.flights.Do(key, func() (any, error) {
		led = true
		return guard(run)
	})
	if got != nil {
		v = got.(T)
	}
	return v, led, err
}

func guard[T any](run func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Panicked{Value: p, Stack: debug.Stack()}
		}
	}()
	return run()
}
