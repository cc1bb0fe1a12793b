package origin

import (
	"context"
	"time"
)

// queue is the line of requests that wait for a connection to one target, first come first served.
type queue struct {
	first, last *waiter
	n           int
}

// waiter is one request in line. What it is sent: a connection, or nil for the permission to open one.
// The channel holds one, so that whoever serves the line never waits.
type waiter struct {
	ready      chan *conn
	prev, next *waiter
	queued     bool
}

func (q *queue) push(w *waiter) {
	w.queued, w.prev = true, q.last
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	q.n++
}

func (q *queue) pop() *waiter {
	w := q.first
	if w != nil {
		q.remove(w)
	}
	return w
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.n--
}

// enqueue puts a request in line. It counts as waiting, no longer as in flight. Callers hold mu.
func (t *target) enqueue() (*waiter, *Error) {
	t.inFlight--
	if t.queue.n >= t.limits().Queue {
		return nil, t.fail(QueueFull, "", nil)
	}
	w := &waiter{ready: make(chan *conn, 1)}
	t.queue.push(w)
	t.counts.queued++
	return w, nil
}

// await waits in line. Whoever serves it has counted it as in flight again.
func (t *target) await(ctx context.Context, q *Request, tm *Timeouts, w *waiter) (*conn, *Error) {
	timer := time.NewTimer(t.limits().QueueTime.D())
	defer timer.Stop()
	var why Kind
	var cause error
	select {
	case c := <-w.ready:
		return t.served(ctx, q, tm, c)
	case <-timer.C:
		why = QueueTimeout
	case <-q.Done:
		why = Canceled
	case <-ctx.Done():
		why, cause = Canceled, context.Cause(ctx)
	}
	t.mu.Lock()
	queued := w.queued
	if queued {
		t.queue.remove(w)
	}
	t.mu.Unlock()
	if !queued {
		t.pass(<-w.ready)
	}
	return nil, t.fail(why, "", cause)
}

func (t *target) served(ctx context.Context, q *Request, tm *Timeouts, c *conn) (*conn, *Error) {
	if c == nil {
		return t.dialed(ctx, q, tm)
	}
	if c.alive() {
		return c, nil
	}
	t.mu.Lock()
	t.forget(c)
	t.open++ // the place stays this request's own
	t.counts.stale++
	t.mu.Unlock()
	c.wire.Close()
	return t.dialed(ctx, q, tm)
}

// pass hands on what a request was given just when it stopped waiting.
func (t *target) pass(c *conn) {
	t.mu.Lock()
	if c == nil {
		t.open--
		t.leave()
		t.mu.Unlock()
		return
	}
	defer t.mu.Unlock()
	if next := t.queue.pop(); next != nil {
		next.ready <- c
		return
	}
	t.inFlight--
	c.idleSince = t.ps.clock.coarse()
	t.idle = append(t.idle, c)
}
