package endurance

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Load is a number of clients in a closed loop, each on one connection that it keeps as long as it may.
type Load struct {
	mu     sync.Mutex
	result LoadResult

	stop chan struct{}
	done sync.WaitGroup
}

// LoadArgs say who asks what. A client that is told `Connection: close` ends; a newcomer, when it is refused.
type LoadArgs struct {
	Addr    string
	Paths   []string      // in turn
	Clients int           // on a kept connection each
	Fresh   int           // newcomers: on a new connection every time
	Pause   time.Duration // between an answer and the next request
}

// LoadResult is a load's account.
type LoadResult struct {
	Clients  int
	Requests int
	Failed   int      // no answer, a broken one, or not 200
	Lost     int      // connections that ended without `Connection: close`
	Told     int      // clients that ended because an answer said so
	Refused  int      // newcomers that found the door closed: no error, for nothing was asked yet
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
	for range a.Fresh {
		l.done.Go(func() {
			for l.newcomer(a) {
			}
		})
	}
	return nil
}

// newcomer asks once, on a connection of its own, and reports whether to go on.
func (l *Load) newcomer(a LoadArgs) bool {
	select {
	case <-l.stop:
		return false
	case <-time.After(a.Pause):
	}
	c, err := dial(a.Addr, patience)
	// A handshake that the closing listener interrupts ends with a reset instead: no connection came about either.
	if errors.Is(err, syscall.ECONNREFUSED) || c == nil && errors.Is(err, syscall.ECONNRESET) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.result.Refused++
		return false
	}
	var ans answer
	if err == nil {
		ans, err = c.get(a.Paths[0])
		c.Close()
	}
	ans.close = false
	return l.note(ans, err)
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
