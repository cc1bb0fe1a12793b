//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
	"github.com/tzero-edge/tzero/proxy/admin"
)

// profile is where tzero's time, or memory, goes in a case that has a target.
type profile struct {
	Title string
	Top   string // what `go tool pprof -top` says; why not, where it cannot be asked
	raw   []byte // for the file beside the tables
}

// The profiles of what is no row.
const (
	profileIdle = "idle"
	profileMany = "many-objects"
	topLines    = 12
	profileFor  = 5 // seconds: a sample comes every 10 ms of processor time
)

// file is the profile's name below the results.
func profileFile(id string) string { return "profiles/" + strings.ReplaceAll(id, "/", "-") + ".pprof" }

// profiles takes a CPU profile of tzero in every row that has a target and was measured. It comes after the rounds, so that
// no figure has the profiler in it.
func (b *bench) profiles() error {
	if b.servers[tzero] == nil {
		return nil
	}
	for _, p := range promises() {
		id := p.cell.id()
		if _, done := b.out.Profiles[id]; done || b.out.cell(id) == nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "profile: %s\n", id)
		s, l := b.servers[tzero], b.loads[p.cell.name]
		job := &load.Job{Addr: s.addr, Connections: p.cell.connections, Threads: b.threads, Requests: l.requests, Order: l.order,
			Warm: b.plan.warm, Measure: profileFor*time.Second + b.plan.warm}
		err := b.profileDuring(s, id, p.cell.title+fmt.Sprintf(", %d connections: CPU time", p.cell.connections), profileFor, func() error {
			_, err := do(job)
			return err
		})
		if err != nil {
			return fmt.Errorf("cannot profile %s: %w", id, err)
		}
	}
	return nil
}

// profileDuring takes a CPU profile while work runs, which has to take longer.
func (b *bench) profileDuring(s *server, id, title string, seconds int, work func() error) error {
	type taken struct {
		raw []byte
		err error
	}
	got := make(chan taken, 1)
	go func() {
		raw, err := s.ask(fmt.Sprintf("/profiles/cpu?seconds=%d", seconds))
		got <- taken{raw, err}
	}()
	err := work()
	t := <-got
	if err != nil {
		return err
	}
	if t.err != nil {
		return t.err
	}
	b.keepProfile(id, title, t.raw)
	return nil
}

// profileHeap says what is allocated now.
func (b *bench) profileHeap(s *server, id, title string) error {
	raw, err := s.ask("/profiles/heap")
	if err == nil {
		b.keepProfile(id, title, raw)
	}
	return err
}

func (b *bench) keepProfile(id, title string, raw []byte) {
	if b.out.Profiles == nil {
		b.out.Profiles = map[string]profile{}
	}
	b.out.Profiles[id] = profile{Title: title, Top: b.top(raw), raw: raw}
}

// top has Go's own tool read the profile, which knows the names by itself.
func (b *bench) top(raw []byte) string {
	file := filepath.Join(b.set.Dir, "profile")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err.Error()
	}
	var both []string
	for _, order := range []string{"-flat", "-cum"} {
		out, err := exec.Command("go", "tool", "pprof", "-top", order, fmt.Sprintf("-nodecount=%d", topLines), file).Output()
		if err != nil {
			return "cannot run go tool pprof: " + err.Error()
		}
		both = append(both, topOf(string(out)))
	}
	return strings.Join(both, "\n\n")
}

// topOf leaves out what the tool says before its table.
func topOf(text string) string {
	if i := strings.Index(text, "flat%"); i >= 0 {
		text = text[strings.LastIndexByte(text[:i], '\n')+1:]
	}
	return strings.TrimRight(text, "\n")
}

// ask reads a path on tzero's admin socket.
func (s *server) ask(path string) ([]byte, error) {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", admin.SocketPath(s.state))
	}}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://tzero" + path)
	if err != nil {
		return nil, fmt.Errorf("cannot ask tzero for %s: %w", path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("cannot ask tzero for %s: %s: %s", path, resp.Status, raw)
	}
	return raw, err
}

// missedProfiles says, for each target that was missed, where the time or the memory goes.
func missedProfiles(o *outcome) string {
	var b strings.Builder
	shown := map[string]bool{}
	for _, t := range o.Targets {
		p, ok := o.Profiles[t.Profile]
		if t.State != "missed" || !ok || shown[t.Profile] {
			continue
		}
		shown[t.Profile] = true
		if b.Len() == 0 {
			b.WriteString("\n## Why targets were missed\n\nThe top of a profile taken in the same run, after the figures: by what a function does itself, then with what it calls. The whole profiles lie in profiles/ where the bench ran, for `go tool pprof`.\n")
		}
		fmt.Fprintf(&b, "\n### %s\n\n```\n%s\n```\n", p.Title, p.Top)
	}
	return b.String()
}
