//go:build race

package decisionlog

const raceEnabled = true // sync.Pool drops things at random then
