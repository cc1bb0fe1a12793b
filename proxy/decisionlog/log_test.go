package decisionlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/tzero-edge/tzero/internal/conf"
)

// running is a Log whose writer runs.
type running struct {
	*Log
	told *bytes.Buffer // read it after stop
	stop func()
}

func config(output string) Config {
	c := Default()
	c.Output, c.Everything, c.Flush = output, true, conf.Duration(time.Millisecond)
	return c
}

func start(t *testing.T, c Config, open func(string) (*sink, error)) *running {
	t.Helper()
	r := &running{told: &bytes.Buffer{}}
	r.Log = New(c, slog.New(slog.NewTextHandler(r.told, nil)))
	if open != nil {
		r.open = open
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) say(ids ...string) {
	for _, id := range ids {
		o, steps := outcome()
		o.RequestID = []byte(id)
		r.observe(o, steps)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// until waits for something that another goroutine or process does.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); !happened(); {
		select {
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		case <-tick.C:
		}
	}
}

func ids(t *testing.T, lines string) string {
	t.Helper()
	var out []string
	for s := bufio.NewScanner(strings.NewReader(lines)); s.Scan(); {
		var l struct{ ID string }
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Errorf("broken line %q: %v", s.Text(), err)
		}
		out = append(out, l.ID)
	}
	return strings.Join(out, " ")
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	l := start(t, config(path), nil)
	l.say("a", "b", "c")
	l.stop()
	if got := ids(t, read(t, path)); got != "a b c" {
		t.Errorf("the file has %q", got)
	}
	if s := l.Stats(); s.Written != 3 || s.Dropped != 0 || s.Bytes != uint64(len(read(t, path))) {
		t.Errorf("stats %+v", s)
	}
	if mode, _ := os.Stat(path); mode.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody can read it: %v", mode.Mode())
	}
}

func TestNothingToSayOpensNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	c := config(path)
	c.Enabled = false
	l := start(t, c, nil)
	l.say("a")
	l.Reopen()
	l.stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	l := start(t, config(path), nil)
	written := func(n uint64) {
		t.Helper()
		until(t, "writing", func() bool { return l.Stats().Written == n })
	}
	l.say("a")
	written(1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.say("b") // without a word to the gateway
	written(2)
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	until(t, "reopening", func() bool { _, err := os.Stat(path); return err == nil })
	l.say("c")
	written(3)
	if err := os.Truncate(path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	l.say("d")
	l.stop()
	for file, want := range map[string]string{".1": "a", ".2": "b", "": "d"} {
		if got := ids(t, read(t, path+file)); got != want {
			t.Errorf("%s has %q, want %q", file, got, want)
		}
	}
}

func TestApply(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	l := start(t, config(one), nil)
	l.say("a")
	until(t, "writing", func() bool { return l.Stats().Written == 1 })
	c := config(two)
	c.Buffer *= 2
	l.Apply(c)
	l.say("b")
	l.stop()
	if a, b := ids(t, read(t, one)), ids(t, read(t, two)); a != "a" || b != "b" {
		t.Errorf("the files have %q and %q", a, b)
	}
}

// A pipe that nobody reads: requests never wait, lines are dropped and counted, Run ends.
func TestBlockedOutput(t *testing.T) {
	for name, open := range map[string]func(fd int) (*sink, error){
		"shared": func(fd int) (*sink, error) { return inherited("stdout", fd) },
		"asked":  func(fd int) (*sink, error) { return newSink(&sink{name: "stdout", fd: fd}) },
	} {
		t.Run(name, func(t *testing.T) {
			var fds [2]int
			if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			out := os.NewFile(uintptr(fds[0]), "pipe")
			defer out.Close()
			c := config("stdout")
			c.Buffer = minBuffer
			l := start(t, c, func(string) (*sink, error) { return open(fds[1]) })
			for l.Stats().Dropped < 1000 {
				l.say("x")
			}
			l.stop()
			s := l.Stats()
			unix.Close(fds[1])
			rest, err := io.ReadAll(out)
			if err != nil || uint64(len(rest)) != s.Bytes || s.Written == 0 {
				t.Errorf("%d bytes in the pipe, stats %+v, %v", len(rest), s, err)
			}
			ids(t, string(rest[:bytes.LastIndexByte(rest, '\n')+1]))
		})
	}
}

// A reader that starts late gets everything that was not dropped, in whole lines.
func TestSlowReader(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, config("stdout"), func(string) (*sink, error) { return inherited("stdout", int(out.Fd())) })
	const n = 1500 // more than the pipe holds, less than the buffer
	for range n {
		l.say("x")
	}
	got := make(chan string)
	go func() { b, _ := io.ReadAll(in); got <- string(b) }()
	l.stop()
	out.Close()
	if lines := len(strings.Fields(ids(t, <-got))); uint64(lines)+l.Stats().Dropped != n {
		t.Errorf("%d lines read, %d dropped, of %d", lines, l.Stats().Dropped, n)
	}
}

