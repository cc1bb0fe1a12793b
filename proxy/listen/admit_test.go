package listen

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/netset"
)

func TestConnectionLimitEvictsTheIdle(t *testing.T) {
	s, addr := start(t, &echo{}, func(s *Settings) { s.Limits.Connections = 4 })
	var conns []net.Conn
	// Who has only just come is not evicted: until the first ones are idle for long enough, others are refused.
	for began := time.Now(); s.Stats().Evicted == 0 && time.Since(began) < 5*time.Second; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		got := make([]byte, 12)
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatalf("connection %d: %v; %+v", len(conns), err, s.Stats())
		}
	}
	if st := s.Stats(); st.Evicted == 0 || st.Open > 6 {
		t.Errorf("%+v", st)
	}
}

func TestAddressLimit(t *testing.T) {
	_, addr := start(t, &echo{}, func(s *Settings) { s.Limits.ConnectionsPerAddress = 1 })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	_, _ = io.ReadFull(c, make([]byte, 12))
	d, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	contains(t, drain(d, time.Second), "503 Service Unavailable")
}

func TestProxyProtocol(t *testing.T) {
	trusted := func(s *Settings) {
		s.Listeners[0].ProxyProtocol = true
		trust, err := netset.New([]string{"loopback"})
		if err != nil {
			t.Fatal(err)
		}
		s.Trusted = trust
	}
	_, addr := start(t, &echo{}, trusted)
	contains(t, say(t, addr, "PROXY TCP4 203.0.113.7 198.51.100.1 5555 80\r\nGET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "hello 203.0.113.7")
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + "\xcb\x00\x71\x09" + "\xc6\x33\x64\x01" + "\x15\xb3\x00\x50"
	contains(t, say(t, addr, v2+"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "hello 203.0.113.9")
	if got := say(t, addr, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"); got != "" {
		t.Errorf("a trusted peer without its header was answered:\n%s", got)
	}
	_, plain := start(t, &echo{}, func(s *Settings) { s.Listeners[0].ProxyProtocol = true })
	contains(t, say(t, plain, "PROXY TCP4 203.0.113.7 198.51.100.1 5555 80\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 400")
}

// TestAddressLimitCountsClientsNotTheirBalancer: behind a balancer every connection comes from one address.
func TestAddressLimitCountsClientsNotTheirBalancer(t *testing.T) {
	_, addr := start(t, &echo{}, func(s *Settings) {
		s.Listeners[0].ProxyProtocol = true
		s.Limits.ConnectionsPerAddress = 1
		trust, err := netset.New([]string{"loopback"})
		if err != nil {
			t.Fatal(err)
		}
		s.Trusted = trust
	})
	open := func(client string) string {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, "PROXY TCP4 "+client+" 198.51.100.1 5555 80\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		got := make([]byte, 12)
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
		n, _ := io.ReadFull(c, got)
		return string(got[:n])
	}
	for _, client := range []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"} {
		if got := open(client); got != "HTTP/1.1 200" {
			t.Errorf("client %s got %q", client, got)
		}
	}
	if got := open("203.0.113.1"); got != "" {
		t.Errorf("a second connection of one client got %q", got)
	}
}

// TestUnnamedClientIsNotItsBalancer: who the balancer cannot name must not inherit the trust in it.
func TestUnnamedClientIsNotItsBalancer(t *testing.T) {
	_, addr := start(t, &echo{}, func(s *Settings) {
		s.Listeners[0].ProxyProtocol = true
		trust, err := netset.New([]string{"loopback"})
		if err != nil {
			t.Fatal(err)
		}
		s.Trusted = trust
	})
	got := say(t, addr, "PROXY UNKNOWN\r\nGET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	contains(t, got, "HTTP/1.1 200")
	if strings.Contains(got, "127.0.0.1") {
		t.Errorf("the client passes for its balancer:\n%s", got)
	}
}
