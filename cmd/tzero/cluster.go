package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/tzero-edge/tzero/cache"
	leases "github.com/tzero-edge/tzero/cache/flight/redis"
	"github.com/tzero-edge/tzero/cache/l2"
	"github.com/tzero-edge/tzero/cache/purge"
	bus "github.com/tzero-edge/tzero/cache/purge/redis"
	"github.com/tzero-edge/tzero/configs"
	"github.com/tzero-edge/tzero/internal/redis"
	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/proxy/metrics"
	"github.com/tzero-edge/tzero/ratelimit"
	counters "github.com/tzero-edge/tzero/ratelimit/redis"
)

// cluster is what makes this gateway one of several that share a Redis.
type cluster struct {
	id      string
	redis   *redis.Redis
	tier    *l2.Tier
	leases  *leases.Leases
	bus     *bus.Bus
	nodes   *redis.Nodes
	limits  *counters.Counters
	rulings *counters.Rulings
}

// openCluster builds the services and gives the cache its share in them. It does not wait for Redis.
func openCluster(c *configs.Config, store *cache.Cache, limiter *ratelimit.Limiter, generation func() uint64, learned func(), log *slog.Logger) (*cluster, error) {
	k := &cluster{id: redis.NewNodeID()}
	var err error
	if k.redis, err = redis.Open(c.Redis, log); err != nil {
		return nil, err
	}
	k.tier, err = l2.New(l2.Options{
		Reads: k.redis.Client(redis.Reads), Writes: k.redis.Client(redis.Writes), Keys: k.redis.Keys(), Config: c.Shared,
		Node: k.id, MaxBody: int64(c.Cache.MaxObject), Random: rand.Uint64,
		There: func() bool { return k.redis.There(redis.Reads) },
	})
	if err != nil {
		return nil, err
	}
	k.leases = leases.New(leases.Options{
		Client: k.redis.Client(redis.Leases), Bus: k.redis.Client(redis.Bus), Keys: k.redis.Keys(),
		TTL: c.Shared.Lease.D(), StampSize: l2.StampSize, Random: rand.Uint64,
		There: func() bool { return k.redis.There(redis.Leases) },
	})
	host := c.Redis.Name
	if host == "" {
		host, _ = os.Hostname() // a node without a name still has its id
	}
	started := time.Now()
	k.nodes = redis.NewNodes(k.redis, func() redis.Node {
		return redis.Node{ID: k.id, Host: host, Version: buildVersion(), Generation: generation(), Epoch: k.bus.Applied(), Started: started, Named: c.Redis.Name != ""}
	})
	k.bus = bus.New(bus.Options{
		Client: k.redis.Client(redis.Bus), Keys: k.redis.Keys(), Epochs: store.Epochs(), Applied: k.nodes.Soon,
		Acknowledged: func() (last uint64) {
			for _, n := range k.nodes.Known() {
				last = max(last, n.Epoch)
			}
			return last
		},
		CutOff: func(at time.Time, why error) {
			log.Warn("cut off from the other gateways: purges are not heard of", "on_partition", c.Redis.OnPartition, "error", why)
			store.CutOff(at)
		},
		Rejoined: func(time.Time) {
			log.Info("among the gateways that share this Redis: all purges are known", "node", k.id, "name", host)
			store.Rejoined()
		},
		Other: func(payload []byte) {
			if w, ok := l2.ReadWritten(payload); ok && w.Node != k.id {
				store.Voided(w.Primary, w.Wait, time.Now())
			}
		},
	})
	store.Share(cache.Sharing{
		Tier: k.tier, Leases: k.leases, Wait: c.Shared.Wait.D(), Ready: k.bus.Ready, Purge: k.bus.Later,
		Suspicious: c.Redis.OnPartition == "revalidate",
	})
	k.limits = counters.New(counters.Options{
		Client: k.redis.Client(redis.Limits), Keys: k.redis.Keys(), Limiter: limiter,
		Nodes: func() int { return len(k.nodes.Known()) }, // those that are cut off count as well: they let pass their part
		Alone: func(n int, why error) {
			log.Warn("rate limits are counted by each gateway for itself, which lets its part of each rate pass", "gateways", n, "error", why)
		},
		Again: func() { log.Info("rate limits are counted together again") },
	})
	limiter.Share(k.limits)
	k.rulings = counters.NewRulings(counters.RulingsOptions{
		Client: k.redis.Client(redis.Limits), Keys: k.redis.Keys(), Limiter: limiter, Learned: learned,
		Failed: func(err error) { log.Warn("what is ruled about addresses is not shared", "error", err) },
	})
	return k, nil
}

