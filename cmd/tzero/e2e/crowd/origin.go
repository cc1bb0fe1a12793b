package crowd

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Origin is the app behind the gateway. It counts what it is asked.
type Origin struct {
	URL string

	mu    sync.Mutex
	pages map[string]*Page
	all   Count // of all pages together
	other http.HandlerFunc
}

// Page is what the origin answers under one path. n is 1 for the first request for the path.
type Page struct {
	answer func(w http.ResponseWriter, r *http.Request, n int)
	count  Count
	first  chan struct{}
	gather int           // see Together
	full   chan struct{} // closed when so many are there
}

// Count is what an origin was asked.
type Count struct {
	Asked       int
	Heads       int // of these, by HEAD
	Conditional int // of these, with If-None-Match
	Now, Most   int // at the same time: at this moment, and ever
}

// NewOrigin runs an origin without pages until the test's end.
func NewOrigin(t testing.TB) *Origin {
	o := &Origin{pages: map[string]*Page{}}
	srv := httptest.NewServer(http.HandlerFunc(o.serve))
	o.URL = srv.URL
	t.Cleanup(srv.Close)
	return o
}

// Page says what is answered under a path, from now on.
func (o *Origin) Page(path string, answer func(w http.ResponseWriter, r *http.Request, n int)) *Page {
	p := &Page{answer: answer, first: make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[path] = p
	return p
}

// Else says what is answered under all other paths.
func (o *Origin) Else(answer http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.other = answer
}

func (o *Origin) elsewhere(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	other := o.other
	o.mu.Unlock()
	if other == nil {
		other = http.NotFound
	}
	other(w, r)
}

// Asked is closed when the first request for the page is there.
func (p *Page) Asked() <-chan struct{} { return p.first }

// Count returns what the page was asked so far.
func (o *Origin) Count(p *Page) Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	return p.count
}

// All returns what all pages together were asked so far.
func (o *Origin) All() Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

// Forget begins all counts anew. Nothing may be under way.
func (o *Origin) Forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = Count{}
	for _, p := range o.pages {
		p.count, p.first = Count{}, make(chan struct{})
	}
}

// Together has the page answer nobody before n requests have been there at the same time, so that it does not depend on the
// machine's speed whether they were. Where they cannot come together, answers are given after a few seconds all the same.
func (o *Origin) Together(p *Page, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.gather, p.full = n, make(chan struct{})
}

const gathering = 5 * time.Second

func (o *Origin) gathered(p *Page) {
	o.mu.Lock()
	full := p.full
	o.mu.Unlock()
	if full == nil {
		return
	}
	select {
	case <-full:
	case <-time.After(gathering):
	}
}

func (o *Origin) serve(w http.ResponseWriter, r *http.Request) {
	p, n := o.enter(r)
	if p == nil {
		o.elsewhere(w, r)
		return
	}
	defer o.leave(p)
	o.gathered(p)
	p.answer(w, r, n)
}

func (o *Origin) enter(r *http.Request) (*Page, int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pages[r.URL.Path]
	if p == nil {
		return nil, 0
	}
	for _, c := range []*Count{&p.count, &o.all} {
		c.Asked++
		c.Now++
		c.Most = max(c.Most, c.Now)
		if r.Method == http.MethodHead {
			c.Heads++
		}
		if r.Header.Get("If-None-Match") != "" {
			c.Conditional++
		}
	}
	if p.count.Asked == 1 {
		close(p.first)
	}
	if p.count.Most == p.gather && p.count.Now == p.gather && p.full != nil {
		select {
		case <-p.full:
		default:
			close(p.full)
		}
	}
	return p, p.count.Asked
}

func (o *Origin) leave(p *Page) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.count.Now--
	o.all.Now--
}

// Reset cuts the connection that w answers on, without a proper end.
func Reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
