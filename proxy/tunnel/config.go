package tunnel

import (
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
)

// Config bounds the tunnels of upgraded connections, such as WebSocket.
type Config struct {
	Max      int           `yaml:"max" doc:"Tunnels that may be open at the same time; further upgrades are answered 503."`
	Idle     conf.Duration `yaml:"idle" doc:"A tunnel without a byte in either direction for so long is closed. Apps that ping do so every 20 to 60 seconds."`
	HalfIdle conf.Duration `yaml:"half_idle" doc:"The same once one side has said that it is done."`
	Lifetime conf.Duration `yaml:"lifetime" doc:"A tunnel is closed after this time, however busy; 0 sets no bound."`
}

// Default returns limits that fit apps which ping, and most that do not.
func Default() Config {
	return Config{
		Max:      20000,
		Idle:     conf.Duration(10 * time.Minute),
		HalfIdle: conf.Duration(30 * time.Second),
		Lifetime: conf.Duration(24 * time.Hour),
	}
}

// Validate reports everything that is wrong with c.
func (c Config) Validate() []conf.Problem {
	var all []conf.Problem
	if c.Max < 0 {
		all = append(all, conf.Problem{Path: "max", Reason: "is negative; 0 refuses all upgrades"})
	}
	if c.Idle <= 0 {
		all = append(all, conf.Problem{Path: "idle", Reason: "must be longer than 0"})
	}
	if c.HalfIdle <= 0 {
		all = append(all, conf.Problem{Path: "half_idle", Reason: "must be longer than 0"})
	}
	return all
}
