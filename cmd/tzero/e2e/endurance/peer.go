package endurance

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// roleVar tells the test binary, started once more, which peer to play.
const roleVar = "ENDURANCE_ROLE"

// Peer is a client or an origin in a process of its own. Its methods are called over its standard input and output, so that it
// ends when the test does, however that ends.
type Peer struct {
	role string
	cmd  *exec.Cmd
	rpc  *rpc.Client
}

// Start runs a peer until the test's end.
func Start(t testing.TB, role string) *Peer {
	t.Helper()
	p := &Peer{role: role, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), roleVar+"="+role) // the last one holds
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatalf("cannot start the %s: %v", role, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("cannot start the %s: %v", role, err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start the %s: %v", role, err)
	}
	p.rpc = rpc.NewClient(pipes{out, in})
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the peer as a crash would: the kernel closes its connections.
func (p *Peer) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.rpc.Close()
}

// Ask calls a method of the peer; args and R are its types.
func Ask[R any](t testing.TB, p *Peer, method string, args any) R {
	t.Helper()
	out, err := Try[R](p, method, args)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Try is Ask for other goroutines than the test's.
func Try[R any](p *Peer, method string, args any) (out R, err error) {
	if err := p.rpc.Call("Peer."+method, args, &out); err != nil {
		return out, fmt.Errorf("the %s could not %s: %w", p.role, method, err)
	}
	return out, nil
}

// Nothing stands for absent arguments and results.
type Nothing struct{}

// Play is the peer's side: the test binary's main function when roleVar is set. It returns false when it is not.
func Play() bool {
	var peer any
	switch role := os.Getenv(roleVar); role {
	case "":
		return false
	case "origin":
		peer = new(Origin)
	case "probe":
		peer = new(Probe)
	case "sockets":
		peer = new(Sockets)
	case "crowd":
		peer = new(Crowd)
	case "load":
		peer = new(Load)
	case "gateway":
		run(limitedGateway())
	default:
		run(fmt.Errorf("cannot play %q: no such role", role))
	}
	srv := rpc.NewServer()
	run(srv.RegisterName("Peer", peer))
	srv.ServeConn(pipes{os.Stdin, os.Stdout})
	return true
}

func run(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error {
	_ = p.ReadCloser.Close()
	return p.WriteCloser.Close()
}
