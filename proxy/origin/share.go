package origin

import (
	"context"
	"time"
)

// The connections of a pool belong to requests that the app can work on. Two sorts would keep one for as
// long as a client likes, and a few hundred clients would keep them all:
//
//   - uploads, whose body is still to come from the client and was not held beforehand. They get half of the
//     connections, one by one in a line of their own, and count as ordinary requests once the body is sent;
//   - event streams, which have no end. They leave the pool with their connection, as upgraded ones do, and
//     are bounded by themselves.

// uploads is how many uploads may have a connection.
func (p *PoolConfig) uploads() int { return max(1, p.MaxConnections/2) }

// uploadDetails says for the failures in the line of uploads what happened and what to do.
var uploadDetails = [numKinds]string{
	QueueFull:    "half of all connections, as many as may, receive bodies from slow clients, and the queue for more is full; raise pool.max_connections if so many uploads are honest ones",
	QueueTimeout: "half of all connections, as many as may, receive bodies from slow clients, and none was through within pool.queue_time",
}

// acquireUpload is acquire for an upload: first one of the places for uploads, then a connection.
func (t *target) acquireUpload(ctx context.Context, q *Request, tm *Timeouts, fresh bool) (*conn, *Error) {
	began := t.ps.clock.exact()
	if err := t.enterUpload(ctx, q); err != nil {
		return nil, err
	}
	waited := time.Duration(t.ps.clock.exact() - began)
	c, err := t.acquire(ctx, q, tm, fresh, waited)
	for err == nil && c.unseen && !c.alive() {
		c, err = t.retake(ctx, q, tm, c, waited)
	}
	if err != nil {
		t.leaveUpload()
		return nil, err
	}
	c.unseen = false
	t.mu.Lock()
	c.upload = true
	t.mu.Unlock()
	return c, nil
}

// enterUpload takes one of the places for uploads, or waits for it.
func (t *target) enterUpload(ctx context.Context, q *Request) *Error {
	t.mu.Lock()
	if t.uploads < t.limits().uploads() {
		t.uploads++
		t.mu.Unlock()
		return nil
	}
	w, err := t.enqueue(&t.line)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = t.await(ctx, q, w, 0)
	return err
}

// leaveUpload gives the place of an upload that has no connection back.
func (t *target) leaveUpload() {
	t.mu.Lock()
	t.uploads--
	t.admitUploads()
	t.mu.Unlock()
}

// endUpload makes the request on a connection an ordinary one. Callers hold mu.
func (t *target) endUpload(c *conn) {
	if c.upload {
		c.upload = false
		t.uploads--
		t.admitUploads()
	}
}

// admitUploads gives free places to the first in the line of uploads. Callers hold mu.
func (t *target) admitUploads() {
	for t.uploads < t.limits().uploads() {
		w := t.line.pop()
		if w == nil {
			return
		}
		t.uploads++
		w.ready <- nil
	}
}

// uploaded is called when nothing of the request's body is to come any more.
func (c *conn) uploaded() {
	c.t.mu.Lock()
	c.t.endUpload(c)
	c.t.mu.Unlock()
}

// stream lets a connection leave the pool with an event stream on it; false: there are too many already.
func (t *target) stream(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams >= t.limits().MaxStreams {
		return false
	}
	t.endUpload(c)
	c.stream = true
	t.streams++
	t.open--
	t.leave()
	return true
}
