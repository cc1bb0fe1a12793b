//go:build race

package metrics

const raceEnabled = true // sync.Pool drops things at random then
