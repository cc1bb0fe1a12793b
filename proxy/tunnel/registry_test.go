package tunnel

import (
	"context"
	"testing"
)

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
