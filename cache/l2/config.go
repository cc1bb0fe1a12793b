package l2

import (
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the shared tier's part of the configuration.
type Config struct {
	MaxObject     conf.Size     `yaml:"max_object" doc:"Largest value that is kept in Redis, header and compressed body. Greater pages are kept by each gateway for itself."`
	CompressAbove conf.Size     `yaml:"compress_above" doc:"Bodies from this size on are compressed in Redis, where that makes them smaller."`
	Queue         conf.Size     `yaml:"queue" doc:"Memory for pages that wait to be written to Redis; what finds no room is not shared."`
	Wait          conf.Duration `yaml:"wait" doc:"Longest time that a request waits for a page that another gateway is fetching; then this one fetches it for itself."`
	Lease         conf.Duration `yaml:"lease" doc:"How long the right to fetch a page for all outlives a gateway that dies. It is renewed while the fetch runs."`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{MaxObject: 1 << 20, CompressAbove: 1 << 10, Queue: 64 << 20, Wait: conf.Duration(10 * time.Second), Lease: conf.Duration(3 * time.Second)}
}

// Validate reports what is wrong.
func (c Config) Validate() []conf.Problem {
	var ps []conf.Problem
	add := func(path, reason string) { ps = append(ps, conf.Problem{Path: path, Reason: reason}) }
	if c.MaxObject < 4<<10 || c.MaxObject > 64<<20 {
		add("max_object", "must be between 4KiB and 64MiB")
	}
	if c.CompressAbove < 64 {
		add("compress_above", "must be at least 64B")
	}
	if c.Queue < c.MaxObject || c.Queue > 4<<30 {
		add("queue", "must be at least max_object, and at most 4GiB")
	}
	if c.Wait.D() < 100*time.Millisecond || c.Wait.D() > 5*time.Minute {
		add("wait", "must lie between 100ms and 5m")
	}
	if c.Lease.D() < 500*time.Millisecond || c.Lease.D() > time.Minute {
		add("lease", "must lie between 500ms and 1m")
	}
	return ps
}
