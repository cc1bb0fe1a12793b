package decisionlog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// errBlocked: nobody reads the other end at the moment.
var errBlocked = errors.New("the output takes no more")

// sink is an open output. It works on a bare descriptor, for two reasons. os.File ends the process
// when standard output's reader is gone (SIGPIPE); and a write to a blocking descriptor could never
// be interrupted, so a pipe that nobody reads would keep the gateway from stopping.
type sink struct {
	name     string
	fd       int
	path     string // "" for standard output and error
	own      bool   // fd is ours to close
	regular  bool
	dev, ino uint64
}

// lineChunk is how much goes into a pipe, socket or terminal at once: POSIX promises that so much
// fits when poll says writable, and that it is not mixed with what others write (PIPE_BUF).
const lineChunk = 4096

func openSink(output string) (*sink, error) {
	switch output {
	case "stdout":
		return inherited(output, 1)
	case "stderr":
		return inherited(output, 2)
	}
	// O_NONBLOCK: opening a FIFO without a reader fails instead of waiting.
	fd, err := unix.Open(output, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o640)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", output, err)
	}
	return newSink(&sink{name: output, path: output, fd: fd, own: true})
}

// inherited uses a descriptor that others share. Making it non-blocking would change it for them too;
// so a pipe or terminal is opened once more, non-blocking, where the system lets us. Where not (a
// socket, other rights, no reader), asking before each write has to do.
func inherited(name string, fd int) (*sink, error) {
	s, err := newSink(&sink{name: name, fd: fd})
	if err != nil || s.regular {
		return s, err
	}
	again, err := unix.Open("/dev/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return s, nil
	}
	return newSink(&sink{name: name, fd: again, own: true})
}

func newSink(s *sink) (*sink, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		s.close()
		return nil, fmt.Errorf("cannot examine %s: %w", s.name, err)
	}
	s.regular = st.Mode&unix.S_IFMT == unix.S_IFREG
	s.dev, s.ino = uint64(st.Dev), st.Ino // Dev's type differs between systems
	return s, nil
}

func (s *sink) close() {
	if s.own {
		unix.Close(s.fd)
	}
}

// moved reports that the path no longer names this file: it was rotated away.
func (s *sink) moved() bool {
	if s.path == "" || !s.regular {
		return false
	}
	var st unix.Stat_t
	if err := unix.Stat(s.path, &st); err != nil {
		return errors.Is(err, unix.ENOENT)
	}
	return uint64(st.Dev) != s.dev || st.Ino != s.ino
}

// write writes p, waiting at most patience each time the other end is full, and returns how much
// went out.
func (s *sink) write(p []byte, patience time.Duration) (n int, err error) {
	for n < len(p) {
		chunk := p[n:]
		if !s.regular {
			if err := s.ready(patience); err != nil {
				return n, err
			}
			chunk = wholeLines(chunk, lineChunk)
		}
		k, err := unix.Write(s.fd, chunk)
		if k > 0 {
			n += k
		}
		switch {
		case err == nil, errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN) && !s.regular:
			// Somebody else filled the pipe in between: wait again.
		default:
			return n, fmt.Errorf("cannot write to %s: %w", s.name, err)
		}
	}
	return n, nil
}

func (s *sink) ready(patience time.Duration) error {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, int(patience.Milliseconds()))
	switch {
	case errors.Is(err, unix.EINTR):
		return errBlocked // nothing is known: ask again, never write unasked
	case err != nil:
		return fmt.Errorf("cannot wait for %s: %w", s.name, err)
	case n == 0:
		return errBlocked
	}
	return nil
}

// wholeLines returns as many whole lines of p as fit in limit, or the first limit bytes of a line
// that is longer.
func wholeLines(p []byte, limit int) []byte {
	if len(p) <= limit {
		return p
	}
	if end := bytes.LastIndexByte(p[:limit], '\n'); end >= 0 {
		return p[:end+1]
	}
	return p[:limit]
}
