package admin

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Even if somebody loosens the file's mode, other users are turned away. Only root can take another
// user's part.
func TestOtherUsersAreTurnedAway(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to connect as somebody else")
	}
	r := start(t, Config{}, deps())
	if err := errors.Join(os.Chmod(r.dir, 0o755), os.Chmod(SocketPath(r.dir), 0o666)); err != nil {
		t.Fatal(err)
	}
	try := func(uid int) error {
		result := make(chan error)
		go func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine, and its user id with it
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
				result <- errno
				return
			}
			c, err := net.Dial("unix", SocketPath(r.dir))
			if err != nil {
				result <- err
				return
			}
			defer c.Close()
			if _, err = io.WriteString(c, "GET /healthz HTTP/1.0\r\n\r\n"); err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			result <- err
		}()
		return <-result
	}
	if err := try(0); err != nil {
		t.Errorf("root: %v", err)
	}
	if err := try(65534); err == nil {
		t.Error("nobody was let in")
	}
}