func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	l := start(t, config(path), nil)
	l.say("a")
	until(t, "failing", func() bool { return l.Stats().Errors > 0 })
	l.say("b")
	l.Reopen()
	until(t, "failing again", func() bool { return l.Stats().Errors > 1 })
	if err := os.Remove(path); err != nil { // there is room again
		t.Fatal(err)
	}
	c := config(path)
	l.Apply(c)
	until(t, "writing", func() bool { return l.Stats().Written == 2 })
	l.stop()
	if got := ids(t, read(t, path)); got != "a b" {
		t.Errorf("the file has %q", got)
	}
	if told := l.told.String(); strings.Count(told, "cannot be written") != 1 || strings.Count(told, "written again") != 1 {
		t.Errorf("told:\n%s", told)
	}
}

func TestNoDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "d.log")
	l := start(t, config(path), nil)
	l.say("a")
	until(t, "failing", func() bool { return l.Stats().Errors > 0 })
	l.stop()
	if s := l.Stats(); s.Dropped != 1 || s.Written != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A cut line begins again in the next file.
func TestLineCutByRotation(t *testing.T) {
	w := &writer{log: New(Default(), slog.New(slog.DiscardHandler)), block: []byte("one\ntwo\nthree\n"), lines: 3}
	w.advance(6)
	w.back()
	if rest := string(w.block[w.done:]); rest != "two\nthree\n" || w.lines != 2 {
		t.Errorf("next comes %q, %d lines", rest, w.lines)
	}
	w.advance(len("two\nthree\n"))
	w.back() // nothing in hand
	if w.block != nil || w.lines != 0 || w.log.Stats().Written != 3 {
		t.Errorf("at the end: %d lines left, %+v", w.lines, w.log.Stats())
	}
}

func TestWholeLines(t *testing.T) {
	try := func(p string, limit int, want string) {
		t.Helper()
		if got := string(wholeLines([]byte(p), limit)); got != want {
			t.Errorf("%q in %d bytes: %q, want %q", p, limit, got, want)
		}
	}
	try("a\nbb\n", 10, "a\nbb\n")
	try("a\nbb\n", 4, "a\n")
	try("a\nbb\n", 2, "a\n")
	try("aaaa\n", 3, "aaa")
}

// Standard output's reader is gone: the process lives on. It needs a process of its own.
func TestBrokenStdout(t *testing.T) {
	if os.Getenv("TZERO_TEST_BROKEN_STDOUT") != "" {
		l := start(t, config("stdout"), nil)
		for l.Stats().Errors < 2 {
			l.say("x")
			l.Reopen()
		}
		l.stop()
		os.Stderr.WriteString("alive\n")
		return
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenStdout$")
	cmd.Env = append(os.Environ(), "TZERO_TEST_BROKEN_STDOUT=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &said
	_ = cmd.Run() // the testing package itself dies when it prints PASS into the broken pipe
	out.Close()
	if !strings.Contains(said.String(), "alive") {
		t.Errorf("the process died: %s", said.String())
	}
}

// After the end nothing is kept, and nothing lost in silence.
func TestAfterTheEnd(t *testing.T) {
	l := start(t, config(filepath.Join(t.TempDir(), "d.log")), nil)
	l.stop()
	l.say("late")
	l.Apply(config("stdout"))
	l.say("later")
	if s := l.Stats(); s.Dropped != 2 || s.Written != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Observers, reloads and snapshots at once; every line is accounted for.
func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.log")
	c := config(path)
	c.Buffer = minBuffer
	l := start(t, c, nil)
	const workers, each = 8, 500
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				l.say("x")
			}
		})
	}
	all.Go(func() {
		for i := range 50 {
			c.Buffer = conf.Size(minBuffer << (i % 2))
			l.Apply(c)
			l.Stats()
		}
	})
	all.Wait()
	l.stop()
	lines := uint64(len(strings.Fields(ids(t, read(t, path)))))
	if s := l.Stats(); s.Written != lines || s.Written+s.Dropped != workers*each {
		t.Errorf("%d lines in the file, stats %+v", lines, s)
	}
}
