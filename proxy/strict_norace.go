//go:build !race

package proxy

// strictMoves is off in production, where an illegal move is counted and the request ends.
const strictMoves = false
