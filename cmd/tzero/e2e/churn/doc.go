// Package churn is the soak of the cache in memory: an hour of a busy site in minutes. Keys of all sizes come, vary, are
// invalidated, expire and are validated, while readers, some of them slow, check every body. It watches what the
// process takes, and compares what the tier says it holds with the heap.
//
// It has only tests. `make churn` runs them in full size and writes docs/churn.md; otherwise they take seconds.
package churn
