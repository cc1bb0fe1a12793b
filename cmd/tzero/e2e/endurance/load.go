package endurance

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Load is a number of clients in a closed loop, each on one connection that it keeps as long as it may.
type Load struct {
	mu     sync.Mutex
	result LoadResult

	stop chan struct{}
	done sync.WaitGroup
}

// LoadArgs say who asks what. A client that is told `Connection: close` ends.
type LoadArgs struct {
	Addr    string
	Paths   []string // in turn
	Clients int
	Pause   time.Duration // between an answer and the next request
}

// LoadResult is a load's account.
type LoadResult struct {
	Clients  int
	Requests int
	Failed   int      // no answer, a broken one, or not 200
	Lost     int      // connections that ended without `Connection: close`
	Told     int      // clients that ended because an answer said so
	Errors   []string // the first few
}

// Start connects all clients, one request each, and lets them run.
func (l *Load) Start(a LoadArgs, _ *Nothing) error {
	l.result, l.stop = LoadResult{Clients: a.Clients}, make(chan struct{})
	for i := range a.Clients {
		c, err := dial(a.Addr, patience)
		if err != nil {
			return err
		}
		if _, err := c.get(a.Paths[i%len(a.Paths)]); err != nil {
			return err
		}
		l.done.Add(1)
		go l.client(c, i, a)
	}
	return nil
}

func (l *Load) client(c *client, i int, a LoadArgs) {
	defer l.done.Done()
	defer c.Close()
	pause := time.NewTicker(a.Pause)
	defer pause.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-pause.C:
		}
		i++
		ans, err := c.get(a.Paths[i%len(a.Paths)])
		if !l.note(ans, err) {
			return
		}
	}
}

// note enters one answer and reports whether the client may go on.
func (l *Load) note(ans answer, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Requests++
	if err == nil && ans.status != 200 {
		err = fmt.Errorf("answered %d", ans.status)
	} else if err != nil {
		l.result.Lost++
	}
	if err != nil {
		l.result.Failed++
		if len(l.result.Errors) < 5 {
			l.result.Errors = append(l.result.Errors, err.Error())
		}
	}
	if ans.close {
		l.result.Told++
	}
	return err == nil && !ans.close
}

// Stop ends the clients that still run.
func (l *Load) Stop(_ Nothing, out *LoadResult) error {
	close(l.stop)
	return l.Wait(Nothing{}, out)
}

// Wait returns when all clients have ended by themselves.
func (l *Load) Wait(_ Nothing, out *LoadResult) error {
	ended := make(chan struct{})
	go func() { l.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(3 * patience):
		return errors.New("cannot wait any longer: clients still run")
	}
	*out = l.result
	return nil
}
