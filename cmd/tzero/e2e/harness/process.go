package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// Process is a child of the test with its output captured.
type Process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone; err is set before
	err   error

	mu  sync.Mutex
	out bytes.Buffer
}

// Spawn starts a program. The child is killed when the test ends, should it still run then, and cannot outlive the
// test process. Its output appears in the log of a test that failed.
func Spawn(t testing.TB, name, program string, args ...string) *Process {
	t.Helper()
	p := &Process{name: name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.Logs())
		}
	})
	return p
}

// Write collects the child's output; the os/exec package calls it.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Logs is everything printed so far.
func (p *Process) Logs() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Pid is the child's process id, for reading /proc.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends sig; a process that has ended already is no error.
func (p *Process) Signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// Kill ends the process without a chance to say goodbye and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Ended is closed when the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// ExitError is how the process ended: nil for success. Valid once Ended is closed.
func (p *Process) ExitError() error {
	select {
	case <-p.ended:
		return p.err
	default:
		return fmt.Errorf("%s is still running", p.name)
	}
}
