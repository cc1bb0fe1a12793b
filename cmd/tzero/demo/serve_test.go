package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// serve runs the app as `tzero demo` does, and ends it with the test.
func serve(t *testing.T) (address string, end func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, ln) }()
	ended := false
	end = func() error { ended = true; cancel(); return <-result }
	t.Cleanup(func() {
		if !ended {
			_ = end()
		}
	})
	return ln.Addr().String(), end
}

func TestEarlyHintsComeBeforeThePage(t *testing.T) {
	address, _ := serve(t)
	var hints []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, " ", len(h["Link"])))
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://"+address+"/early", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if len(hints) != 1 || hints[0] != "103 2" || res.StatusCode != 200 || len(res.Header["Link"]) != 2 {
		t.Errorf("hints %q, then %d with %q", hints, res.StatusCode, res.Header["Link"])
	}
}

func TestWebSocketEchoesAndIsToldOfTheEnd(t *testing.T) {
	address, end := serve(t)
	conn, _, err := websocket.Dial(t.Context(), "ws://"+address+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.Read(t.Context()); err != nil || string(message) != "hello" {
		t.Fatalf("came back: %q, %v", message, err)
	}
	closed := make(chan error, 1)
	go func() {
		_, _, err := conn.Read(context.Background())
		closed <- err
	}()
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := <-closed; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the visitor was told %v", err)
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "cannot serve the demo origin on ") {
		t.Errorf("got %v", err)
	}
}
