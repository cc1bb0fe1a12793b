package redis

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/redis/go-redis/v9"
)

// Node is a gateway among those that share a Redis.
type Node struct {
	ID         string    `json:"id"` // random, new at every start
	Host       string    `json:"host"`
	Version    string    `json:"version"`
	Generation uint64    `json:"generation"` // of its configuration
	Epoch      uint64    `json:"epoch"`      // the last purge that it has applied
	Started    time.Time `json:"started"`    // by its own clock
	Named      bool      `json:"named"`      // the host is a name that was given to this gateway alone

	Age   time.Duration `json:"-"` // since it was heard of, by Redis' clock
	Alive bool          `json:"-"`
}

const (
	beatEvery  = time.Second
	aliveFor   = 3500 * time.Millisecond
	forgetMS   = 60 * 1000 // by then a node that is cut off serves nothing without asking the origin
	maxNodes   = 1000
	maxNodeLen = 1024
)

// NewNodeID returns a name for this process: 64 random bits.
func NewNodeID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// Nodes is the registry: it says that this node lives, and who else does.
type Nodes struct {
	client redis.UniversalClient
	key    string
	self   func() Node
	known  atomic.Pointer[listed]
	lost   atomic.Pointer[listed] // what was known when Redis had forgotten this node, and so perhaps others
	soon   chan struct{}
}

// NewNodes returns the registry for a node that describes itself; self is asked at every beat.
func NewNodes(r *Redis, self func() Node) *Nodes {
	return &Nodes{client: r.Client(Bus), key: r.Keys().Nodes(), self: self, soon: make(chan struct{}, 1)}
}

// beat notes a node with the time by Redis' own clock, and forgets those that have not been heard of for long. It returns 1
// where the node was not there.
var beat = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local new = redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at = tonumber(string.match(all[i+1], '^(%d+) '))
  if not at or math.abs(now - at) > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
end
return new`)

// Beat says that this node lives.
func (n *Nodes) Beat(ctx context.Context) error {
	self := n.self()
	about, err := json.Marshal(self)
	if err != nil {
		return fmt.Errorf("cannot describe this node: %w", err)
	}
	isNew, err := beat.Run(ctx, n.client, []string{n.key}, self.ID, about, forgetMS).Bool()
	if err != nil {
		return fmt.Errorf("cannot tell the others that this node lives: %w", err)
	}
	if known := n.Known(); isNew && len(known) > 0 {
		n.lost.Store(&listed{known, time.Now()})
	}
	return nil
}

// Run beats until ctx ends, and then signs off.
func (n *Nodes) Run(ctx context.Context) error {
	for {
		if n.Beat(ctx) == nil { // otherwise it is counted, and the others see that nothing comes
			if all, err := n.List(ctx); err == nil {
				n.known.Store(&listed{all, time.Now()})
			}
		}
		select {
		case <-ctx.Done():
			n.client.HDel(context.WithoutCancel(ctx), n.key, n.self().ID)
			return nil
		case <-n.soon:
		case <-time.After(beatEvery*3/4 + rand.N(beatEvery/2)):
		}
	}
}

// Soon has Run say at once how things stand, because something has changed.
func (n *Nodes) Soon() {
	select {
	case n.soon <- struct{}{}:
	default:
	}
}

// listed are the nodes at a moment.
type listed struct {
	nodes []Node
	at    time.Time
}

// Known returns the nodes that were listed last, as far as one can tell without asking anybody: whoever was not heard of
// since then is that much older.
func (n *Nodes) Known() []Node { return n.known.Load().aged() }

func (l *listed) aged() []Node {
	if l == nil {
		return nil
	}
	nodes := slices.Clone(l.nodes)
	for i := range nodes {
		nodes[i].Age += time.Since(l.at)
		nodes[i].Alive = nodes[i].Age < aliveFor
	}
	return nodes
}

// list returns the time and all nodes.
var list = redis.NewScript(`
local t = redis.call('TIME')
local out = {tostring(t[1] * 1000 + math.floor(t[2] / 1000))}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, math.min(#all, tonumber(ARGV[1])) do out[#out + 1] = all[i] end
return out`)

// List returns the nodes that were heard of in the last minute, by host and id: also those that Redis has forgotten together
// with this one and that have not come back yet.
func (n *Nodes) List(ctx context.Context) ([]Node, error) {
	got, err := list.Run(ctx, n.client, []string{n.key}, 2*maxNodes).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("cannot ask Redis for the nodes: %w", err)
	}
	if len(got)%2 == 0 {
		return nil, fmt.Errorf("cannot read the list of nodes: %d parts", len(got))
	}
	now, err := strconv.ParseInt(got[0], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("cannot read the time of Redis: %w", err)
	}
	var nodes []Node
	for i := 1; i+1 < len(got); i += 2 {
		if node, ok := readNode(got[i], got[i+1], now); ok {
			nodes = append(nodes, node)
		}
	}
	for _, node := range n.lost.Load().aged() {
		if node.Age < forgetMS*time.Millisecond && !slices.ContainsFunc(nodes, func(o Node) bool { return o.ID == node.ID }) {
			nodes = append(nodes, node)
		}
	}
	all := slices.Clone(nodes)
	nodes = slices.DeleteFunc(nodes, func(n Node) bool { return n.replaced(all) })
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Host+a.ID, b.Host+b.ID) })
	return nodes, nil
}

// replaced reports that a node which is not heard of any more was started again under its name.
func (n *Node) replaced(by []Node) bool {
	return n.Named && !n.Alive && slices.ContainsFunc(by, func(o Node) bool {
		return o.Named && o.Alive && o.Host == n.Host && o.Started.After(n.Started)
	})
}

func readNode(id, value string, now int64) (Node, bool) {
	at, about, _ := strings.Cut(value, " ")
	seen, err := strconv.ParseInt(at, 10, 64)
	var n Node
	if err != nil || len(value) > maxNodeLen || json.Unmarshal([]byte(about), &n) != nil || n.ID != id {
		return Node{}, false
	}
	n.Host = strings.Map(func(r rune) rune { // it goes to terminals, and comes from whoever can write to Redis
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, n.Host)
	age := now - seen
	if age < 0 { // Redis' clock was set back, or the time is invented: living nodes write theirs again at once
		age = -age
	}
	n.Age = time.Duration(min(age, forgetMS)) * time.Millisecond
	n.Alive = n.Age < aliveFor
	return n, true
}
