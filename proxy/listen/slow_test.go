package listen

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/proxy"
)

func TestUploadRate(t *testing.T) {
	check := func(name string, bytes, waited, lasted, by int64, want bool) {
		t.Helper()
		var u uploading
		u.bytes.Store(bytes)
		u.waited.Store(waited)
		u.by.Store(by)
		if got := u.tooSlow(100_000, lasted, 512); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	check("ten seconds are free", 0, 9_000, 900, 0, false)
	check("then nothing is too slow", 0, 10_000, 1_000, 0, true)
	check("a byte a second is too slow", 20, 20_000, 0, 0, true)
	check("a slow phone is not", 20_000, 30_000, 5_000, 0, false)
	check("the route's time is over", 1<<30, 0, 0, 99_999, true)
	check("the route's time is not over", 0, 0, 0, 100_001, false)
}

// TestTricklingUploadEnds: a byte now and then resets every pause, and still does not last for ever.
func TestTricklingUploadEnds(t *testing.T) {
	s, addr := start(t, &echo{}, func(s *Settings) { s.Limits.BodyRate = 1 << 20 })
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	time.Sleep(100 * time.Millisecond)
	s.reg.each(func(c *conn) { c.up.waited.Store(11_000) }) // as if it had waited so long
	io.WriteString(c, "x")
	if got := drain(c, 3*time.Second); !strings.Contains(got, "HTTP/1.1 400") { // echo says 400 to any failure
		t.Errorf("got %q", got)
	}
	if s.Stats().Overdue.Body != 1 {
		t.Errorf("%+v", s.Stats())
	}
}

// slab answers with a large stored object, another one for every path.
type slab struct {
	echo
	body []byte
}

func (h *slab) Serve(x *proxy.Exchange) bool {
	r := &x.Res
	r.Status, r.Bytes, r.Length = 200, h.body, int64(len(h.body))
	r.Holds = r.Length
	for _, c := range x.Req.Path {
		r.Object = r.Object*31 + uint64(c)
	}
	return true
}

func TestSlowReadersKeepNoMoreThanTheirShare(t *testing.T) {
	h := &slab{body: make([]byte, 8<<20)}
	s, addr := start(t, h, func(s *Settings) { s.Limits.SlowReaders = conf.Size(24 << 20) })
	ask := func(path string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		return c
	}
	for i := range 4 {
		defer ask("/same").Close() // four clients of one object
		defer ask(fmt.Sprintf("/other-%d", i)).Close()
	}
	// Five objects of 8 MiB are being read slowly, three fit.
	deadline := time.Now().Add(5 * time.Second)
	for s.Stats().Unpinned < 2 && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(600 * time.Millisecond)
	if st := s.Stats(); st.Unpinned < 2 || st.Unpinned > 5 || st.Open < 3 {
		t.Errorf("%+v", st)
	}
}
