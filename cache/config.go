package cache

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config is the cache's part of the configuration file. It belongs to the process: a change needs a restart,
// because the stored objects would not survive it.
type Config struct {
	Memory    Memory    `yaml:"memory" doc:"Memory for stored objects and the tables to find them: a share of the machine's or the cgroup's memory (25%) or a size (2GiB)."`
	Pinned    Memory    `yaml:"pinned" doc:"Part of memory that is kept for planned objects, which nothing pushes out: a share (10%) or a size; 0 for none. This version plans none, and warns when it is set."`
	MaxObject conf.Size `yaml:"max_object" doc:"Largest response that is stored, header and body. Greater ones pass through."`
	Jitter    float64   `yaml:"jitter" doc:"What is stored together does not expire together: an operator's ttl is up to this share longer or shorter, differently for each object, tier and node; what an origin declared is only shortened. 0 for none, at most 0.5."`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{Memory: Memory{Percent: 25}, MaxObject: 8 << 20, Jitter: 0.15}
}

// minMemory is what a cache needs to be one.
const minMemory = 8 << 20

// Validate reports what is wrong.
func (c Config) Validate() []conf.Problem {
	var p []conf.Problem
	if c.Memory.Percent == 0 && c.Memory.Size < minMemory {
		p = append(p, conf.Problem{Path: "memory", Reason: "must be a share between 1% and 75%, or at least 8MiB"})
	}
	if c.Memory.Percent != 0 && (c.Memory.Percent < 1 || c.Memory.Percent > 75) {
		p = append(p, conf.Problem{Path: "memory", Reason: "the share must be between 1% and 75%: garbage needs a fifth on top"})
	}
	if c.Pinned.Percent > 50 || c.Memory.Size > 0 && c.Pinned.Size > c.Memory.Size/2 {
		p = append(p, conf.Problem{Path: "pinned", Reason: "must be at most half of memory"})
	}
	switch {
	case c.MaxObject < 1<<10:
		p = append(p, conf.Problem{Path: "max_object", Reason: "must be at least 1KiB"})
	case c.MaxObject > 1<<30:
		p = append(p, conf.Problem{Path: "max_object", Reason: "must be at most 1GiB"})
	case c.Memory.Size > 0 && c.MaxObject > c.Memory.Size/4:
		p = append(p, conf.Problem{Path: "max_object", Reason: "must be at most a quarter of memory"})
	}
	if !(c.Jitter >= 0 && c.Jitter <= 0.5) {
		p = append(p, conf.Problem{Path: "jitter", Reason: "must be between 0 and 0.5"})
	}
	return p
}

// Memory is a size, or a share of the memory there is.
type Memory struct {
	Percent float64
	Size    conf.Size
}

func (m Memory) String() string {
	if m.Percent > 0 {
		return strconv.FormatFloat(m.Percent, 'f', -1, 64) + "%"
	}
	return m.Size.String()
}

func (m Memory) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses "25%" or a size with a unit.
func (m *Memory) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	if num, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || !(f > 0 && f <= 100) {
			return fmt.Errorf("%q is not a share; write it as 25%%, or as a size with a unit", s)
		}
		*m = Memory{Percent: f}
		return nil
	}
	var size conf.Size
	if err := size.UnmarshalText(b); err != nil {
		return fmt.Errorf("%q is neither a share such as 25%% nor a size such as 2GiB", s)
	}
	*m = Memory{Size: size}
	return nil
}

// Bytes resolves m against the memory there is, in bytes.
func (m Memory) Bytes(available uint64) int64 {
	if m.Percent > 0 {
		return max(minMemory, int64(float64(available)*m.Percent/100))
	}
	return max(minMemory, int64(m.Size))
}

// PinnedBytes is the part of memory, in bytes, for pinned objects; at most half of it.
func (c Config) PinnedBytes(memory int64) int64 {
	if c.Pinned.Percent > 0 {
		return int64(float64(memory) * c.Pinned.Percent / 100)
	}
	return min(int64(c.Pinned.Size), memory/2)
}

// AvailableMemory is the limit of the process's cgroup (v1 or v2), or of the machine without one, in bytes.
func AvailableMemory() (uint64, error) {
	n, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil {
		return 0, fmt.Errorf("cannot find out how much memory there is: %w", err)
	}
	return n, nil
}
