package harness

import (
	"net/http/httptest"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	toxics "github.com/Shopify/toxiproxy/v2/client"
	"github.com/rs/zerolog"
)

// Network stands between something and a server, and can be made slow, or be cut.
type Network struct {
	Addr  string
	proxy *toxics.Proxy
	t     testing.TB
}

// NetworkTo makes one in front of addr.
func NetworkTo(t testing.TB, addr string) *Network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	api := httptest.NewServer(server.Routes())
	t.Cleanup(api.Close)
	p, err := toxics.NewClient(api.URL).CreateProxy("network", "127.0.0.1:0", addr)
	if err != nil {
		t.Fatalf("cannot make a network to %s: %v", addr, err)
	}
	t.Cleanup(func() { _ = p.Delete() })
	return &Network{Addr: p.Listen, proxy: p, t: t}
}

// Slow delays whatever comes from the server.
func (n *Network) Slow(ms int) {
	n.toxic("slow", "latency", "downstream", toxics.Attributes{"latency": ms})
}

// Reset cuts connections in the middle of answers, and new ones after a moment.
func (n *Network) Reset() {
	n.toxic("reset", "reset_peer", "downstream", toxics.Attributes{"timeout": 20})
}

func (n *Network) toxic(name, kind, stream string, a toxics.Attributes) {
	n.t.Helper()
	if _, err := n.proxy.AddToxic(name, kind, stream, 1, a); err != nil {
		n.t.Fatalf("cannot spoil the network: %v", err)
	}
}

// Cut ends all connections and takes no new ones.
func (n *Network) Cut() {
	n.t.Helper()
	if err := n.proxy.Disable(); err != nil {
		n.t.Fatalf("cannot cut the network: %v", err)
	}
}

// Heal undoes everything.
func (n *Network) Heal() {
	n.t.Helper()
	for _, name := range []string{"slow", "reset"} {
		_ = n.proxy.RemoveToxic(name) // it may not be there
	}
	if err := n.proxy.Enable(); err != nil {
		n.t.Fatalf("cannot heal the network: %v", err)
	}
}
