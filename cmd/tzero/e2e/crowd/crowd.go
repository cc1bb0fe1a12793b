package crowd

import (
	"sync"
	"testing"
	"time"
)

// Crowd is a number of clients who are connected and ask in the same moment.
type Crowd struct {
	t       testing.TB
	clients []*client
	began   time.Time
	done    sync.WaitGroup
}

// Gather connects a client for each request. They are gone when the test ends.
func Gather(t testing.TB, addr string, asks ...Ask) *Crowd {
	t.Helper()
	c := &Crowd{t: t}
	t.Cleanup(c.leave)
	for _, ask := range asks {
		one, err := dial(addr, ask)
		if err != nil {
			t.Fatalf("client %d of %d: %v", len(c.clients)+1, len(asks), err)
		}
		c.clients = append(c.clients, one)
	}
	return c
}

// Go has everybody ask, and returns when all requests have left.
func (c *Crowd) Go() *Crowd {
	c.t.Helper()
	start, failed := make(chan struct{}), make(chan error, len(c.clients))
	for _, one := range c.clients {
		c.done.Add(1)
		go func() {
			defer c.done.Done()
			<-start
			failed <- one.send()
			one.read(c.began)
		}()
	}
	c.began = time.Now()
	close(start)
	for range c.clients {
		if err := <-failed; err != nil {
			c.t.Errorf("cannot ask: %v", err)
		}
	}
	return c
}

// Wait returns what became of everybody, in the order of the requests.
func (c *Crowd) Wait() []Answer {
	c.done.Wait()
	all := make([]Answer, len(c.clients))
	for i, one := range c.clients {
		all[i] = one.answer
		one.conn.Close()
	}
	return all
}

// Drop has one client close its connection at once.
func (c *Crowd) Drop(i int) { c.clients[i].conn.Close() }

func (c *Crowd) leave() {
	for _, one := range c.clients {
		one.conn.Close()
	}
	c.done.Wait()
}
