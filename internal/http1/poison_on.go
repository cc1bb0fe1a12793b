//go:build race

package http1

const poison = true
