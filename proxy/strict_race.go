//go:build race

package proxy

// strictMoves makes an illegal move panic: tests run with the race detector.
const strictMoves = true
