package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/cache/l1"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/headers"
	"github.com/tzero-edge/tzero/proxy/origin"
	"github.com/tzero-edge/tzero/proxy/route"
	"github.com/tzero-edge/tzero/proxy/tunnel"
)

// rig is the journey with everything that it walks through, but for connections of clients.
type rig struct {
	edge  *proxy.Edge
	pools *origin.Pools
	tb    testing.TB
}

// newRig runs the journey before app.
func newRig(tb testing.TB) *rig {
	tb.Helper()
	return newRigOf(tb, app(tb))
}

// newRigOf runs the journey before an origin.
func newRigOf(tb testing.TB, url string) *rig {
	tb.Helper()
	tier, err := l1.New(64<<20, 0)
	if err != nil {
		tb.Fatal(err)
	}
	store := cache.New(cache.Default(), tier)
	pools := origin.New(origin.Options{Log: slog.New(slog.DiscardHandler)})
	c := origin.Default()
	c.Targets = []string{url}
	set, err := pools.Build(map[string]origin.Config{"app": c})
	if err != nil {
		tb.Fatal(err)
	}
	pools.Use(set)
	r := &rig{tb: tb, pools: pools, edge: proxy.New(proxy.Parts{
		Cache: store, Tunnels: tunnel.New(tunnel.Default()), Random: rand.Uint64, Log: slog.New(slog.DiscardHandler),
	})}
	r.edge.Use(generation(tb, set.Pool("app")))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- pools.Run(ctx) }()
	go func() { ended <- r.edge.Copyist().Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		<-ended
		<-ended
		if err := store.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// app is an origin of four pages that allocates nothing: /hit and /css may be stored, /own and others may not.
func app(tb testing.TB) (url string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { converse(c) })
		}
	})
	tb.Cleanup(func() {
		ln.Close()
		conns.Wait() // the pools have closed their connections
	})
	return "http://" + ln.Addr().String()
}

