package origin

import (
	"context"
	"time"
)

// queue is a line of requests that wait for one target, first come first served.
type queue struct {
	first, last *waiter
	n           int
}

// waiter is one request in line. What it is sent: a connection, or nil for the permission to open one (or,
// in the line of uploads, to ask for one). The channel holds one, so that whoever serves the line never
// waits.
type waiter struct {
	ready      chan *conn
	line       *queue
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

// enqueue puts a request in line. Callers hold mu.
func (t *target) enqueue(line *queue) (*waiter, *Error) {
	if line.n >= t.limits().Queue {
		return nil, t.failInLine(line, QueueFull, nil)
	}
	w := &waiter{ready: make(chan *conn, 1), line: line}
	line.push(w)
	t.counts.queued++
	return w, nil
}

// await waits in line. Whoever serves it has counted it on its behalf.
// waited is what it has waited already, in another line.
func (t *target) await(ctx context.Context, q *Request, w *waiter, waited time.Duration) (*conn, *Error) {
	timer := time.NewTimer(t.limits().QueueTime.D() - waited)
	defer timer.Stop()
	var why Kind
	var cause error
	select {
	case c := <-w.ready:
		return c, nil
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
		w.line.remove(w)
	}
	t.mu.Unlock()
	switch {
	case queued:
	case w.line == &t.line:
		t.leaveUpload()
	default:
		t.pass(<-w.ready)
	}
	return nil, t.failInLine(w.line, why, cause)
}

func (t *target) failInLine(line *queue, why Kind, cause error) *Error {
	detail := ""
	if line == &t.line {
		detail = uploadDetails[why]
	}
	return t.fail(why, detail, cause)
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
