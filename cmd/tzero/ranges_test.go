package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// film is an origin with one large file that changes at times, as a file server would serve it.
type film struct {
	size    int
	version atomic.Int64
	asked   atomic.Int64
	wait    time.Duration // before the first byte
}

func (f *film) content(version int64) []byte {
	b := make([]byte, f.size)
	_, _ = rand.NewChaCha8([32]byte{byte(version)}).Read(b)
	return b
}

func (f *film) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	version := f.version.Load()
	time.Sleep(f.wait)
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprint(version)))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content(version)))
}

// piece gets a range and compares every byte with the version that the answer names.
func (f *film) piece(t *testing.T, c *http.Client, url, rng string) *http.Response {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rng != "" {
		req.Header.Set("Range", rng)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%q: %v", rng, err)
	}
	var version int64
	if _, err := fmt.Sscanf(res.Header.Get("ETag"), `"%d"`, &version); err != nil {
		t.Errorf("%q: %d without a version: %v", rng, res.StatusCode, err)
		return res
	}
	f.compare(t, res, body, f.content(version))
	return res
}

func (f *film) compare(t *testing.T, res *http.Response, body, all []byte) {
	t.Helper()
	if kind, with, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind == "multipart/byteranges" {
		r := multipart.NewReader(bytes.NewReader(body), with["boundary"])
		for n := 0; ; n++ {
			p, err := r.NextRawPart()
			if err == io.EOF && n > 1 {
				return
			}
			if err != nil {
				t.Errorf("part %d: %v", n, err)
				return
			}
			b, _ := io.ReadAll(p)
			f.same(t, p.Header.Get("Content-Range"), b, all)
			if p.Header.Get("Content-Type") != "video/mp4" {
				t.Errorf("part %d is %q", n, p.Header.Get("Content-Type"))
			}
		}
	}
	switch res.StatusCode {
	case 200:
		if !bytes.Equal(body, all) {
			t.Errorf("a whole of %d bytes is not the version's", len(body))
		}
	case 206:
		f.same(t, res.Header.Get("Content-Range"), body, all)
	default:
		t.Errorf("status %d", res.StatusCode)
	}
}

func (f *film) same(t *testing.T, is string, piece, all []byte) {
	t.Helper()
	var first, last, size int
	if _, err := fmt.Sscanf(is, "bytes %d-%d/%d", &first, &last, &size); err != nil || size != len(all) || last >= size {
		t.Errorf("Content-Range %q", is)
		return
	}
	if !bytes.Equal(piece, all[first:last+1]) {
		t.Errorf("%d bytes are not %s", len(piece), is)
	}
}

// TestRangesAreExact: many clients seek in one film, which changes meanwhile; every byte of every answer is that
// of the version it names.
func TestRangesAreExact(t *testing.T) {
	f := &film{size: 2<<20 + 17}
	origin := httptest.NewServer(f)
	defer origin.Close()
	_, addr := gateway(t, origin.URL)
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var hits, joined atomic.Int64
	for film := range 3 {
		url := fmt.Sprintf("http://%s/film/%d", addr, film)
		var crowd sync.WaitGroup
		for viewer := range 6 {
			crowd.Go(func() {
				r := rand.New(rand.NewPCG(uint64(film), uint64(viewer)))
				for range 25 {
					if r.IntN(60) == 0 {
						f.version.Add(1)
					}
					res := f.piece(t, client, url, seek(r, f.size))
					switch status := res.Header.Get("Cache-Status"); {
					case strings.Contains(status, "hit"):
						hits.Add(1)
					case strings.Contains(status, "collapsed"):
						joined.Add(1)
					}
				}
			})
		}
		crowd.Wait()
	}
	t.Logf("%d hits, %d read along, the origin was asked %d times", hits.Load(), joined.Load(), f.asked.Load())
	if hits.Load() < 50 {
		t.Error("nearly nothing was reused")
	}
}

func seek(r *rand.Rand, size int) string {
	a, n := r.IntN(size), 1+r.IntN(size/3)
	switch r.IntN(8) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("bytes=%d-", a)
	case 2:
		return fmt.Sprintf("bytes=-%d", n)
	case 3:
		return "bytes=0-"
	case 4:
		return fmt.Sprintf("bytes=0-99,%d-%d,-50", size/2, size/2+n/2)
	}
	return fmt.Sprintf("bytes=%d-%d", a, a+n)
}

// TestCrowdAtTheBeginningAsksOnce: a player's first request is the same for everybody.
func TestCrowdAtTheBeginningAsksOnce(t *testing.T) {
	f := &film{size: 1 << 20, wait: 300 * time.Millisecond}
	origin := httptest.NewServer(f)
	defer origin.Close()
	_, addr := gateway(t, origin.URL)
	client := &http.Client{Timeout: 20 * time.Second}
	defer client.CloseIdleConnections()
	var crowd sync.WaitGroup
	for range 60 {
		crowd.Go(func() {
			if res := f.piece(t, client, "http://"+addr+"/film", "bytes=0-"); res != nil && res.StatusCode != 206 {
				t.Errorf("status %d", res.StatusCode)
			}
		})
	}
	crowd.Wait()
	if res := f.piece(t, client, "http://"+addr+"/film", ""); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	if n := f.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestCompletingIsNoClientsAffair: an origin that answers the question for the rest of a part with 304, which is
// no answer to If-Range, is asked for the whole; a client that set no condition sees none.
func TestCompletingIsNoClientsAffair(t *testing.T) {
	film := &film{size: 1000}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Range") != "" {
			w.Header().Set("ETag", r.Header.Get("If-Range"))
			w.WriteHeader(http.StatusNotModified)
			return
		}
		film.ServeHTTP(w, r)
	}))
	defer origin.Close()
	_, addr := gateway(t, origin.URL)
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	if res := film.piece(t, c, "http://"+addr+"/film", "bytes=0-99"); res.StatusCode != 206 {
		t.Fatal(res.Status)
	}
	if res := film.piece(t, c, "http://"+addr+"/film", ""); res.StatusCode != 200 {
		t.Fatal(res.Status, res.Header)
	}
}
