package admin

import "time"

// Status is what /status shows and the dashboard reads. Whoever wires the gateway fills in what it
// has; absent parts are left out.
type Status struct {
	Version    string    `json:"version"`
	GoVersion  string    `json:"go_version,omitempty"`
	PID        int       `json:"pid,omitempty"`
	Started    time.Time `json:"started"`
	UptimeS    float64   `json:"uptime_s"`
	Ready      bool      `json:"ready"`
	NotReady   []string  `json:"not_ready,omitempty"` // why
	Generation uint64    `json:"generation"`
	ConfigFile string    `json:"config_file,omitempty"`
	ConfigHash string    `json:"config_hash,omitempty"`
	LastReload *Reload   `json:"last_reload,omitempty"`

	Listeners   []Listener   `json:"listeners"`
	Connections *Connections `json:"connections,omitempty"`
	Routes      []Route      `json:"routes"`
	Origins     []Origin     `json:"origins"`
	Cache       *Cache       `json:"cache,omitempty"`
	Cluster     *Cluster     `json:"cluster,omitempty"`
	RateLimits  *RateLimits  `json:"rate_limits,omitempty"`
	Tunnels     *Tunnels     `json:"tunnels,omitempty"`
	DecisionLog *DecisionLog `json:"decision_log,omitempty"`
	Traffic     *Traffic     `json:"traffic,omitempty"`
}

// Reload is the result of one attempt to load the configuration.
type Reload struct {
	Time    time.Time `json:"time"`
	Success bool      `json:"success"`
	Error   string    `json:"error,omitempty"`
	// Restart names what changed in the file but needs a restart.
	Restart []string `json:"restart,omitempty"`
}

// Listener is an address on which clients are served.
type Listener struct {
	Address  string `json:"address"`
	Protocol string `json:"protocol,omitempty"`
}

// Connections are the clients' connections on all listeners.
type Connections struct {
	Open     int64             `json:"open"`
	Limit    int64             `json:"limit"`
	Accepted uint64            `json:"accepted"`
	Ended    map[string]uint64 `json:"ended,omitempty"` // refused or cut short, by reason
}

// Route is one route in the order in which they are matched.
type Route struct {
	Name   string `json:"name"`
	Match  string `json:"match"`
	Origin string `json:"origin,omitempty"`
	Cache  string `json:"cache,omitempty"`
}

// Origin is a pool with its targets.
type Origin struct {
	Name    string   `json:"name"`
	Targets []Target `json:"targets"`
}

// Target is one address in a pool.
type Target struct {
	URL      string  `json:"url"`
	State    string  `json:"state"`         // healthy, unhealthy, ejected, draining
	Why      string  `json:"why,omitempty"` // its last fault
	InFlight int64   `json:"in_flight"`
	Queued   int64   `json:"queued"`
	Uploads  int64   `json:"uploads"` // requests whose content is still arriving
	Streams  int64   `json:"streams"` // event streams
	Open     int64   `json:"open"`    // connections
	Idle     int64   `json:"idle"`    // of them in reserve
	Latency  float64 `json:"latency_ms"`
	Requests uint64  `json:"requests"`
	Failures uint64  `json:"failures"`
}

// Cache is the store in memory.
type Cache struct {
	Objects  int64  `json:"objects"`
	Bytes    int64  `json:"bytes"`
	Capacity int64  `json:"capacity"`
	Fills    int64  `json:"fills"` // in flight
	Evicted  uint64 `json:"evicted"`

	Pinned         int64  `json:"pinned"` // objects that nothing pushes out
	PinnedBytes    int64  `json:"pinned_bytes"`
	PinnedCapacity int64  `json:"pinned_capacity"`
	WritesDelayed  uint64 `json:"writes_delayed"` // because their client writes too often
}

// RateLimits are the limits on clients' requests.
type RateLimits struct {
	Keys      int         `json:"keys"`   // clients whose allowance is not whole
	Places    int         `json:"places"` // clients that can be remembered
	Evictions uint64      `json:"evictions"`
	Alone     int         `json:"alone,omitempty"` // gateways that count each for itself, since Redis does not answer
	Denied    uint64      `json:"denied"`          // requests from addresses on the deny list
	Policies  []RateLimit `json:"policies"`
}

