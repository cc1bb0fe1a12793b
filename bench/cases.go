//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tzero-edge/tzero/bench/load"
)

// scenario is a kind of load.
type scenario struct {
	name     string
	title    string
	requests func() ([]load.Request, []uint32)
	forwards float64 // share of the requests that has to reach the origin
	large    bool    // nginx does better with sendfile
	rate     float64 // of the open loop, requests a second
}

var (
	hit1K    = scenario{"hit-1k", "hit, 1 KiB", single(path1K, http.StatusOK, 1<<10, ""), 0, false, 6000}
	changing = scenario{"hit-1k-changing", "hit, 1 KiB, changing fields", changingLoad, 0, false, 6000}
	hit100K  = scenario{"hit-100k", "hit, 100 KiB", single(path100K, http.StatusOK, 100<<10, ""), 0, true, 2000}
	hitPre   = scenario{"precompressed", "hit, gzip from the origin", single(pathPre, http.StatusOK, int64(len(preContent)), ""), 0, false, 5000}
	hit304   = scenario{"hit-304", "hit, 304", single(path1K, http.StatusNotModified, 0, etagOf(path1K)), 0, false, 6000}
	forward  = scenario{"forward-1k", "forwarded, 1 KiB", single(pathDyn, http.StatusOK, 1<<10, ""), 1, false, 3000}
	mixed    = scenario{"mixed", "mixed, Zipf", mixedLoad, mixedDyn, false, 4000}
	everyone = []scenario{hit1K, changing, hit100K, hitPre, hit304, forward, mixed}
)

// cell is a scenario with a number of connections: one row of the tables.
type cell struct {
	scenario
	connections int
	rounds      int
	open        bool // an open loop at the scenario's rate
}

func (c cell) id() string {
	kind := "closed"
	if c.open {
		kind = "open"
	}
	return fmt.Sprintf("%s/%d/%s", c.name, c.connections, kind)
}

// plan is how much is measured.
type plan struct {
	cells           []cell
	warm, measure   time.Duration
	idleConnections int
	idleTime        time.Duration
	crowd           int // objects for the comparison of p99.9; 0: leave it out
	crowdMeasure    time.Duration
}

// fullPlan takes about a quarter of an hour. Rows with a target are measured more often.
func fullPlan() plan {
	p := plan{warm: 300 * time.Millisecond, measure: 2 * time.Second, idleConnections: 15000, idleTime: time.Minute,
		crowd: 1_000_000, crowdMeasure: 30 * time.Second}
	for _, s := range everyone {
		if s.name == changing.name { // beside the row that it is compared with
			p.cells = append(p.cells, cell{s, 64, 5, false})
			continue
		}
		for _, n := range []int{16, 64, 512} {
			rounds := 3
			if n == 64 || s.name == hit1K.name && n == 512 {
				rounds = 5
			}
			p.cells = append(p.cells, cell{s, n, rounds, false})
		}
		p.cells = append(p.cells, cell{s, 64, 3, true})
	}
	return p
}

// quickPlan takes between two and three minutes: the rows with targets, and a look at the others.
func quickPlan() plan {
	p := plan{warm: 200 * time.Millisecond, measure: time.Second, idleConnections: 2000, idleTime: 10 * time.Second}
	for _, s := range everyone {
		p.cells = append(p.cells, cell{s, 64, 3, false})
	}
	p.cells = append(p.cells, cell{hit1K, 512, 3, false}, cell{hit1K, 64, 1, true}, cell{forward, 64, 1, true})
	return p
}

// browserHead is what a current browser sends beside the request line, with two cookies: about 600 bytes.
const browserHead = "Host: www.launch.example\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
	"Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\n" +
	"Accept-Encoding: gzip, br, zstd\r\n" +
	"Referer: https://www.launch.example/\r\n" +
	"Sec-Ch-Ua: \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"\r\nSec-Ch-Ua-Mobile: ?0\r\n" +
	"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n" +
	"Cookie: theme=dark; _ga=GA1.2.1234567890.1732300000\r\n"

