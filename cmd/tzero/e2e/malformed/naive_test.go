package malformed_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/malformed"
)

// TestNaive shows that the table can fail: a proxy that hands bytes through has every fault it can have.
func TestNaive(t *testing.T) {
	origin := newOrigin(t)
	res := run(t, "pass-through", passThrough(t, origin.Addr()), origin, load(t), malformed.Options{House: true})
	for fault, least := range map[malformed.Fault]int{
		malformed.Dangerous: 200, malformed.WronglyAccepted: 200, malformed.Smuggled: 20, malformed.Altered: 10,
	} {
		if n := res.Count(fault); n < least {
			t.Errorf("%s: %d cases, want at least %d", fault, n, least)
		}
	}
}

// TestCareless shows the other half of the faults, with a server that refuses every case and serves what is behind it.
func TestCareless(t *testing.T) {
	origin := newOrigin(t)
	addr := listen(t, func(client *net.TCPConn) { careless(client, origin.Addr()) })
	res := run(t, "careless", addr, origin, load(t), malformed.Options{House: true})
	for fault, least := range map[malformed.Fault]int{
		malformed.SmuggledAnswered: 300, malformed.Smuggled: 300, malformed.WronglyRefused: 100,
	} {
		if n := res.Count(fault); n < least {
			t.Errorf("%s: %d cases, want at least %d", fault, n, least)
		}
	}
}

// careless answers 400 to whatever comes first, looks for the pipelined request and forwards that one.
func careless(client *net.TCPConn, target string) {
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	var seen strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		seen.Write(buf[:n])
		text := seen.String()
		at := max(strings.LastIndex(text, "GET /smuggled-"), strings.LastIndex(text, "GET /next-"))
		if at >= 0 && strings.HasSuffix(text, "close\r\n\r\n") {
			forward(client, target, text[at:])
			return
		}
		if err != nil {
			return
		}
	}
}

func forward(client io.Writer, target, request string) {
	origin, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer origin.Close()
	fmt.Fprint(origin, request)
	resp, err := http.ReadResponse(bufio.NewReader(origin), nil)
	if err != nil {
		return
	}
	resp.Write(client)
}

// passThrough copies bytes in both directions and nothing else.
func passThrough(t *testing.T, target string) string {
	t.Helper()
	return listen(t, func(client *net.TCPConn) { splice(client, target) })
}

// listen serves connections until the test ends and waits for all of them.
func listen(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { ln.Close() })
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(client.(*net.TCPConn)) })
		}
	})
	return ln.Addr().String()
}

func splice(client *net.TCPConn, target string) {
	defer client.Close()
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	origin := conn.(*net.TCPConn)
	defer origin.Close()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(origin, client)
		origin.CloseWrite()
	})
	io.Copy(client, origin)
	client.CloseWrite()
	up.Wait()
}
