package configs

import (
	"context"
	"errors"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const oneOrigin = "origins: {a: {targets: ['http://a']}}\n"

// reloading is a Reloader over a file, with what it applied.
type reloading struct {
	*Reloader
	path    string
	applied []*Loaded
	fail    error
	reports []Result
}

func newReloading(t *testing.T, text string) *reloading {
	t.Helper()
	r := &reloading{path: write(t, text)}
	in := Input{Path: r.path}
	r.Reloader = NewReloader(ReloaderOptions{
		Input: in, Running: load(t, in), Now: time.Now,
		Report: func(res Result) { r.reports = append(r.reports, res) },
		Apply: func(_ context.Context, l *Loaded, generation uint64) error {
			if r.fail == nil {
				r.applied = append(r.applied, l)
			}
			return r.fail
		},
	})
	return r
}

func (r *reloading) rewrite(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReload(t *testing.T) {
	r := newReloading(t, oneOrigin)
	first := r.Last()
	if !first.OK || first.Generation != 1 || first.Trigger != "start" || len(first.Hash) != 16 {
		t.Errorf("%+v", first)
	}
	r.rewrite(t, oneOrigin+"logging: {level: debug}\n")
	res, err := r.Reload(t.Context(), "admin")
	if err != nil || !res.OK || res.Generation != 2 || res.Hash == first.Hash || res.Trigger != "admin" || len(res.NeedsRestart) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if len(r.applied) != 1 || r.Running() != r.applied[0] || !reflect.DeepEqual(r.Last(), res) || len(r.reports) != 1 {
		t.Errorf("%d applied, %d reported", len(r.applied), len(r.reports))
	}
}

func TestRefusedReloadChangesNothing(t *testing.T) {
	r := newReloading(t, oneOrigin)
	before := r.Running()
	refuse := func(want string) {
		t.Helper()
		res, err := r.Reload(t.Context(), "SIGHUP")
		if err == nil || res.OK || res.Error != err.Error() || !strings.Contains(res.Error, want) {
			t.Errorf("%+v, %v", res, err)
		}
		if res.Generation != 1 || res.Hash != Hash(before.Config) || r.Running() != before || len(r.applied) > 0 {
			t.Errorf("a refused reload changed something: %+v", res)
		}
	}
	r.rewrite(t, "origin: {}")
	refuse(`cannot reload: ` + r.path + `:1:1: unknown key "origin"; did you mean "origins"?`)
	r.rewrite(t, strings.Repeat("#\n", 1<<20))
	refuse("it is larger than 1024 KiB")
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	refuse("no such file or directory")
	if err := syscall.Mkfifo(r.path, 0o600); err != nil {
		t.Fatal(err)
	}
	refuse("it is not a regular file")
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, oneOrigin)
	r.fail = errors.New("cannot read the certificate")
	refuse("cannot reload: cannot read the certificate")
}

func TestReloadSurvivesAPanic(t *testing.T) {
	in := Input{Path: write(t, oneOrigin)}
	r := NewReloader(ReloaderOptions{Input: in, Running: load(t, in), Now: time.Now,
		Apply: func(context.Context, *Loaded, uint64) error { panic("no such thing") }})
	if res, err := r.Reload(t.Context(), "admin"); err == nil || res.OK || !strings.Contains(res.Error, "a fault in tzero itself: no such thing") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWhatNeedsARestart(t *testing.T) {
	r := newReloading(t, oneOrigin+"listeners: [{address: ':1'}]\nstate_dir: /a\n")
	r.rewrite(t, oneOrigin+"listeners: [{address: ':2', proxy_protocol: true}]\nclients: {trusted_proxies: [loopback]}\nstate_dir: /b\nadmin: {address: '127.0.0.1:1'}\nshutdown: {grace: 5s}\n")
	res, err := r.Reload(t.Context(), "SIGHUP")
	if err != nil || !reflect.DeepEqual(res.NeedsRestart, []string{"listeners[0].address", "state_dir", "admin.address"}) {
		t.Fatalf("%+v, %v", res, err)
	}
	c := r.Running().Config
	if c.Listeners[0].Address != ":1" || !c.Listeners[0].ProxyProtocol || c.StateDir != "/a" || c.Shutdown.Grace.D() != 5*time.Second {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(string(r.Running().Effective()), "needs a restart") {
		t.Errorf("the effective configuration hides what waits:\n%s", r.Running().Effective())
	}
}

// The listeners keep expecting the PROXY protocol, but the new file trusts nobody to send it.
func TestWhatDoesNotGoWithTheRunningPart(t *testing.T) {
	r := newReloading(t, oneOrigin+"listeners: [{proxy_protocol: true}]\nclients: {trusted_proxies: [loopback]}\n")
	r.rewrite(t, oneOrigin+"listeners: [{}, {address: ':2'}]\n")
	res, err := r.Reload(t.Context(), "SIGHUP")
	want := "this needs a restart, since listeners cannot change before and the rest does not go with it:\n" +
		"as running; the new value needs a restart: listeners[0].proxy_protocol: needs clients.trusted_proxies"
	if err == nil || res.OK || !strings.Contains(res.Error, want) || len(r.applied) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestReloadsAreSerialised(t *testing.T) {
	in := Input{Path: write(t, oneOrigin)}
	running := load(t, in)
	synctest.Test(t, func(t *testing.T) {
		under, applied := 0, 0
		r := NewReloader(ReloaderOptions{Input: in, Running: running, Now: time.Now,
			Apply: func(context.Context, *Loaded, uint64) error {
				if under++; under > 1 {
					t.Error("two reloads at once")
				}
				time.Sleep(time.Second)
				under--
				applied++
				return nil
			}})
		for range 3 {
			go func() {
				if _, err := r.Reload(t.Context(), "admin"); err != nil {
					t.Error(err)
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := r.Reload(ctx, "impatient"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if applied != 3 || r.Last().Generation != 4 {
			t.Errorf("%d applied, generation %d", applied, r.Last().Generation)
		}
	})
}

func TestSignalsCoalesce(t *testing.T) {
	in := Input{Path: write(t, oneOrigin)}
	running := load(t, in)
	synctest.Test(t, func(t *testing.T) {
		var triggers []string
		r := NewReloader(ReloaderOptions{Input: in, Running: running, Now: time.Now,
			Report: func(res Result) { triggers = append(triggers, res.Trigger) },
			Apply:  func(context.Context, *Loaded, uint64) error { time.Sleep(time.Second); return nil }})
		signals := make(chan os.Signal, 16)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx, signals) }()
		signals <- syscall.SIGHUP
		synctest.Wait()
		for range 10 {
			signals <- syscall.SIGHUP
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !reflect.DeepEqual(triggers, []string{"SIGHUP", "SIGHUP"}) {
			t.Errorf("%v", triggers)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
