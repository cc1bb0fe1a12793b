// Package cluster proves that gateways which share a Redis act as one: one fetch for all, purges that reach everybody, and
// nothing but a lower hit ratio when Redis is away. The tests run the real binary three times before one origin, and real
// Redis servers that they kill, stop, slow down and fill up.
package cluster
