package proxy_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/encode"
)

// asked is a request of one connection, as its Reader has it: sections that are the same have the same number.
type asked struct {
	path, fields string
}

func (a asked) parse(tb testing.TB, section uint32) *http1.Request {
	req := new(http1.Request)
	rd := http1.NewReader(strings.NewReader("GET "+a.path+" HTTP/1.1\r\nHost: shop.test\r\n"+a.fields+"\r\n"), http1.DefaultLimits())
	if err := rd.ReadRequest(req); err != nil {
		tb.Fatal(err)
	}
	req.Section = section
	return req
}

// answered is what a client and the log see of an answer.
func answered(r *rig, x *proxy.Exchange, req *http1.Request, now time.Time, m *proxy.Memory) string {
	x.Reset()
	x.Req, x.Peer, x.Started, x.Carrier, x.Before = req, netip.MustParseAddrPort("192.0.2.1:1234"), now, alone{}, m
	r.edge.Serve(x)
	var content bytes.Buffer
	content.Write(x.Res.Bytes)
	if x.Res.Stream != nil {
		_, _ = x.Res.Stream.WriteTo(&content)
	}
	r.edge.Finish(x, 0, nil)
	return fmt.Sprintf("%d %s\n%s%x", x.Res.Status, x.Out.CacheReason, x.Res.AppendFields(nil), content.Bytes())
}

// TestMemoryChangesNoAnswer: whatever a connection's requests repeat of their fields, and whatever is reloaded between
// them, each gets the answer that it gets of a gateway without a memory.
func TestMemoryChangesNoAnswer(t *testing.T) {
	r := newRig(t)
	r.visitor("/hit", "").warm(200, true)
	r.visitor("/css", "").warm(200, true)
	r.visitor("/css", "Accept-Encoding: gzip;q=0, br;q=0\r\n").warm(200, true)
	sections := []string{
		"Accept-Encoding: zstd\r\n", "Accept-Encoding: gzip\r\n", "Accept-Encoding: identity\r\n", "Accept: */*\r\n",
		"If-None-Match: \"v1\"\r\n", "Range: bytes=0-9\r\n", "If-Match: \"v1\"\r\n",
		"Cache-Control: only-if-cached, max-age=0\r\n", "Cookie: a=b\r\nAccept-Encoding: zstd\r\n",
	}
	for _, s := range sections { // every copy that is asked for is there
		v := r.visitor("/css", "")
		v.fields = append(field.List{{Name: []byte("Host"), Value: []byte("shop.test")}}, asked{"/css", s}.parse(t, 0).Fields...)
		for range 1000 {
			if _, _, stored := v.once(); stored || !strings.HasPrefix(s, "Accept-Encoding") {
				break
			}
			<-time.After(time.Millisecond)
		}
	}
	first := r.edge.Generation()
	c := encode.Default()
	c.Codings = []string{"gzip"}
	encoder, problems := encode.New(c)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	second := *first
	second.Encoder = encoder
	rnd, now := rand.New(rand.NewPCG(3, 4)), time.Now()
	var x, plain proxy.Exchange
	for range 60 {
		var m proxy.Memory
		number, section := uint32(0), 0
		for range 40 {
			switch rnd.IntN(6) {
			case 0:
				number, section = number+1, rnd.IntN(len(sections))
			case 1:
				m.Forget()
			case 2:
				r.edge.Use(first)
			case 3:
				r.edge.Use(&second)
			}
			a := asked{[]string{"/hit", "/css"}[rnd.IntN(2)], sections[section]}
			got := answered(r, &x, a.parse(t, number), now, &m)
			if want := answered(r, &plain, a.parse(t, 0), now, nil); got != want {
				t.Fatalf("%+v: got\n%.400s\nwant\n%.400s", a, got, want)
			}
		}
	}
}
