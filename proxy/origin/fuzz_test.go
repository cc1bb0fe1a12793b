package origin

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
)

// FuzzResponse feeds an origin's bytes to an exchange. Whatever comes, the exchange ends with an answer
// or a typed error, a connection with anything left on it is never kept, and the books are balanced.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		ok("hello"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(""), "HTTP/1.0 200 OK\r\n\r\nrest", ok("x") + ok("y"),
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\nx",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n", "", "\r\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(7))
	}
	f.Fuzz(func(t *testing.T, response []byte, kind uint8) {
		ends := make(chan struct{})
		ps := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer close(ends)
				head := make([]byte, 4<<10)
				there.Read(head)
				there.Write(response)
				there.Close()
			}()
			return here, nil
		}})
		c := config("http://a:1")
		c.Passive.Failures = 0
		ps.Apply(map[string]Config{"app": c})
		ask(t, ps, kind)
		<-ends
		st := ps.Stats()[0]
		if st.InFlight != 0 || st.Queued != 0 || st.Streams != 0 || st.Uploads != 0 || st.Open != st.Idle {
			t.Errorf("stats %+v", st)
		}
		ps.shut()
		if st := ps.Stats(); len(st) != 0 {
			t.Errorf("left open: %+v", st)
		}
	})
}

func ask(t *testing.T, ps *Pools, kind uint8) {
	q := get("/")
	if kind&1 != 0 {
		q.Upgrade = []byte("websocket")
	}
	if kind&2 != 0 {
		q.Method = []byte("HEAD")
	}
	if kind&4 != 0 {
		q.Method, q.Body, q.Length = []byte("POST"), readyBody{}, 0
	}
	r, err := ps.Pool("app").Do(t.Context(), q)
	var e *Error
	if err != nil {
		if !errors.As(err, &e) || e.Kind == None || e.Error() == "" {
			t.Errorf("error %v", err)
		}
		return
	}
	defer r.Close()
	if r.Status == 101 {
		r.Conn.Close()
		if kind&1 == 0 {
			t.Error("switched protocols unasked")
		}
		return
	}
	n, err := io.Copy(io.Discard, &r.Body)
	if err != nil && !errors.As(err, &e) {
		t.Errorf("body: %v", err)
	}
	announces := string(q.Method) == "HEAD" || r.Status == 304 // a length that is not to come
	if err == nil && r.Length >= 0 && n != r.Length && !announces {
		t.Errorf("read %d of %d without an error", n, r.Length)
	}
	if err == nil && !r.Body.Done() && !r.CloseDelimited {
		t.Error("the body ended, and is not done")
	}
}

// FuzzTarget: whatever is taken as a target has a stable name.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"http://a", "https://a:1", "http://[::1]:80", "http://a/b", "x", "http://a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := parseTarget(raw)
		if err != nil {
			return
		}
		if b, err := parseTarget(a.url()); err != nil || a != b {
			t.Errorf("%q became %q, which became %+v, %v", raw, a.url(), b, err)
		}
	})
}
