package endurance_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// goneWithin is the promise to origins: so long after its reader has gone a stream is still held open, at most.
const goneWithin = 5 * time.Second

// events kills readers of event streams; the origin must learn of it, whether the stream is busy or silent.
func events(t *testing.T, report *endurance.Report) {
	g := start(t, "compression: {types: [\"text/*\"]}\n")
	row := report.Row("Readers of Server-Sent Events vanish", "each after its first event; time until the origin's side of the stream is closed")
	row.Add("load average %s", harness.Busy())
	for i, c := range []struct{ name, method, query, lines string }{
		{"silent stream", "GET", "cc=no-cache", ""},
		{"silent, no Cache-Control", "GET", "", ""},
		{"silent, asked with Accept-Encoding", "GET", "cc=no-cache", "Accept-Encoding: gzip\r\n"},
		{"silent, asked with Cache-Control", "GET", "cc=no-cache", "Cache-Control: no-cache\r\nAccept: text/event-stream\r\n"},
		{"silent, answer to POST", "POST", "cc=no-cache", "Content-Length: 0\r\n"},
		{"an event every 100 ms", "GET", "cc=no-cache&ms=100", ""},
	} {
		for _, way := range []string{"closes", "resets"} {
			id := fmt.Sprintf("stream-%d-%s", i, way)
			nc := g.follow(t, c.method, "/events?id="+id+"&"+c.query, c.lines)
			left := time.Now()
			if tcp := nc.(*net.TCPConn); way == "resets" {
				_ = tcp.SetLinger(0)
			}
			nc.Close()
			took := g.goneAfter(t, c.name+", client "+way, id, left)
			row.Add("%s, client %s: %.1f s", c.name, way, took.Seconds())
		}
	}
}

// follow opens a stream and waits for its first event.
func (r *rig) follow(t *testing.T, method, path, lines string) net.Conn {
	t.Helper()
	nc := r.ask(t, method, path, lines)
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatalf("cannot read the answer to %s: %v", path, err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(res.Body, first); err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: status %d, no first event: %v", path, res.StatusCode, err)
	}
	return nc
}

// ask sends a request on a connection of its own.
func (r *rig) ask(t *testing.T, method, path, lines string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(nc, method+" "+path+" HTTP/1.1\r\nHost: launch.example\r\n"+lines+"\r\n"); err != nil {
		t.Fatalf("cannot ask for %s: %v", path, err)
	}
	return nc
}

// goneAfter waits for the origin to lose the stream.
func (r *rig) goneAfter(t *testing.T, name, id string, left time.Time) time.Duration {
	t.Helper()
	var gone time.Time
	endurance.Eventually(t, goneWithin+time.Second, name+": the origin's connection is closed", func() bool {
		gone = endurance.Ask[time.Time](t, r.origin, "Gone", id)
		return !gone.IsZero()
	})
	took := gone.Sub(left)
	if took > goneWithin {
		t.Errorf("%s: the origin's connection was closed after %v, not within %v", name, took, goneWithin)
	}
	return max(took, 0)
}
