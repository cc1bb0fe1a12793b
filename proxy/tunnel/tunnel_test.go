package tunnel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tzero-edge/tzero/internal/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a tunnel between two TCP connections, of which the test holds the outer ends.
type rig struct {
	client, origin *net.TCPConn
	result         chan result
}

type result struct {
	in, out int64
	why     Reason
}

func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func startTunnel(t testing.TB, r *Registry, early, originEarly string, o Options) *rig {
	t.Helper()
	g := &rig{result: make(chan result, 1)}
	client, clientInner := tcpPair(t)
	origin, originInner := tcpPair(t)
	g.client, g.origin = client, origin
	go func() {
		in, out, why := r.Run(clientInner, []byte(early), originInner, []byte(originEarly), o)
		g.result <- result{in, out, why}
	}()
	return g
}

func (g *rig) wants(t *testing.T, want result) {
	t.Helper()
	if got := <-g.result; got != want {
		t.Errorf("tunnel ended with %+v, want %+v", got, want)
	}
	for _, c := range []net.Conn{g.client, g.origin} {
		io.Copy(io.Discard, c) // would wait for ever on a connection that was left open
	}
}

func reads(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func writes(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func readsEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d, %v; want the end", n, err)
	}
}

func TestBytesTravelBothWaysAndEarlyOnesFirst(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "early", "hello", Options{})
	writes(t, g.client, "+late")
	reads(t, g.origin, "early+late")
	writes(t, g.origin, "+world")
	reads(t, g.client, "hello+world")
	g.client.Close()
	readsEnd(t, g.origin)
	g.origin.Close()
	g.wants(t, result{10, 11, ClientClosed})
}

func TestHalfCloseTravels(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	writes(t, g.client, "question")
	g.client.CloseWrite()
	reads(t, g.origin, "question")
	readsEnd(t, g.origin)
	writes(t, g.origin, "a long answer")
	g.origin.Close()
	reads(t, g.client, "a long answer")
	readsEnd(t, g.client)
	g.wants(t, result{8, 13, ClientClosed})
}

func TestOriginClosesFirst(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	g.origin.CloseWrite()
	readsEnd(t, g.client)
	writes(t, g.client, "bye")
	reads(t, g.origin, "bye")
	g.client.Close()
	g.wants(t, result{3, 0, OriginClosed})
}

func TestResetEndsBothSides(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	writes(t, g.client, "x")
	reads(t, g.origin, "x")
	g.client.SetLinger(0)
	g.client.Close()
	g.wants(t, result{1, 0, ClientLost})
}

func TestOriginResetEndsBothSides(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	writes(t, g.origin, "x")
	reads(t, g.client, "x")
	g.origin.SetLinger(0)
	g.origin.Close()
	g.wants(t, result{0, 1, OriginLost})
}

// live waits until the registry knows n tunnels.
func live(t testing.TB, r *Registry, n int) {
	t.Helper()
	for len(r.Snapshot()) != n {
		runtime.Gosched()
	}
}

func (r *Registry) after(d time.Duration) int64 { return int64(time.Since(r.start) + d) }

func TestIdleTunnelIsClosed(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{Idle: conf.Duration(time.Minute)})
	live(t, r, 1)
	r.sweep(r.after(59 * time.Second))
	live(t, r, 1)
	r.sweep(r.after(62 * time.Second))
	g.wants(t, result{0, 0, Idle})
}

func TestBytesKeepTunnelAlive(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{Idle: conf.Duration(3 * time.Minute), Lifetime: conf.Duration(time.Hour)})
	live(t, r, 1)
	for m := range 59 {
		r.sweep(r.after(time.Duration(m) * time.Minute))
		writes(t, g.origin, "x")
		reads(t, g.client, "x")
	}
	r.sweep(r.after(time.Hour - time.Second))
	live(t, r, 1)
	r.sweep(r.after(time.Hour + time.Second))
	g.wants(t, result{0, 59, Lifetime})
}

func TestHalfOpenTunnelIsClosedSooner(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	g.client.CloseWrite()
	readsEnd(t, g.origin)
	for !r.Snapshot()[0].Half {
		runtime.Gosched()
	}
	r.sweep(r.after(25 * time.Second))
	live(t, r, 1)
	r.sweep(r.after(32 * time.Second))
	g.wants(t, result{0, 0, Idle})
}

func TestWatchSweeps(t *testing.T) {
	r := New(Default())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Watch(ctx) }()
	g := startTunnel(t, r, "", "", Options{Idle: conf.Duration(time.Millisecond)})
	g.wants(t, result{0, 0, Idle})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// plain hides everything but net.Conn's own methods.
