package demo

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// events sends the time as Server-Sent Events until the visitor leaves, the app ends or an hour is
// over (the browser connects again by itself).
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	s.streams.Add(1)
	defer s.streams.Done()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", cacheNever)
	out := http.NewResponseController(w)
	tick := time.NewTicker(s.opts.Ticks)
	defer tick.Stop()
	end := time.NewTimer(maxStreamLife)
	defer end.Stop()

	for id := 1; ; id++ {
		_, err := fmt.Fprintf(w, "id: %d\nevent: clock\ndata: %s\n\n", id, s.opts.Now().UTC().Format(time.RFC3339))
		if err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		case <-s.opts.Done:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// echo sends every WebSocket message back.
func (s *site) echo(w http.ResponseWriter, r *http.Request) {
	s.streams.Add(1)
	defer s.streams.Done()
	w.Header().Set("Cache-Control", cacheNever)
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(maxMessage)

	// The request's context says nothing about a hijacked connection: this one ends with the app.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxStreamLife)
	defer cancel()
	over := make(chan struct{})
	defer func() { <-over }()
	echoing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer close(over)
		select {
		case <-s.opts.Done:
			_ = conn.Close(websocket.StatusGoingAway, "the app ends")
		case <-echoing.Done():
		}
	}()
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil || conn.Write(ctx, kind, message) != nil {
			return
		}
	}
}
