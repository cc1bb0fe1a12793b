package admin

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketFile(t *testing.T) {
	r := start(t, Config{}, deps())
	path := SocketPath(r.dir)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%v, %v", info, err)
	}
	if list, _ := os.ReadDir(r.dir); len(list) != 1 {
		t.Errorf("left in the state directory: %v", list)
	}
	second := New(Config{}, deps(), slog.New(slog.DiscardHandler))
	if err := second.Listen(r.dir); err == nil || !strings.Contains(err.Error(), "another tzero is running") {
		t.Errorf("a second gateway: %v", err)
	}
	if err := Dial(r.dir).Ready(t.Context()); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
	r.stop()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestStaleSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "tz")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: SocketPath(dir), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	s, err := listenSocket(SocketPath(dir))
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	// A successor's socket is not removed by the predecessor's end.
	if err := os.Remove(SocketPath(dir)); err != nil {
		t.Fatal(err)
	}
	next, err := listenSocket(SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := os.Lstat(SocketPath(dir)); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
	next.Close()

	if err := os.WriteFile(SocketPath(dir), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenSocket(SocketPath(dir)); err == nil {
		t.Error("a file that is no socket was replaced")
	}
	if _, err := listenSocket(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a long path: %v", err)
	}
	if _, err := listenSocket(filepath.Join(dir, "none", "s")); err == nil {
		t.Error("a socket in no directory")
	}
}