type plain struct{ net.Conn }

func TestStreamsWithoutSocket(t *testing.T) {
	r := New(Default())
	client, clientInner := net.Pipe()
	origin, originInner := tcpPair(t)
	done := make(chan Reason)
	go func() {
		_, _, why := r.Run(plain{clientInner}, nil, plain{originInner}, nil, Options{})
		done <- why
	}()
	want := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	go func() { client.Write(want) }()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(origin, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("bytes differ: %v", err)
	}
	writes(t, origin, "ok")
	reads(t, client, "ok")
	client.Close()
	if why := <-done; why != ClientClosed {
		t.Errorf("ended with %v", why)
	}
}

func tlsPair(t *testing.T) (outer, inner *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tcpPair(t)
	outer = tls.Client(a, &tls.Config{InsecureSkipVerify: true})
	inner = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	done := make(chan error)
	go func() { done <- inner.Handshake() }()
	if err := outer.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return outer, inner
}

func TestTLSClientHalfCloses(t *testing.T) {
	r := New(Default())
	client, clientInner := tlsPair(t)
	origin, originInner := tcpPair(t)
	done := make(chan result)
	go func() {
		in, out, why := r.Run(clientInner, nil, originInner, nil, Options{})
		done <- result{in, out, why}
	}()
	want := strings.Repeat("0123456789", 10_000)
	go func() { io.WriteString(client, want); client.CloseWrite() }()
	reads(t, origin, want)
	readsEnd(t, origin)
	go func() { io.WriteString(origin, want); origin.Close() }()
	reads(t, client, want)
	readsEnd(t, client)
	if got := <-done; got != (result{100_000, 100_000, ClientClosed}) {
		t.Errorf("ended with %+v", got)
	}
}

// A peer that takes nothing must not hold up the sweep.
func TestCutDoesNotWaitForTheTLSPeer(t *testing.T) {
	r := New(Default())
	_, clientInner := tlsPair(t)
	origin, originInner := tcpPair(t)
	done := make(chan Reason)
	go func() {
		_, _, why := r.Run(clientInner, nil, originInner, nil, Options{Idle: conf.Duration(time.Minute)})
		done <- why
	}()
	stuck := make(chan bool)
	go func() {
		defer close(stuck)
		for {
			if _, err := origin.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}()
	live(t, r, 1)
	for last := int64(-1); last != r.Stats().Out; time.Sleep(50 * time.Millisecond) {
		last = r.Stats().Out
	}
	begun := time.Now()
	r.sweep(r.after(2 * time.Minute))
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the sweep took %v", took)
	}
	if why := <-done; why != Idle {
		t.Errorf("ended with %v", why)
	}
	<-stuck
}

func TestLargeFlowInBoundedMemory(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{Route: "chat"})
	const total = 256 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	pump := func(from, to *net.TCPConn) {
		wg.Go(func() {
			buf := make([]byte, 64<<10)
			for sent := 0; sent < total; sent += len(buf) {
				if _, err := from.Write(buf); err != nil {
					t.Error(err)
					return
				}
			}
			from.CloseWrite()
		})
		wg.Go(func() {
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{to}, make([]byte, 64<<10)); n != total || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
		})
	}
	pump(g.client, g.origin)
	pump(g.origin, g.client)
	wg.Wait()
	got := <-g.result
	runtime.ReadMemStats(&after)
	if got.in != total || got.out != total {
		t.Errorf("counted %d in, %d out", got.in, got.out)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 16<<20 {
		t.Errorf("memory grew by %d bytes for a flow of %d", grown, 2*total)
	}
}

// An idle tunnel holds two goroutines and two small structs, no buffer.
func TestIdleTunnelIsCheap(t *testing.T) {
	const n = 1000
	r := New(Default())
	rigs := make([]*rig, n)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range rigs {
		rigs[i] = startTunnel(t, r, "", "", Options{})
		writes(t, rigs[i].client, "ping")
		reads(t, rigs[i].origin, "ping")
		writes(t, rigs[i].origin, "pong")
		reads(t, rigs[i].client, "pong")
	}
	runtime.GC()
	runtime.GC() // the second empties the pools of buffers
	runtime.ReadMemStats(&after)
	each := (after.HeapInuse + after.StackInuse - before.HeapInuse - before.StackInuse) / n
	t.Logf("%d bytes a tunnel, %d of them stacks, the test's own ends included", each, (after.StackInuse-before.StackInuse)/n)
	if each > 16<<10 {
		t.Errorf("an idle tunnel holds %d bytes", each)
	}
	for _, g := range rigs {
		g.client.Close()
		g.origin.Close()
		<-g.result
	}
}
