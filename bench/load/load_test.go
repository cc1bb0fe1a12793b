//go:build linux

package load

import (
	"bytes"
	"encoding/gob"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestQuantilesAreWithinOnePercent(t *testing.T) {
	var h Histogram
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 20000 {
		d := time.Duration(rnd.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{.5, .9, .99, .999} {
		want := float64(all[int(q*float64(len(all)))])
		if got := float64(h.Quantile(q)); got < 0.98*want || got > 1.02*want {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	if h.Quantile(1) != all[len(all)-1] {
		t.Errorf("the greatest is %v, want %v", h.Quantile(1), all[len(all)-1])
	}
}

func TestEverySlotEndsBeforeTheNextBegins(t *testing.T) {
	for slot := range slotOf(time.Hour) {
		end := upperEnd(slot)
		if slotOf(end) != slot || slotOf(end+1) != slot+1 {
			t.Fatalf("slot %d ends at %d, which lies in %d; one more in %d", slot, end, slotOf(end), slotOf(end+1))
		}
	}
}

func TestAnswersAreReadHoweverTheyAreCut(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nServer: x\r\nCONTENT-LENGTH: 5\r\nEtag: \"a\"\r\n\r\nhello"
	for cut := 1; cut < len(answer); cut++ {
		var r response
		if done, fault := r.feed([]byte(answer[:cut])); done || fault != "" {
			t.Fatalf("cut at %d: done %v, fault %q after the first piece", cut, done, fault)
		}
		done, fault := r.feed([]byte(answer[cut:]))
		if !done || fault != "" || r.judge(&Request{Status: 200, Length: 5}) != "" {
			t.Fatalf("cut at %d: done %v, fault %q, %+v", cut, done, fault, r)
		}
	}
}

func TestWrongAnswersAreNamed(t *testing.T) {
	fault := func(answer, want string) {
		t.Helper()
		var r response
		done, got := r.feed([]byte(answer))
		if done {
			got = r.judge(&Request{Status: 200, Length: 2})
		}
		if got != want {
			t.Errorf("%q: fault %q, want %q", answer, got, want)
		}
	}
	fault("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "")
	fault("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok!", "length-3")
	fault("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP", "surplus")
	fault("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no-content-length")
	fault("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status-503")
	fault("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "status-304")
	fault("SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", "not-http")
}

// site is a server whose answers the test decides.
func site(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

var get = Request{Bytes: []byte("GET /a HTTP/1.1\r\nHost: x\r\n\r\n"), Status: 200, Length: 2}

func TestClosedLoopCountsWhatItMeasured(t *testing.T) {
	addr := site(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	res, err := Run(&Job{Addr: addr, Connections: 4, Threads: 2, Requests: []Request{get}, Order: []uint32{0},
		Warm: 20 * time.Millisecond, Measure: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if res.Requests == 0 || res.Latency.N != res.Requests || res.Bytes != 2*res.Requests || len(res.Faults) > 0 || res.Own <= 0 {
		t.Errorf("found %d requests, %d latencies, %d bytes, %v of own CPU time, faults %v", res.Requests, res.Latency.N, res.Bytes, res.Own, res.Faults)
	}
}

func TestNumberedRequestsAreAllDifferent(t *testing.T) {
	var mu sync.Mutex
	paths := map[string]bool{}
	addr := site(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths[r.URL.Path] = true
		mu.Unlock()
		_, _ = io.WriteString(w, "ok")
	})
	q := Request{Bytes: []byte("GET /n/" + strings.Repeat("0", NumberDigits) + " HTTP/1.1\r\nHost: x\r\n\r\n"), Status: 200, Length: 2, Number: 7}
	if _, err := Run(&Job{Addr: addr, Connections: 4, Threads: 2, Requests: []Request{q}, Order: []uint32{0}, Limit: 60, FirstNumber: 1000}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(paths) != 60 || !paths["/n/0000001000"] || !paths["/n/0000001059"] {
		t.Errorf("%d different paths, want 60 from 1000 on", len(paths))
	}
}

// A server that stalls once must show in the high quantiles with all the requests that were due meanwhile.
func TestOpenLoopCountsFromWhenARequestWasDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var n atomic.Int64
	addr := site(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 100 {
			time.Sleep(stall)
		}
		_, _ = io.WriteString(w, "ok")
	})
	res, err := Run(&Job{Addr: addr, Connections: 1, Requests: []Request{get}, Order: []uint32{0}, Measure: time.Second, Rate: 500})
	if err != nil {
		t.Fatal(err)
	}
	if res.Requests < 495 || res.Requests > 505 {
		t.Errorf("%d requests, want 500", res.Requests)
	}
	// 100 of the 500 requests were due during the stall: a tenth of all waited for half of it or more.
	if got := res.Latency.Quantile(.9); got < stall*4/10 {
		t.Errorf("p90 is %v, want about half of the stall of %v", got, stall)
	}
}

func TestRefusedConnectionsAreAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := Run(&Job{Addr: ln.Addr().String(), Connections: 1, Requests: []Request{get}, Order: []uint32{0}, Limit: 1}); err == nil {
		t.Error("nobody listens, and there is no error")
	}
}

func TestHoldTellsHowManyStayOpen(t *testing.T) {
	addr := site(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Hold(in, out) }()
	if err := gob.NewEncoder(feed).Encode(Job{Addr: addr, Connections: 3, Requests: []Request{get}}); err != nil {
		t.Fatal(err)
	}
	dec := gob.NewDecoder(answers)
	var h Holding
	if err := dec.Decode(&h); err != nil || h.Open != 3 {
		t.Fatalf("opened %d, %v; want 3", h.Open, err)
	}
	feed.Close()
	if err := dec.Decode(&h); err != nil || h.Open != 3 {
		t.Fatalf("%d still open, %v; want 3", h.Open, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestServeReadsAJobAndWritesAResult(t *testing.T) {
	addr := site(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	var in, out bytes.Buffer
	if err := gob.NewEncoder(&in).Encode(Job{Addr: addr, Connections: 1, Requests: []Request{get}, Order: []uint32{0}, Limit: 5}); err != nil {
		t.Fatal(err)
	}
	if err := Serve(&in, &out); err != nil {
		t.Fatal(err)
	}
	var res Result
	if err := gob.NewDecoder(&out).Decode(&res); err != nil || res.Requests != 5 {
		t.Errorf("%d requests, %v; want 5", res.Requests, err)
	}
}
