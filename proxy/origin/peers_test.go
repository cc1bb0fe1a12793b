package origin

import (
	"io"
	"net/http"
	"testing"

	"github.com/valyala/fasthttp"
)

// The same exchange with the clients that others would use.

func BenchmarkPeerFasthttp(b *testing.B) {
	s := benchServer(b)
	c := fasthttp.HostClient{Addr: s.Addr().String()}
	defer c.CloseIdleConnections()
	q := benchRequest()
	var req fasthttp.Request
	var res fasthttp.Response
	req.SetRequestURI(s.url() + string(q.Target))
	for _, f := range q.Fields {
		req.Header.SetBytesKV(f.Name, f.Value)
	}
	defer cpu(b)()
	for b.Loop() {
		if err := c.Do(&req, &res); err != nil || len(res.Body()) != 1<<10 {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeerNetHTTP(b *testing.B) {
	s := benchServer(b)
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	q := benchRequest()
	req, err := http.NewRequest("GET", s.url()+string(q.Target), nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range q.Fields {
		req.Header.Set(string(f.Name), string(f.Value))
	}
	buf := make([]byte, 4<<10)
	defer cpu(b)()
	for b.Loop() {
		res, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := res.Body.Read(buf); err == io.EOF {
				break
			}
		}
		res.Body.Close()
	}
}