func request(path, etag string) []byte {
	var b strings.Builder
	b.WriteString("GET " + path + " HTTP/1.1\r\n" + browserHead)
	if etag != "" {
		b.WriteString("If-None-Match: " + etag + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

func single(path string, status int, length int64, etag string) func() ([]load.Request, []uint32) {
	return func() ([]load.Request, []uint32) {
		return []load.Request{{Bytes: request(path, etag), Status: status, Length: length}}, []uint32{0}
	}
}

// changingKinds are the fields by which a browser's requests for a document, a script, an image and a fetch() differ.
var changingKinds = []string{
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n" +
		"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n",
	"Accept: */*\r\nOrigin: https://www.launch.example\r\nSec-Fetch-Dest: script\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\nPriority: u=1\r\n",
	"Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n" +
		"Sec-Fetch-Dest: image\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nPriority: u=5, i\r\n",
	"Accept: application/json\r\nX-Requested-With: fetch\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\nPriority: u=4\r\n",
}

// changingLoad asks for the same object with fields that no request repeats: the kinds come in a random order, and the
// page that each refers to has a running number.
func changingLoad() (requests []load.Request, order []uint32) {
	const page = "Referer: https://www.launch.example/questions/"
	for _, kind := range changingKinds {
		b := []byte("GET " + path1K + " HTTP/1.1\r\nHost: www.launch.example\r\n" +
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n" +
			kind + page + strings.Repeat("0", load.NumberDigits) + "\r\n" +
			"Accept-Language: en-GB,en;q=0.9,de;q=0.7\r\nAccept-Encoding: gzip, br, zstd\r\n" +
			"Sec-Ch-Ua: \"Chromium\";v=\"131\", \"Not_A Brand\";v=\"24\"\r\nSec-Ch-Ua-Mobile: ?0\r\n" +
			"Cookie: theme=dark; _ga=GA1.2.1234567890.1732300000\r\n\r\n")
		requests = append(requests, load.Request{Bytes: b, Status: http.StatusOK, Length: 1 << 10, Number: bytes.Index(b, []byte(page)) + len(page)})
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 1 << 12 {
		order = append(order, rnd.Uint32N(uint32(len(requests))))
	}
	return requests, order
}

// The mixed load: objects by Zipf's law, some revalidated, some requests forwarded.
const (
	mixedObjects = 5000
	mixedExp     = 1.1
	mixed304     = 0.10
	mixedDyn     = 0.05
)

// mixedLoad is the same sequence for every server and every round.
func mixedLoad() (requests []load.Request, order []uint32) {
	for n := range mixedObjects {
		path := fmt.Sprintf("%s%d", pathZipf, n)
		requests = append(requests,
			load.Request{Bytes: request(path, ""), Status: http.StatusOK, Length: int64(zipfSize(n))},
			load.Request{Bytes: request(path, etagOf(path)), Status: http.StatusNotModified, Length: 0})
	}
	requests = append(requests, load.Request{Bytes: request(pathDyn, ""), Status: http.StatusOK, Length: 1 << 10})
	rnd := rand.New(rand.NewPCG(1, 2))
	share := zipfShares(mixedObjects, mixedExp)
	for range 1 << 16 {
		kind := rnd.Float64()
		if kind < mixedDyn {
			order = append(order, 2*mixedObjects)
			continue
		}
		n, _ := slices.BinarySearch(share, rnd.Float64())
		pick := uint32(2 * min(n, mixedObjects-1))
		if kind < mixedDyn+mixed304 {
			pick++
		}
		order = append(order, pick)
	}
	return requests, order
}

// zipfShares returns the cumulated shares of n objects: the kth is asked for in proportion to 1/k^s.
func zipfShares(n int, s float64) []float64 {
	shares := make([]float64, n)
	sum := 0.0
	for i := range shares {
		sum += math.Pow(float64(i+1), -s)
		shares[i] = sum
	}
	for i := range shares {
		shares[i] /= sum
	}
	return shares
}

// numbered is a request for one of many objects, with room for its number.
func numbered() load.Request {
	b := request(pathMany+strings.Repeat("0", load.NumberDigits), "")
	return load.Request{Bytes: b, Status: http.StatusOK, Length: 1 << 10,
		Number: bytes.Index(b, []byte(pathMany)) + len(pathMany)}
}
