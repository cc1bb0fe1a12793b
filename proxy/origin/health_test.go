package origin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hangs is a dialer whose connections never come.
func hangs(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// fakeOrigin answers on in-memory connections, inside a synctest bubble.
type fakeOrigin struct {
	status atomic.Int32 // 0: refuses connections
	checks atomic.Int32
	wg     sync.WaitGroup
}

func (f *fakeOrigin) dial(context.Context, string, string) (net.Conn, error) {
	if f.status.Load() == 0 {
		return nil, errors.New("refused")
	}
	here, there := net.Pipe()
	f.wg.Go(func() {
		defer there.Close()
		r := bufio.NewReader(there)
		for {
			head := ""
			for !strings.HasSuffix(head, "\r\n\r\n") {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				head += line
			}
			if strings.HasPrefix(head, "GET /healthz ") {
				f.checks.Add(1)
			}
			fmt.Fprintf(there, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", f.status.Load())
		}
	})
	return here, nil
}

// inBubble runs a test in fake time over a fake origin.
func inBubble(t *testing.T, change func(c *Config), test func(t *testing.T, ps *Pools, f *fakeOrigin)) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeOrigin{}
		f.status.Store(200)
		ps := New(Options{Dial: f.dial})
		c := config("http://10.0.0.1:80")
		change(&c)
		if _, err := ps.Apply(map[string]Config{"app": c}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { ps.Run(ctx); close(done) }()
		test(t, ps, f)
		cancel()
		<-done
		f.wg.Wait()
	})
}

func stateAfter(t *testing.T, ps *Pools, d time.Duration, want string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if st := ps.Stats()[0]; st.State != want {
		t.Errorf("state %s, want %s", st.State, want)
	}
}

func checked(c *Config) { c.Health.Path = "/healthz" }

func TestHealthTransitions(t *testing.T) {
	inBubble(t, checked, func(t *testing.T, ps *Pools, f *fakeOrigin) {
		stateAfter(t, ps, 11*time.Second, "healthy")
		if n := f.checks.Load(); n != 3 { // at 0, 5 and 10 s
			t.Errorf("%d checks, want 3", n)
		}
		f.status.Store(500)
		stateAfter(t, ps, 10*time.Second, "healthy") // two failures
		stateAfter(t, ps, 5*time.Second, "unhealthy")
		f.status.Store(204)
		stateAfter(t, ps, 5*time.Second, "unhealthy")
		stateAfter(t, ps, 5*time.Second, "healthy")
		f.status.Store(0)
		stateAfter(t, ps, 15*time.Second, "unhealthy")
	})
}

func TestHealthCheckThatHangsFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ps := New(Options{Dial: hangs})
		c := config("http://10.0.0.1:80")
		c.Health.Path, c.Health.UnhealthyAfter = "/healthz", 1
		ps.Apply(map[string]Config{"app": c})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { ps.Run(ctx); close(done) }()
		stateAfter(t, ps, time.Second, "healthy")
		stateAfter(t, ps, 2*time.Second, "unhealthy")
		cancel()
		<-done
	})
}

func TestTurningChecksOffMakesHealthy(t *testing.T) {
	inBubble(t, checked, func(t *testing.T, ps *Pools, f *fakeOrigin) {
		f.status.Store(500)
		stateAfter(t, ps, 11*time.Second, "unhealthy")
		ps.Apply(map[string]Config{"app": config("http://10.0.0.1:80")})
		stateAfter(t, ps, time.Second, "healthy")
	})
}

func TestEjectionEndsAndProbationIsShort(t *testing.T) {
	inBubble(t, func(*Config) {}, func(t *testing.T, ps *Pools, f *fakeOrigin) {
		ask := func() error {
			r, err := ps.Pool("app").Do(context.Background(), get("/"))
			if err == nil {
				io.Copy(io.Discard, &r.Body)
				r.Close()
			}
			return err
		}
		f.status.Store(0)
		for range 4 {
			ask()
		}
		stateAfter(t, ps, time.Second, "healthy")
		ask()
		stateAfter(t, ps, time.Second, "ejected")
		stateAfter(t, ps, 10*time.Second, "healthy")
		ask()
		stateAfter(t, ps, time.Second, "ejected")
		f.status.Store(200)
		if err := ask(); err != nil {
			t.Errorf("the only target is tried even when it is out: %v", err)
		}
		stateAfter(t, ps, 10*time.Second, "healthy")
		f.status.Store(0)
		for range 4 {
			ask()
		}
		stateAfter(t, ps, time.Second, "healthy")
	})
}

func TestFailuresFarApartDoNotEject(t *testing.T) {
	inBubble(t, func(*Config) {}, func(t *testing.T, ps *Pools, f *fakeOrigin) {
		f.status.Store(0)
		for range 8 {
			ps.Pool("app").Do(context.Background(), get("/"))
			time.Sleep(6 * time.Second)
		}
		stateAfter(t, ps, 0, "healthy")
	})
}

func TestUnhealthyTargetIsNotAsked(t *testing.T) {
	sick := serve(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			if strings.HasPrefix(h, "GET /healthz ") {
				p.say("HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n")
				continue
			}
			p.say(ok("sick"))
		}
	})
	well := serve(t, echo)
	c := config(sick.url(), well.url())
	c.Health.Path, c.Health.UnhealthyAfter, c.Health.Interval = "/healthz", 1, ms(50)
	g := start(t, c)
	eventually(t, "the sick target's discovery", func() bool {
		for _, st := range g.Stats() {
			if st.URL == sick.url() && st.State == "unhealthy" {
				return true
			}
		}
		return false
	})
	for range 10 {
		if got := g.answers(get("/w"), 200); got != "/w" {
			t.Errorf("answered %q", got)
		}
	}
	// With nothing else left it is asked all the same.
	c.Targets = []string{sick.url()}
	g.Apply(map[string]Config{"app": c})
	if got := g.answers(get("/w"), 200); got != "sick" {
		t.Errorf("answered %q", got)
	}
}
