//go:build linux

package load

import (
	"encoding/gob"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// Holding says how far a Hold is.
type Holding struct {
	Open int // connections that are open
}

// Hold is a client process that keeps connections idle: it opens them, sends one request on each, writes a
// Holding, waits until its input ends, and writes how many are still open.
func Hold(in io.Reader, out io.Writer) error {
	var job Job
	dec := gob.NewDecoder(in)
	if err := dec.Decode(&job); err != nil {
		return fmt.Errorf("cannot read the job: %w", err)
	}
	fds := make([]int, 0, job.Connections)
	buf := make([]byte, 64<<10)
	for len(fds) < job.Connections {
		fd, err := dial(job.Addr)
		if err != nil {
			return err
		}
		if err := once(fd, &job.Requests[0], buf); err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	enc := gob.NewEncoder(out)
	if err := enc.Encode(Holding{len(fds)}); err != nil {
		return err
	}
	var end Job
	_ = dec.Decode(&end) // the end of the input
	return enc.Encode(Holding{stillOpen(fds)})
}

// once sends a request and reads its answer.
func once(fd int, q *Request, buf []byte) error {
	if _, err := retry(func() (int, error) { return unix.Write(fd, q.Bytes) }); err != nil {
		return fmt.Errorf("cannot send a request: %w", err)
	}
	var r response
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, buf) })
		if err != nil || n == 0 {
			return fmt.Errorf("cannot read an answer: %w", io.ErrUnexpectedEOF)
		}
		done, fault := r.feed(buf[:n])
		if done && fault == "" {
			fault = r.judge(q)
		}
		if fault != "" {
			return fmt.Errorf("cannot use an answer: %s", fault)
		}
		if done {
			return nil
		}
	}
}

// retry repeats a system call that a signal interrupted; the runtime sends those to every thread.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// stillOpen counts the connections that the server has not closed.
func stillOpen(fds []int) int {
	open := 0
	for _, fd := range fds {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err == nil && n == 0 {
			open++
		}
	}
	return open
}
