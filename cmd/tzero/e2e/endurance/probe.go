package endurance

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Probe is everybody else: an open loop of requests at a fixed rate, on kept connections. Latency counts from the moment at
// which a request was due, so that a stall shows in all requests that fell into it.
type Probe struct {
	mu     sync.Mutex
	idle   []*client
	took   []time.Duration
	result Latencies

	stop chan struct{}
	done sync.WaitGroup
}

// ProbeArgs say what to ask, and how often.
type ProbeArgs struct {
	Addr, Path string
	Rate       int           // requests a second
	Patience   time.Duration // for one request; patience where absent
}

// Latencies are a probe's result.
type Latencies struct {
	Sent, Failed int
	Retried      int // sent once more, on a new connection, because a kept one was found closed
	Dialed       int
	P50, P99     time.Duration
	Max          time.Duration
	First        string // error
}

func (l Latencies) String() string {
	s := fmt.Sprintf("p50 %s, p99 %s, max %s of %d", milli(l.P50), milli(l.P99), milli(l.Max), l.Sent)
	if l.Failed > 0 {
		s += fmt.Sprintf(", %d failed (%s)", l.Failed, l.First)
	}
	return s
}

// Start begins to send.
func (p *Probe) Start(a ProbeArgs, _ *Nothing) error {
	p.took, p.result, p.stop = nil, Latencies{}, make(chan struct{})
	p.done.Add(1)
	go p.send(a, time.NewTicker(time.Second/time.Duration(a.Rate)), p.stop)
	return nil
}

func (p *Probe) send(a ProbeArgs, tick *time.Ticker, stop chan struct{}) {
	defer p.done.Done()
	defer tick.Stop()
	due, step := time.Now(), time.Second/time.Duration(a.Rate)
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		for ; !due.After(time.Now()); due = due.Add(step) { // ticks may be lost, requests not
			p.done.Add(1)
			go p.one(a, due)
		}
	}
}

func (p *Probe) one(a ProbeArgs, due time.Time) {
	defer p.done.Done()
	err := p.get(a)
	took := time.Since(due)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.Sent++
	p.took = append(p.took, took)
	if err != nil {
		p.result.Failed++
		if p.result.First == "" {
			p.result.First = err.Error()
		}
	}
}

// get does what browsers do: a kept connection that turns out closed before it answered costs a second try on a new one.
func (p *Probe) get(a ProbeArgs) error {
	if a.Patience == 0 {
		a.Patience = patience
	}
	c, err := p.take(a, true)
	if err != nil {
		return err
	}
	ans, err := c.get(a.Path)
	if err != nil && c.used && ans.early {
		c.Close()
		p.mu.Lock()
		p.result.Retried++
		p.mu.Unlock()
		if c, err = p.take(a, false); err != nil {
			return err
		}
		ans, err = c.get(a.Path)
	}
	if err != nil || ans.close {
		c.Close()
	} else {
		p.mu.Lock()
		p.idle = append(p.idle, c)
		p.mu.Unlock()
	}
	if err == nil && ans.status != 200 {
		return fmt.Errorf("answered %d", ans.status)
	}
	return err
}

func (p *Probe) take(a ProbeArgs, kept bool) (*client, error) {
	p.mu.Lock()
	if n := len(p.idle); kept && n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.result.Dialed++
	p.mu.Unlock()
	return dial(a.Addr, a.Patience)
}

// Stop ends it, waits for the answers and returns the result.
func (p *Probe) Stop(_ Nothing, out *Latencies) error {
	close(p.stop)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.result.P50, p.result.P99, p.result.Max = quantiles(p.took)
	*out = p.result
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
	return nil
}

// quantiles of some durations, which it sorts.
func quantiles(d []time.Duration) (p50, p99, most time.Duration) {
	if len(d) == 0 {
		return 0, 0, 0
	}
	slices.Sort(d)
	return d[len(d)/2], d[len(d)*99/100], d[len(d)-1]
}

func milli(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}
