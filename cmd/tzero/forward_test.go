package main

import (
	"bytes"
	"net"
	"runtime"
	"strings"
	"testing"
)

// privateOrigin answers everything with size bytes that nobody may store. It is plain, so that what it
// allocates does not count as the gateway's: nothing.
func privateOrigin(tb testing.TB, size int) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Mon, 02 Jan 2023 15:04:05 GMT\r\nContent-Type: image/png\r\nX-Content-Type-Options: nosniff\r\n" +
		"Cache-Control: private, no-store\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("x", size))
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go answerAll(c, answer)
		}
	}()
	return "http://" + ln.Addr().String()
}

// answerAll answers every head that comes on a connection.
func answerAll(c net.Conn, answer []byte) {
	defer c.Close()
	buf := make([]byte, 8<<10)
	for n := 0; ; {
		k, err := c.Read(buf[n:])
		if n += k; err != nil {
			return
		}
		if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			n = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// TestForwardAllocatesNothing: 1,000 requests on a kept connection whose answers may not be stored, with all
// default features on.
func TestForwardAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector allocates; the promise is kept by the build without it")
		return
	}
	_, addr := gateway(t, privateOrigin(t, 1024))
	h := newHitter(t, addr)
	if !bytes.Contains(h.buf[:h.size], []byte("fwd=")) {
		t.Fatalf("not forwarded: %.300s", h.buf[:h.size])
	}
	var before, after runtime.MemStats
	const n = 1000
	best := uint64(1 << 62)
	for range 5 {
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			h.once(t)
		}
		runtime.ReadMemStats(&after)
		best = min(best, after.Mallocs-before.Mallocs)
	}
	if best > n/10 {
		t.Errorf("%d allocations for %d forwarded requests", best, n)
	}
	t.Logf("%d allocations for %d forwarded requests", best, n)
}

func BenchmarkForward(b *testing.B) {
	_, addr := gateway(b, privateOrigin(b, 1024))
	h := newHitter(b, addr)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		h.once(b)
	}
}
