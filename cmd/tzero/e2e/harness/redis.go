package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a real redis-server of the test's own, that keeps nothing on disk.
type Redis struct {
	*Process
	Addr string
	args []string
	t    testing.TB
}

// StartRedis runs one on a free port. args go to redis-server.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	return startRedis(t, FreePort(t), args...)
}

func startRedis(t testing.TB, port int, args ...string) *Redis {
	t.Helper()
	all := append([]string{"--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no",
		"--dir", t.TempDir(), "--protected-mode", "no"}, args...)
	r := &Redis{Addr: fmt.Sprintf("127.0.0.1:%d", port), args: all, t: t}
	r.run()
	return r
}

func (r *Redis) run() {
	r.t.Helper()
	r.Process = Spawn(r.t, "redis-server", "redis-server", r.args...)
	r.WaitTCP(r.t, r.Addr)
}

// URL is its address as the configuration wants it.
func (r *Redis) URL() string { return "redis://" + r.Addr }

// Restart kills it and starts it on the same port, empty.
func (r *Redis) Restart() {
	r.t.Helper()
	r.Kill()
	r.run()
}

// Pause stops it from doing anything, with its connections open, until Resume.
func (r *Redis) Pause()  { r.Signal(syscall.SIGSTOP) }
func (r *Redis) Resume() { r.Signal(syscall.SIGCONT) }

// Client is a client for what a test wants to know of it.
func (r *Redis) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2, DisableIdentity: true})
	r.t.Cleanup(func() { c.Close() })
	return c
}

// Sentinel is a master with one replica, and one sentinel that watches them.
type Sentinel struct {
	Master, Replica *Redis
	Addr            string
	t               testing.TB
}

// StartSentinel runs such a group; the master is called "main".
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	s := &Sentinel{Master: StartRedis(t, "--repl-diskless-sync-delay", "0"), t: t}
	host, port, _ := strings.Cut(s.Master.Addr, ":")
	s.Replica = StartRedis(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	own := FreePort(t)
	conf := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor main %s %s 1\nsentinel down-after-milliseconds main 500\n"+
		"sentinel failover-timeout main 3000\n", own, host, port)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", own)
	Spawn(t, "redis-sentinel", "redis-server", file, "--sentinel").WaitTCP(t, s.Addr)
	c := s.Replica.Client()
	Eventually(t, "the replica is in step", 20*time.Second, func() bool {
		return strings.Contains(c.Info(context.Background(), "replication").Val(), "master_link_status:up")
	})
	sc := redis.NewSentinelClient(&redis.Options{Addr: s.Addr})
	defer sc.Close()
	Eventually(t, "the sentinel knows the replica", 20*time.Second, func() bool {
		m := sc.Master(context.Background(), "main").Val()
		return m["num-slaves"] == "1"
	})
	return s
}

// URL is the group's address.
func (s *Sentinel) URL() string { return "redis-sentinel://" + s.Addr + "/main" }

// StartCluster runs a Cluster of three masters, and returns its address and its servers.
func StartCluster(t testing.TB) (url string, nodes []*Redis) {
	t.Helper()
	var addrs []string
	for range 3 {
		nodes = append(nodes, startRedis(t, clusterPort(t), "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000"))
		addrs = append(addrs, nodes[len(nodes)-1].Addr)
	}
	ctx := context.Background()
	for i, n := range nodes {
		c := n.Client()
		first, last := 16384*i/3, 16384*(i+1)/3-1
		if err := c.ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			t.Fatalf("cannot give slots out: %v", err)
		}
		for _, other := range nodes {
			host, port, _ := strings.Cut(other.Addr, ":")
			if err := c.ClusterMeet(ctx, host, port).Err(); err != nil {
				t.Fatalf("cannot introduce the nodes: %v", err)
			}
		}
	}
	for _, n := range nodes {
		c := n.Client()
		Eventually(t, "the cluster is up", 30*time.Second, func() bool {
			info := c.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	return "redis-cluster://" + strings.Join(addrs, ","), nodes
}

// clusterPort is a free port whose bus port, 10,000 above, exists.
func clusterPort(t testing.TB) int {
	for {
		if p := FreePort(t); p < 55000 {
			return p
		}
	}
}

// Eventually waits until something holds.
func Eventually(t testing.TB, what string, within time.Duration, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
