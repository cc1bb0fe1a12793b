package cluster

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Load is an open loop: requests leave when they are due, whatever became of those before.
type Load struct {
	mu    sync.Mutex
	seen  []Seen
	ended chan struct{}
	stop  chan struct{}
	all   sync.WaitGroup
}

// Seen is what became of one request.
type Seen struct {
	Due   time.Time
	Took  time.Duration
	Fault string // empty where it got what was due
	Asked bool   // the origin was
	Class string // the cache's word
}

// StartLoad asks so many times a second, of all gateways in turn, for one of pages, the lower numbers more often (Zipf with
// exponent 1). Each answer's content must be what content says.
func StartLoad(t testing.TB, f *Fleet, perSecond, pages int, content func(page int) string) *Load {
	l := &Load{ended: make(chan struct{}), stop: make(chan struct{})}
	c := Client(t)
	weights := make([]float64, pages)
	sum := 0.0
	for i := range weights {
		sum += 1 / float64(i+1)
		weights[i] = sum
	}
	r := rand.New(rand.NewPCG(7, 8))
	go func() {
		defer close(l.ended)
		gap := time.Second / time.Duration(perSecond)
		for due, n := time.Now(), 0; ; due, n = due.Add(gap), n+1 {
			select {
			case <-l.stop:
				l.all.Wait()
				return
			case <-time.After(time.Until(due)):
			}
			page, _ := slices.BinarySearch(weights, r.Float64()*sum)
			page = min(page, pages-1)
			g := f.Gateways[n%len(f.Gateways)]
			l.all.Go(func() { l.one(c, g, page, due, content(page)) })
		}
	}()
	t.Cleanup(l.Stop)
	return l
}

func (l *Load) one(c *http.Client, g *Gateway, page int, due time.Time, want string) {
	a := g.Get(c, fmt.Sprint("/p", page))
	s := Seen{Due: due, Took: time.Since(due), Class: a.Fields.Get("Cache-Status")}
	s.Asked = strings.Contains(s.Class, "fwd=")
	switch {
	case a.Err != nil:
		s.Fault = "no answer"
	case a.Status != 200:
		s.Fault = fmt.Sprint("status ", a.Status)
	case a.Body != want:
		s.Fault = "other content"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, s)
}

// Stop ends the loop, when all have been answered.
func (l *Load) Stop() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.ended
}

// Figures sum up what was due in a stretch of time.
type Figures struct {
	N, Faults     int
	P50, P99, Max time.Duration
	HitRatio      float64
}

// Between sums up.
func (l *Load) Between(from, to time.Time) Figures {
	l.mu.Lock()
	defer l.mu.Unlock()
	var f Figures
	var took []time.Duration
	hits := 0
	for _, s := range l.seen {
		if s.Due.Before(from) || !s.Due.Before(to) {
			continue
		}
		f.N++
		if s.Fault != "" {
			f.Faults++
		}
		if !s.Asked {
			hits++
		}
		took = append(took, s.Took)
	}
	if f.N == 0 {
		return f
	}
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[min(len(took)-1, int(math.Ceil(q*float64(len(took))))-1)] }
	f.P50, f.P99, f.Max, f.HitRatio = at(0.5), at(0.99), took[len(took)-1], float64(hits)/float64(f.N)
	return f
}

// Faults lists what went wrong in a stretch of time.
func (l *Load) Faults(from, to time.Time) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for _, s := range l.seen {
		if s.Fault != "" && !s.Due.Before(from) && s.Due.Before(to) {
			n[s.Fault]++
		}
	}
	return fmt.Sprint(n)
}
