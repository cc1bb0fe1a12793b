//go:build race

package listen

// raced: sync.Pool drops at random under the race detector, so that allocation counts mean nothing.
const raced = true
