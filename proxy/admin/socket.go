package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// SocketPath is where the unix socket of a gateway with this state directory stands.
func SocketPath(stateDir string) string { return filepath.Join(stateDir, "admin.sock") }

// maxSocketPath: struct sockaddr_un holds 108 bytes with the final NUL on Linux, 104 elsewhere.
const maxSocketPath = 103

// socket is a listener on a unix socket that only our own user and root can use: by the file's mode,
// and, where the system tells who connects, by checking that too.
type socket struct {
	*net.UnixListener
	path string
	file fs.FileInfo // what we made; at the end only that is removed
}

// listenSocket makes the socket inside a directory of mode 0700, sets its mode and only then gives it
// its name, so that nobody can connect in between. A file that a dead process left is replaced, a
// living process's is not.
func listenSocket(path string) (*socket, error) {
	if err := stale(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".a")
	if err != nil {
		return nil, fmt.Errorf("cannot make the admin socket %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	first := filepath.Join(dir, "s")
	if max(len(first), len(path)) > maxSocketPath {
		return nil, fmt.Errorf("cannot make the admin socket %s: the path is too long for a socket; choose a shorter state directory", path)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: first, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot make the admin socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	if err := s.publish(first); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot make the admin socket %s: %w", path, err)
	}
	return s, nil
}

func (s *socket) publish(first string) error {
	if err := os.Chmod(first, 0o600); err != nil {
		return err
	}
	var err error
	if s.file, err = os.Lstat(first); err != nil {
		return err
	}
	return os.Rename(first, s.path)
}

// stale returns nil when path is free or the leftover of a dead process.
func stale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot examine the admin socket %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("cannot make the admin socket %s: something else has this name", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return nil
	}
	c.Close()
	return fmt.Errorf("cannot make the admin socket %s: another tzero is running with this state directory", path)
}

// Accept returns the next connection of a user who may make changes.
func (s *socket) Accept() (net.Conn, error) {
	for {
		c, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if trusted(c) {
			return c, nil
		}
		c.Close()
	}
}

// Close removes the file too, unless a successor has put its own there.
func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}
