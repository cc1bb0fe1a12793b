//go:build linux

package main

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/tzero-edge/tzero/bench/load"
)

// The bench starts itself again for what has to be a process of its own.
const (
	roleOrigin = "origin"
	roleLoad   = "load"
	roleHold   = "hold"
)

func child(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// do has a client process do a job.
func do(job *load.Job) (*load.Result, error) {
	cmd := child(roleLoad)
	var in, out bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(job); err != nil {
		return nil, fmt.Errorf("cannot write the job: %w", err)
	}
	cmd.Stdin, cmd.Stdout = &in, &out
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cannot measure: %w", err)
	}
	var res load.Result
	if err := gob.NewDecoder(&out).Decode(&res); err != nil {
		return nil, fmt.Errorf("cannot read the result: %w", err)
	}
	return &res, nil
}

// holder is a client process that keeps connections open.
type holder struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *gob.Decoder
}

func hold(job *load.Job) (*holder, error) {
	h := &holder{cmd: child(roleHold)}
	var err error
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("cannot hold connections: %w", err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot hold connections: %w", err)
	}
	h.out = gob.NewDecoder(out)
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot hold connections: %w", err)
	}
	if err := gob.NewEncoder(h.in).Encode(job); err != nil {
		return nil, fmt.Errorf("cannot write the job: %w", err)
	}
	var opened load.Holding
	if err := h.out.Decode(&opened); err != nil {
		return nil, fmt.Errorf("cannot hold %d connections: %w", job.Connections, err)
	}
	return h, nil
}

// release ends the process and returns how many connections the server had kept open.
func (h *holder) release() (open int, err error) {
	h.in.Close()
	var end load.Holding
	if err := h.out.Decode(&end); err != nil {
		return 0, fmt.Errorf("cannot count the open connections: %w", err)
	}
	return end.Open, h.cmd.Wait()
}

// requestsAt asks the origin how many requests it has had.
func requestsAt(origin string) (int64, error) {
	text, err := read("http://" + origin + pathTold)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

func read(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", fmt.Errorf("cannot ask %s: %w", url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", fmt.Errorf("cannot ask %s: %w", url, err)
	}
	return string(b), nil
}
