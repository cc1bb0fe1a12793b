// Package redis is the one place where the gateway's use of Redis is set up: clients with a budget per purpose, the
// names of keys, and the registry of the nodes that share a Redis.
package redis

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// Keys names what is kept in Redis. The zero value has no prefix. Everything about one page carries the page's tag as
// hash tag, and everything about purges and nodes the tag "bus", so that what travels together lies on one master of a
// Cluster.
type Keys struct{ Prefix string }

// Tag names a primary cache key for all nodes: the first 128 bits of its SHA-256, in 22 characters.
func Tag(primary []byte) string { return digest(primary) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Object is where the response under a primary key lies, or the vary record that leads to responses.
func (k Keys) Object(tag string) string { return k.Prefix + "cache:{" + tag + "}" }

// Variant is where the negotiated response under a full key lies.
func (k Keys) Variant(tag string, full []byte) string {
	return k.Prefix + "cache:{" + tag + "}:" + digest(full)
}

// Lease is the right to fill what lies under a full key.
func (k Keys) Lease(tag string, full []byte) string {
	return k.Prefix + "lease:{" + tag + "}:" + digest(full)
}

// Fence is another after every write to a page: an answer from before the last one is not stored.
func (k Keys) Fence(tag string) string { return k.Prefix + "epoch:{" + tag + "}" }

// Purges is the list of purges.
func (k Keys) Purges() string { return k.Prefix + "epoch:{bus}:purges" }

// Bus is the channel of purges and writes.
func (k Keys) Bus() string { return k.Prefix + "bus" }

// Ends is the channel on which the end of the lease on a full key is told.
func (k Keys) Ends(tag string, full []byte) string {
	return k.Prefix + "lease-end:{" + tag + "}:" + digest(full)
}

// Rate is what was taken of an allowance, by the hash of who shares it. Those of one shard lie on one master.
func (k Keys) Rate(shard string, hash uint64) string {
	return k.Prefix + "rate:{" + shard + "}:" + strconv.FormatUint(hash, 16)
}

// RateSecret is what makes the hashes of Rate unpredictable.
func (k Keys) RateSecret() string { return k.Prefix + "rate:secret" }

// Nodes is the hash of all nodes by their id.
func (k Keys) Nodes() string { return k.Prefix + "node:{bus}" }

// Rulings are what operators have decided about addresses, by prefix, and when that changed last.
func (k Keys) Rulings() string { return k.Prefix + "rate:rulings" }