// RateLimit is a policy with its decisions since the start.
type RateLimit struct {
	Name       string `json:"name"`
	Rate       string `json:"rate"`
	Count      string `json:"count"` // what it counts: origin or all
	DryRun     bool   `json:"dry_run,omitempty"`
	Exact      bool   `json:"exact,omitempty"`
	Allowed    uint64 `json:"allowed"`
	Limited    uint64 `json:"limited"`
	WouldLimit uint64 `json:"would_limit"`
}

// Ruled is the answer about addresses that operators have denied or allowed.
type Ruled struct {
	Rulings []Ruling `json:"rulings"`
	Warning string   `json:"warning,omitempty"` // it holds here, and not yet everywhere or not after a restart
}

// Ruling is what holds for a prefix.
type Ruling struct {
	Prefix string    `json:"prefix"`
	Verb   string    `json:"verb"` // deny or allow
	Until  time.Time `json:"until"`
	Why    string    `json:"why,omitempty"`
}

// Cluster is this gateway among those that share a Redis.
type Cluster struct {
	Node   string            `json:"node"`
	Epoch  uint64            `json:"epoch"`   // the last purge
	Ready  bool              `json:"ready"`   // it knows of all purges, and so uses what others stored
	CutOff bool              `json:"cut_off"` // it does not hear of purges
	Redis  map[string]string `json:"redis"`   // by purpose: used, or not answering
	Hits   uint64            `json:"hits"`    // misses here that what another gateway stored has answered
	Waited uint64            `json:"waited"`  // for another gateway's fetch
	Nodes  []Node            `json:"nodes"`
}

// Node is a gateway among those that share a Redis.
type Node struct {
	ID         string  `json:"node"`
	Host       string  `json:"host"`
	Version    string  `json:"version,omitempty"`
	Generation uint64  `json:"generation,omitempty"`
	Epoch      uint64  `json:"epoch"`
	Alive      bool    `json:"alive"`
	SeenS      float64 `json:"seen_s"` // so long ago
}

// Purged is the answer to a purge.
type Purged struct {
	Epoch        uint64  `json:"epoch"` // the purge's number
	Soft         bool    `json:"soft"`
	Targets      int     `json:"targets"`
	TookMS       float64 `json:"took_ms"`
	Acknowledged []Node  `json:"acknowledged"`
	Missing      []Node  `json:"missing,omitempty"` // alive a moment ago, and has not acknowledged
	Lost         []Node  `json:"lost,omitempty"`    // not heard of for longer: cut off or gone
	Warning      string  `json:"warning,omitempty"`
}

// Everywhere reports that every gateway has acknowledged.
func (p *Purged) Everywhere() bool { return len(p.Missing)+len(p.Lost) == 0 && p.Warning == "" }

// Tunnels are the upgraded connections.
type Tunnels struct {
	Open    int64  `json:"open"`
	Limit   int64  `json:"limit"`
	Opened  uint64 `json:"opened"`
	Refused uint64 `json:"refused"`
}

// DecisionLog is the log's account.
type DecisionLog struct {
	Written uint64 `json:"written"`
	Dropped uint64 `json:"dropped"`
	Errors  uint64 `json:"errors"`
	Bytes   uint64 `json:"bytes"`
}

// Traffic is what was served since the start.
type Traffic struct {
	Requests uint64            `json:"requests"`
	ByClass  map[string]uint64 `json:"by_class"` // 2xx …
	ByCache  map[string]uint64 `json:"by_cache"` // hit, miss …
	Refused  uint64            `json:"refused"`
	Aborted  uint64            `json:"aborted"`
	BytesIn  uint64            `json:"bytes_in"`
	BytesOut uint64            `json:"bytes_out"`
	BoundsMS []float64         `json:"bounds_ms"` // of Latency's counts, which have one more
	Latency  []uint64          `json:"latency"`
}
