//go:build linux

package load

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// loop is one thread's event loop over its share of the connections.
type loop struct {
	job    *Job
	origin time.Time // zero of the loop's clock
	epoll  int
	conns  []conn
	buf    []byte
	events []unix.EpollEvent
	res    *Result

	next   int // in job.Order
	number int64
	step   int64 // between two running numbers: the loops share them out
	sent   int64
	failed int64 // what res.Faults has together
	limit  int64

	from, to time.Duration // the measured time

	// Of an open loop.
	every  time.Duration
	due    time.Duration   // of the next request
	queue  []time.Duration // requests that are due and wait for a connection
	free   []int32         // idle connections
	closed bool            // no more requests become due
}

func newLoop(job *Job, connections, threads, nth int, origin time.Time) (*loop, error) {
	l := &loop{job: job, origin: origin, buf: make([]byte, 256<<10), events: make([]unix.EpollEvent, 256),
		res: &Result{Faults: map[string]int64{}}, conns: make([]conn, connections)}
	l.next = nth * len(job.Order) / threads
	l.number, l.step = job.FirstNumber+int64(nth), int64(threads)
	l.limit = job.Limit / int64(threads)
	l.from, l.to = job.Warm, job.Warm+job.Measure
	if job.Rate > 0 {
		l.every = time.Duration(float64(threads) / job.Rate * float64(time.Second))
		l.due = l.every * time.Duration(nth) / time.Duration(threads)
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("cannot make an epoll set: %w", err)
	}
	for i := range l.conns {
		l.conns[i].at = int32(i)
		if err := l.open(&l.conns[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Connections are watched edge-triggered: level-triggered, the kernel would put each one that had an event back on
// its list and ask it once more.
const (
	ended   = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	watched = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
)

func (l *loop) open(c *conn) error {
	fd, err := dial(l.job.Addr)
	if err != nil {
		return err
	}
	c.fd = fd
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: watched, Fd: c.at}); err != nil {
		return fmt.Errorf("cannot watch a connection: %w", err)
	}
	return nil
}

func (l *loop) now() time.Duration { return time.Since(l.origin) }

// closedLoop keeps every connection busy until the measured time or the limit is over.
func (l *loop) closedLoop() error {
	for i := range l.conns {
		if l.more() {
			if err := l.send(&l.conns[i], l.now()); err != nil {
				return err
			}
		}
	}
	for l.limit > 0 && l.res.Requests+l.failed < l.limit || l.limit == 0 && l.now() < l.to {
		if err := l.wait(longestWait); err != nil {
			return err
		}
	}
	l.res.Elapsed = l.now() - l.from
	return nil
}

// more reports whether another request may be sent.
func (l *loop) more() bool { return l.limit == 0 || l.sent < l.limit }

// send sends the next request of the order. due is when its time begins to count.
func (l *loop) send(c *conn, due time.Duration) error {
	c.q = &l.job.Requests[l.job.Order[l.next]]
	if l.next++; l.next == len(l.job.Order) {
		l.next = 0
	}
	b := c.bytes(c.q, l.number)
	if c.q.Number > 0 {
		l.number += l.step
	}
	c.due, c.busy = due, true
	c.resp.reset()
	l.sent++
	if n, errno := send(c.fd, b); errno != 0 || n != len(b) {
		return l.broken(c, "write")
	}
	return nil
}

// wait takes one batch of events, for which it waits d at most.
func (l *loop) wait(d time.Duration) error {
	n, errno := poll(l.epoll, l.events, d)
	if errno != 0 {
		return fmt.Errorf("cannot wait for answers: %w", errno)
	}
	for _, ev := range l.events[:n] {
		if err := l.receive(&l.conns[ev.Fd], ev.Events&ended != 0); err != nil {
			return err
		}
	}
	return nil
}

// receive reads what has come, to the last byte: the answer is judged when nothing follows it. A read that does not
// fill the buffer has emptied the kernel's queue, and whatever comes later is another event (epoll(7), question 9);
// only the end of the stream may lie behind it without one, if the event has told of it already.
func (l *loop) receive(c *conn, ended bool) error {
	done := false
	for {
		n, errno := receive(c.fd, l.buf)
		if errno == unix.EAGAIN {
			break
		}
		if errno != 0 || n == 0 {
			return l.broken(c, "closed") // with the answer, too: keep-alive was asked for
		}
		if !c.busy {
			return l.broken(c, "unasked")
		}
		var fault string
		if done, fault = c.resp.feed(l.buf[:n]); fault != "" {
			return l.broken(c, fault)
		}
		if n < len(l.buf) && !ended {
			break
		}
	}
	if !done {
		return nil
	}
	now := l.now() // the one reading for an answer: it ends this request and begins the next
	l.record(c, now)
	return l.answered(c, now)
}

// record counts an answer, if its request belongs to the measured time.
func (l *loop) record(c *conn, now time.Duration) {
	c.busy = false
	if fault := c.resp.judge(c.q); fault != "" {
		l.fault(fault)
		return
	}
	begin := now
	if l.every > 0 {
		begin = c.due // an open loop answers for every request that was due, however late
	}
	if l.limit == 0 && (begin < l.from || begin >= l.to) {
		return
	}
	l.res.Requests++
	l.res.Bytes += c.resp.length
	l.res.Latency.Record(now - c.due)
}

func (l *loop) fault(what string) {
	l.failed++
	l.res.fault(what)
}

// answered gives the connection its next request.
func (l *loop) answered(c *conn, now time.Duration) error {
	if l.every == 0 {
		if !l.more() {
			return nil
		}
		return l.send(c, now)
	}
	if len(l.queue) > 0 {
		due := l.queue[0]
		l.queue = l.queue[1:]
		return l.send(c, due)
	}
	l.free = append(l.free, c.at)
	return nil
}

// broken counts a fault that ended the connection, and opens another.
func (l *loop) broken(c *conn, what string) error {
	idle := !c.busy
	l.fault(what)
	c.busy = false
	unix.Close(c.fd)
	if err := l.open(c); err != nil {
		return err
	}
	if idle {
		return nil // an open loop has it on its list; a closed one has no idle connections
	}
	return l.answered(c, l.now())
}
