//go:build race

package proxy_test

// raced: sync.Pool drops at random under the race detector, so that allocation counts mean nothing.
const raced = true
