//go:build linux

package origin

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// wired is a wire and the other end of its connection.
func wired(t *testing.T) (*wire, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return newWire(near), far.(*net.TCPConn)
}

// What is owed goes out whole before anything is read, however little the socket takes at once, and its bytes are
// let go exactly once.
func TestOwedRequestIsSentByTheNextRead(t *testing.T) {
	for _, size := range []int{1, 600, 8 << 20} {
		w, far := wired(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		paid := 0
		if !w.owe(sent, true, func() { paid++ }) {
			t.Fatal("a socket cannot owe")
		}
		got := make(chan []byte)
		go func() {
			b := make([]byte, size)
			n, _ := io.ReadFull(far, b)
			far.Write([]byte("answer"))
			got <- b[:n]
		}()
		b := make([]byte, 64)
		n, err := w.Read(b)
		if err != nil || string(b[:n]) != "answer" {
			t.Fatalf("size %d: read %q, %v", size, b[:n], err)
		}
		if whole, dead := w.settle(); !whole || dead || paid != 1 || w.written != int64(size) {
			t.Errorf("size %d: whole %v, dead %v, paid %d times, written %d", size, whole, dead, paid, w.written)
		}
		if !bytes.Equal(<-got, sent) {
			t.Errorf("size %d: something else arrived", size)
		}
	}
}

// A connection on which something has arrived, or that has ended, gets not one byte of the request.
func TestOwedRequestStaysHereOnDeadConnection(t *testing.T) {
	for _, spoil := range []func(far *net.TCPConn){
		func(far *net.TCPConn) { far.Close() },
		func(far *net.TCPConn) { far.SetLinger(0); far.Close() },
		func(far *net.TCPConn) { far.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")) },
	} {
		w, far := wired(t)
		spoil(far)
		for w.alive() { // until it has arrived
		}
		paid := 0
		w.owe([]byte("GET"), true, func() { paid++ })
		if n, err := w.Read(make([]byte, 64)); n != 0 || err != errDead {
			t.Errorf("read %d bytes, %v", n, err)
		}
		if _, dead := w.settle(); !dead || paid != 1 || w.written != 0 {
			t.Errorf("dead %v, paid %d times, written %d", dead, paid, w.written)
		}
	}
}

// A connection that is closed while the request waits for room lets go of it all the same.
func TestOwedRequestIsLetGoWhenTheConnectionIsKilled(t *testing.T) {
	w, _ := wired(t)
	paid := 0
	w.owe(make([]byte, 64<<20), true, func() { paid++ })
	done := make(chan error)
	go func() {
		_, err := w.Read(make([]byte, 64))
		done <- err
	}()
	w.Close()
	if err := <-done; err == nil {
		t.Error("read from a closed connection")
	}
	if whole, dead := w.settle(); whole || dead || paid != 1 {
		t.Errorf("whole %v, dead %v, paid %d times", whole, dead, paid)
	}
}

// room lends one buffer, and counts.
type room struct {
	b     [64]byte
	lent  int
	holds bool
}

func (r *room) Lend() []byte { r.lent++; r.holds = true; return r.b[:] }
func (r *room) Return()      { r.holds = false }

// After a request has gone out on a connection that was seen to be empty, nothing is read before the answer is here.
func TestAnswerIsReadOnceItIsHere(t *testing.T) {
	w, far := wired(t)
	go func() {
		b := make([]byte, 64)
		for {
			if _, err := far.Read(b); err != nil {
				return
			}
			far.Write([]byte("answer"))
		}
	}()
	const n = 200
	var r room
	for range n {
		w.owe([]byte("request"), true, func() {})
		if k, err := w.ReadLazy(&r); err != nil || string(r.b[:k]) != "answer" || !r.holds {
			t.Fatalf("read %q, %v", r.b[:k], err)
		}
		if whole, dead := w.settle(); !whole || dead {
			t.Fatalf("whole %v, dead %v", whole, dead)
		}
	}
	if r.lent > n+n/10 { // the poller may wake without a reason, now and then
		t.Errorf("%d reads for %d answers", r.lent, n)
	}
}

// What had arrived before the request went out is read where nobody looked for it: the poller has told of it already.
func TestEarlyAnswerOnUnseenConnectionIsRead(t *testing.T) {
	w, far := wired(t)
	w.SetDeadline(time.Now().Add(10 * time.Second))
	told := false
	err := w.raw.Read(func(uintptr) bool { // waits for the news, and does not read
		if !told {
			told = true
			far.Write([]byte("answer"))
			return false
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	w.owe([]byte("request"), false, func() {})
	b := make([]byte, 64)
	if n, err := w.Read(b); err != nil || string(b[:n]) != "answer" {
		t.Errorf("read %q, %v", b[:n], err)
	}
}

// Whatever the other end does while a request goes out, and whenever, the read ends: with what came, or with the
// news that the connection is no good.
func TestOwedRequestMeetsWhatComesAtAnyMoment(t *testing.T) {
	for name, do := range map[string]func(far *net.TCPConn){
		"answers unasked": func(far *net.TCPConn) { far.Write([]byte("answer")) },
		"ends":            func(far *net.TCPConn) { far.CloseWrite() },
		"closes":          func(far *net.TCPConn) { far.Close() },
		"resets":          func(far *net.TCPConn) { far.SetLinger(0); far.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			for i := range 300 {
				w, far := wired(t)
				w.SetDeadline(time.Now().Add(10 * time.Second))
				go func() {
					for range i % 50 {
						runtime.Gosched()
					}
					do(far)
				}()
				paid := 0
				w.owe([]byte("request"), true, func() { paid++ })
				n, err := w.Read(make([]byte, 64))
				_, dead := w.settle()
				switch {
				case errors.Is(err, os.ErrDeadlineExceeded):
					t.Fatalf("turn %d: nothing was read in ten seconds", i)
				case n == 0 && err == nil, paid != 1, dead != (err == errDead), dead && w.written != 0:
					t.Fatalf("turn %d: %d bytes, %v; paid %d times, dead %v, %d written", i, n, err, paid, dead, w.written)
				}
				w.Close()
				far.Close()
			}
		})
	}
}