// purge purges at all nodes and waits a moment for their acknowledgements.
func (k *cluster) purge(ctx context.Context, kind purge.Kind, cells []purge.Cell) admin.Purged {
	var p admin.Purged
	seq, err := k.bus.Purge(ctx, kind, cells)
	p.Epoch = seq
	if err != nil {
		p.Warning = "this gateway has purged, " + err.Error() + "; they purge when Redis answers again"
		p.Acknowledged = []admin.Node{{ID: k.id, Epoch: seq, Alive: true}}
		p.Lost = nodesOf(k.nodes.Known(), func(n redis.Node) bool { return n.ID != k.id })
		return p
	}
	const patience, look = 3 * time.Second, 10 * time.Millisecond
	var all []redis.Node
	for end := time.Now().Add(patience); ; time.Sleep(look) {
		if err := k.nodes.Beat(ctx); err == nil {
			if listed, err := k.nodes.List(ctx); err == nil {
				all = listed
			}
		}
		p.Acknowledged = nodesOf(all, func(n redis.Node) bool { return n.Epoch >= seq })
		p.Missing = nodesOf(all, func(n redis.Node) bool { return n.Epoch < seq && n.Alive })
		p.Lost = nodesOf(all, func(n redis.Node) bool { return n.Epoch < seq && !n.Alive })
		if len(all) > 0 && len(p.Missing) == 0 || time.Now().After(end) || ctx.Err() != nil {
			return p
		}
	}
}

func nodesOf(all []redis.Node, which func(redis.Node) bool) []admin.Node {
	var nodes []admin.Node
	for _, n := range all {
		if which(n) {
			nodes = append(nodes, admin.Node{ID: n.ID, Host: n.Host, Version: n.Version, Generation: n.Generation, Epoch: n.Epoch,
				Alive: n.Alive, SeenS: n.Age.Seconds()})
		}
	}
	return nodes
}

func (s *services) statusOfCluster() *admin.Cluster {
	if s.cluster == nil {
		return nil
	}
	b, c := s.cluster.bus.Stats(), s.cache.Stats()
	st := &admin.Cluster{Node: s.cluster.id, Epoch: b.Epoch, Ready: s.cluster.bus.Ready(), CutOff: b.Cut, Hits: c.SharedHits, Waited: c.Awaited,
		Redis: map[string]string{}, Nodes: nodesOf(s.cluster.nodes.Known(), func(redis.Node) bool { return true })}
	r := s.cluster.redis.Stats()
	for purpose, open := range r.Open {
		st.Redis[purpose] = "used"
		if open {
			st.Redis[purpose] = "not answering"
		}
		if t := r.Trouble[purpose]; t != "" {
			st.Redis[purpose] += ", " + t
		}
	}
	return st
}

// sharedSource gives the metrics their snapshots, where something is shared.
func (s *services) sharedSource() func() metrics.SharedStats {
	k := s.cluster
	if k == nil {
		return nil
	}
	return func() metrics.SharedStats {
		r, t, l, b := k.redis.Stats(), k.tier.Stats(), k.leases.Stats(), k.bus.Stats()
		m := metrics.SharedStats{
			Open: r.Open, In: t.BytesIn, Out: t.BytesOut, Saved: t.Saved, Queued: t.Queued, Held: l.Held, Waiting: l.Waiting, Epoch: b.Epoch, CutOff: b.Cut,
			Lookups: map[string]uint64{"hit": t.Hits, "miss": t.Gets - min(t.Gets, t.Hits+t.Corrupt+t.Foreign+t.Errors), "corrupt": t.Corrupt, "foreign": t.Foreign, "error": t.Errors},
			Puts:    map[string]uint64{"stored": t.Stored, "fenced": t.Fenced, "failed": t.Failed, "dropped": t.Dropped, "too-large": t.TooLarge},
			Voids:   map[string]uint64{"told": t.Voids - min(t.Voids, t.Lost), "lost": t.Lost},
			Leases: map[string]uint64{"granted": l.Granted, "taken": l.Taken, "changed": l.Changed, "uncacheable": l.Uncacheable, "too-large": l.TooLarge,
				"away": l.Away, "lost": l.Lost},
			Waits: map[string]uint64{"told": l.Told, "polled": l.Polled},
		}
		for _, c := range r.Commands {
			m.Commands = append(m.Commands, metrics.CommandCount(c))
		}
		return m
	}
}