// converse answers one connection's requests, none of which has content.
func converse(c net.Conn) {
	defer c.Close()
	page := func(fields, content string) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nDate: %s\r\n%sContent-Length: %d\r\n\r\n%s",
			time.Now().UTC().Format(http.TimeFormat), fields, len(content), content)
	}
	hit := page("Content-Type: image/png\r\nCache-Control: max-age=3600\r\n", strings.Repeat("x", 1<<10))
	css := page("Content-Type: text/css\r\nCache-Control: max-age=3600\r\n", strings.Repeat(".a{color:#123456}\n", 1000))
	dyn := page("Content-Type: image/png\r\nCache-Control: private, no-store\r\n", strings.Repeat("x", 1<<10))
	own := page("Content-Type: text/css\r\nCache-Control: private\r\n", ownContent)
	in := bufio.NewReader(c)
	for {
		answer := dyn
		for first := true; ; first = false {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			switch {
			case first && bytes.HasPrefix(line, []byte("GET /hit ")):
				answer = hit
			case first && bytes.HasPrefix(line, []byte("GET /css ")):
				answer = css
			case first && bytes.HasPrefix(line, []byte("GET /own ")):
				answer = own
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}

// ownContent is what /own says: small enough to arrive with its head, and of a kind that is compressed.
var ownContent = strings.Repeat(".a{color:#123456}\n", 100)

// generation is one route to the origin with every default.
func generation(tb testing.TB, pool *origin.Pool) *proxy.Generation {
	tb.Helper()
	item := route.DefaultItem()
	item.Name, item.Origin = "all", "app"
	table, problems := route.New([]route.Config{item})
	clients, more := headers.New(headers.Default())
	encoder, still := encode.New(encode.Default())
	policy, err := cache.DefaultRoute().Compile()
	if len(problems)+len(more)+len(still) > 0 || err != nil {
		tb.Fatal(problems, more, still, err)
	}
	return &proxy.Generation{Number: 1, Since: time.Now(), Table: table, Clients: clients, Encoder: encoder, Plans: []proxy.Plan{{
		Route: table.Routes()[0], Pool: pool, OriginName: "app", Cache: policy, Compress: encode.ParseMode(item.Compress),
	}}}
}

// browserHead is what follows a browser's request line; more may come before the empty line.
const browserHead = " HTTP/1.1\r\nHost: shop.test\r\nConnection: keep-alive\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n" +
	"Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\nAccept-Encoding: gzip, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: _ga=GA1.1.1234567890.1700000000; theme=dark\r\n"

// visitor sends one request again and again, as a kept connection does.
type visitor struct {
	r      *rig
	x      proxy.Exchange
	req    http1.Request
	fields field.List // the journey takes lines out of the request's own
}

func (r *rig) visitor(path, more string) *visitor {
	v := &visitor{r: r}
	reader := http1.NewReader(strings.NewReader("GET "+path+browserHead+more+"\r\n"), http1.Limits{})
	if err := reader.ReadRequest(&v.req); err != nil {
		r.tb.Fatal(err)
	}
	v.fields = v.req.Fields.Clone()
	return v
}

// once walks one journey to its last byte; stored: nothing was asked of the origin, nor compressed in passing.
func (v *visitor) once() (status int, sent int64, stored bool) {
	x := &v.x
	x.Reset()
	v.req.Fields = append(v.req.Fields[:0], v.fields...)
	x.Req, x.Peer, x.Started, x.Carrier = &v.req, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1234), time.Now(), alone{}
	v.r.edge.Serve(x)
	sent = int64(len(x.Res.Bytes))
	if x.Res.Stream != nil {
		var err error
		if sent, err = x.Res.Stream.WriteTo(io.Discard); err != nil {
			v.r.tb.Fatal(err)
		}
	}
	stored = x.Res.Stream == nil && x.Out.OriginStatus == 0
	v.r.edge.Finish(x, sent, nil)
	return x.Res.Status, sent, stored
}

// alone is a client who stays.
type alone struct{ proxy.Carrier }

func (alone) Gone() <-chan struct{}         { return nil }
func (alone) Interim(int, field.List) error { return nil }

// journeys are the ways of a request that allocate nothing, the origin's side included.
var journeys = []struct {
	name, path, more string
	status           int
	stored           bool
}{
	{"hit", "/hit", "", 200, true},
	{"hit-304", "/hit", "If-None-Match: \"v1\"\r\n", 304, true},
	{"hit-compressed", "/css", "", 200, true},
	{"hit-range", "/hit", "Range: bytes=0-99\r\n", 206, true},
	{"forward", "/dyn", "", 200, false},
}

// warm repeats a journey until its answer is what it is going to be: stored, and compressed where it deserves that.
func (v *visitor) warm(status int, stored bool) {
	v.r.tb.Helper()
	for range 1000 {
		got, _, kept := v.once()
		if got == status && kept == stored {
			return
		}
		<-time.After(time.Millisecond)
	}
	v.r.tb.Fatalf("%s is not answered with %d, stored %v", v.req.Path, status, stored)
}

func BenchmarkJourney(b *testing.B) {
	r := newRig(b)
	for _, j := range journeys {
		b.Run(j.name, func(b *testing.B) {
			v := r.visitor(j.path, j.more)
			v.warm(j.status, j.stored)
			b.ReportAllocs()
			for b.Loop() {
				if status, _, _ := v.once(); status != j.status {
					b.Fatal(status)
				}
			}
		})
	}
}

func TestJourneysAllocateNothing(t *testing.T) {
	r := newRig(t)
	for _, j := range journeys {
		v := r.visitor(j.path, j.more)
		v.warm(j.status, j.stored)
		// The mean is rounded down: the tier's admission allocates one list in 64 hits.
		if n := testing.AllocsPerRun(1000, func() { v.once() }); n > 0 && !raced {
			t.Errorf("%s: %v allocations", j.name, n)
		}
	}
}
