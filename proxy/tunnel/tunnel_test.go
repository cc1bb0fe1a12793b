package tunnel

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
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

func TestPlacesAreBounded(t *testing.T) {
	c := Default()
	c.Max = 1
	r := New(c)
	slot, err := r.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reserve(); err != ErrFull {
		t.Fatalf("second place: %v, want ErrFull", err)
	}
	startTunnel(t, r, "", "", Options{}).wants(t, result{0, 0, Refused})
	slot.Release()
	slot.Release()
	g := startTunnel(t, r, "", "", Options{})
	live(t, r, 1)
	if s := r.Stats(); s.Refused != 2 || s.Opened != 1 || s.Live != 1 {
		t.Errorf("stats %+v", s)
	}
	g.client.Close()
	g.origin.Close()
	<-g.result
	if slot, err := r.Reserve(); err != nil {
		t.Errorf("the place did not come free: %v", err)
	} else {
		slot.Release()
	}
}

func TestSlotRunsOnce(t *testing.T) {
	r := New(Default())
	slot, _ := r.Reserve()
	slot.Release()
	_, a := tcpPair(t)
	_, b := tcpPair(t)
	if _, _, why := slot.Run(a, nil, b, nil, Options{}); why != Refused {
		t.Errorf("a released place carried a tunnel: %v", why)
	}
	if s := r.Stats(); s.Live != 0 || r.taken != 0 {
		t.Errorf("stats %+v, taken %d", s, r.taken)
	}
}

func TestCloseAllWaitsThenCuts(t *testing.T) {
	r := New(Default())
	ends := startTunnel(t, r, "", "", Options{})
	stays := startTunnel(t, r, "", "", Options{})
	live(t, r, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cut := make(chan int)
	go func() { cut <- r.CloseAll(ctx) }()
	ends.client.Close()
	ends.origin.Close()
	if got := <-ends.result; got.why != ClientClosed && got.why != OriginClosed {
		t.Errorf("the tunnel that ended by itself: %v", got.why)
	}
	cancel()
	if n := <-cut; n != 1 {
		t.Errorf("cut %d tunnels, want 1", n)
	}
	stays.wants(t, result{0, 0, Drained})
	if _, err := r.Reserve(); err != ErrClosing {
		t.Errorf("a place after CloseAll: %v", err)
	}
	if n := r.CloseAll(ctx); n != 0 {
		t.Errorf("second CloseAll cut %d", n)
	}
}

func TestCloseAllOfNothing(t *testing.T) {
	if n := New(Default()).CloseAll(context.Background()); n != 0 {
		t.Errorf("cut %d", n)
	}
}

func TestCloseAllReturnsWhenTheLastEnds(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "", "", Options{})
	live(t, r, 1)
	cut := make(chan int)
	go func() { cut <- r.CloseAll(context.Background()) }()
	g.client.Close()
	g.origin.Close()
	if n := <-cut; n != 0 {
		t.Errorf("cut %d", n)
	}
	<-g.result
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
	const n = 200
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
	t.Logf("%d bytes a tunnel, the test's own ends included", each)
	if each > 16<<10 {
		t.Errorf("an idle tunnel holds %d bytes", each)
	}
	for _, g := range rigs {
		g.client.Close()
		g.origin.Close()
		<-g.result
	}
}

func TestSnapshotTellsWhoAndHowMuch(t *testing.T) {
	r := New(Default())
	g := startTunnel(t, r, "abc", "", Options{Route: "chat", Target: "http://127.0.0.1:1", Protocol: "websocket"})
	reads(t, g.origin, "abc")
	writes(t, g.origin, "de")
	reads(t, g.client, "de")
	var i Info
	for i.In != 3 || i.Out != 2 {
		i = r.Snapshot()[0]
	}
	if i.Route != "chat" || i.Target != "http://127.0.0.1:1" || i.Protocol != "websocket" || i.ID != 1 || i.Client == "" {
		t.Errorf("snapshot %+v", i)
	}
	if s := r.Stats(); s.In != 3 || s.Out != 2 {
		t.Errorf("stats %+v", s)
	}
	g.client.Close()
	g.origin.Close()
	<-g.result
	if s := r.Stats(); s.In != 3 || s.Out != 2 || s.Live != 0 {
		t.Errorf("stats after the end %+v", s)
	}
}

func TestConfigProblems(t *testing.T) {
	if p := Default().Validate(); len(p) != 0 {
		t.Errorf("the default has problems: %v", p)
	}
	if p := (Config{Max: -1}).Validate(); len(p) != 3 {
		t.Errorf("problems: %v", p)
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	for _, r := range Reasons() {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
}
