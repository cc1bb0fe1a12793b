//go:build linux

package load

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The loops make their system calls raw: the runtime is told nothing of them, which is a good part of what a request
// costs the client. In return a loop that waits keeps its place among GOMAXPROCS, for which Run makes room, and
// whoever has to stop the world waits for it: for longestWait at most, mostly just until the runtime's signal has
// interrupted it.

// longestWait bounds a loop's wait for answers.
const longestWait = 100 * time.Millisecond

// receive returns how many bytes are in p now; 0 without an error is the end of the stream.
func receive(fd int, p []byte) (int, syscall.Errno) {
	return transfer(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
}

// send returns how many bytes of p the kernel has taken.
func send(fd int, p []byte) (int, syscall.Errno) {
	return transfer(unix.SYS_SENDTO, fd, p, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

func transfer(trap uintptr, fd int, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// poll returns how many events have come, after d or longestWait at most. An interrupted wait has brought none, and
// its caller looks at the clock again: repeating it here would keep the runtime's signals from having an effect.
// epoll_pwait2 (Linux 5.11) counts in nanoseconds; epoll_wait's milliseconds are too coarse for a schedule.
func poll(epoll int, events []unix.EpollEvent, d time.Duration) (int, syscall.Errno) {
	ts := unix.NsecToTimespec(int64(min(max(d, 0), longestWait)))
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), 0
	case unix.EINTR:
		return 0, 0
	}
	return 0, errno
}
