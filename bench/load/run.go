//go:build linux

package load

import (
	"encoding/gob"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// heapLimit is where a client's collector begins to work, in bytes. A job takes a few MB, most of it its requests,
// and its loops allocate nothing but the words of faults and what a broken connection's successor needs: short of a
// server that does nothing but break connections, the collector has nothing to do, and its pauses, for which it has
// to interrupt the loops, would be measured as the server's.
const heapLimit = 256 << 20

// Serve is the client process: it reads one Job, does it and writes the Result.
func Serve(in io.Reader, out io.Writer) error {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(heapLimit))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var job Job
	if err := gob.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("cannot read the job: %w", err)
	}
	res, err := Run(&job)
	if err != nil {
		return err
	}
	return gob.NewEncoder(out).Encode(res)
}

// Run does a job in this process.
func Run(job *Job) (*Result, error) {
	threads := min(max(job.Threads, 1), job.Connections)
	loops := make([]*loop, threads)
	origin := time.Now()
	for i := range loops {
		share := job.Connections / threads
		if i < job.Connections%threads {
			share++
		}
		var err error
		if loops[i], err = newLoop(job, share, threads, i, origin); err != nil {
			return nil, err
		}
	}
	// A loop that waits in the kernel keeps its place (raw.go): leave some for the goroutines beside them.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(threads+2, runtime.GOMAXPROCS(0))))
	begin := time.Now() // connecting does not count as warming up
	var group errgroup.Group
	for _, l := range loops {
		l.origin = begin
		group.Go(l.run)
	}
	cpu := cpuTaker{pids: job.Pids, from: job.Warm, to: job.Warm + job.Measure}
	if job.Limit == 0 {
		group.Go(func() error { return cpu.run(begin) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	total := &Result{Faults: map[string]int64{}, CPU: cpu.servers, Own: cpu.own}
	for _, l := range loops {
		total.add(l.res)
		l.close()
	}
	return total, nil
}

func (l *loop) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may let a timer of 50 µs come late; a schedule of requests cannot have that.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set the timer slack: %w", err)
	}
	if l.every > 0 {
		return l.openLoop()
	}
	return l.closedLoop()
}

func (l *loop) close() {
	for i := range l.conns {
		unix.Close(l.conns[i].fd)
	}
	unix.Close(l.epoll)
}

// cpuTaker reads the CPU time of processes at both ends of the measured time.
type cpuTaker struct {
	pids         []int
	from, to     time.Duration
	servers, own time.Duration
}

func (c *cpuTaker) run(begin time.Time) error {
	time.Sleep(c.from - time.Since(begin))
	own, err := CPUTime(unix.Getpid())
	if err != nil {
		return err
	}
	before := make([]time.Duration, len(c.pids))
	for i, pid := range c.pids {
		if before[i], err = CPUTime(pid); err != nil {
			before[i] = gone
		}
	}
	time.Sleep(c.to - time.Since(begin))
	for i, pid := range c.pids {
		// A helper may end meanwhile, as the process that reads nginx's cache at its start does.
		if after, err := CPUTime(pid); err == nil && before[i] != gone {
			c.servers += after - before[i]
		}
	}
	c.own, err = CPUTime(unix.Getpid())
	c.own -= own
	return err
}

const gone = -1

// CPUTime is the time that a process has spent on processors so far, in user and kernel mode, by the
// scheduler's own account in nanoseconds (/proc/PID/stat rounds the same figure to 10 ms).
func CPUTime(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED in the kernel's layout of a process clock's number
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, fmt.Errorf("cannot read the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
