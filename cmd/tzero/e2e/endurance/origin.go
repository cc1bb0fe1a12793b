package endurance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Origin is the app behind the gateway: honest, on net/http, and knows when its streams lost their client.
type Origin struct {
	mu   sync.Mutex
	gone map[string]time.Time // streams by id: when their request ended
	open map[string]bool
}

// Listen starts it on a free port of the loopback.
func (o *Origin) Listen(_ Nothing, url *string) error {
	o.gone, o.open = map[string]time.Time{}, map[string]bool{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	*url = "http://" + ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("/page", page)
	mux.HandleFunc("/api", api)
	mux.HandleFunc("/upload", upload)
	mux.HandleFunc("/download", download)
	mux.HandleFunc("/events", o.events)
	mux.HandleFunc("/never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/ws", echo)
	// The process ends with its standard input; nobody has to stop the server.
	go http.Serve(ln, mux)
	return nil
}

// Gone tells when the stream's connection ended; the zero time while it is open or was never opened.
func (o *Origin) Gone(id string, at *time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	*at = o.gone[id]
	return nil
}

// Open reports whether the stream has begun.
func (o *Origin) Open(id string, open *bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	*open = o.open[id]
	return nil
}

// page may be stored by everybody; of=N sets its size.
func page(w http.ResponseWriter, r *http.Request) {
	size := number(r, "of", 8<<10)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	_, _ = io.Copy(w, &repeated{text: "<p>The quick brown fox.</p>\n", left: size})
}

func api(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// upload answers with the number of bytes and their checksum.
func upload(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(sum.Sum(nil)))
}

// download sends of=N bytes of Content, in chunks with chunked=1, spread over ms=N milliseconds where given.
func download(w http.ResponseWriter, r *http.Request) {
	size, pause := number(r, "of", 1<<20), time.Duration(number(r, "ms", 0))*time.Millisecond
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Get("chunked") == "" {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	c := NewContent(size)
	if pause == 0 {
		_, _ = io.Copy(w, c)
		return
	}
	const parts = 20
	for i := range int64(parts) {
		_, _ = io.CopyN(w, c, size*(i+1)/parts-size*i/parts)
		_ = http.NewResponseController(w).Flush()
		if !wait(r.Context(), pause/parts) {
			return
		}
	}
}

// events is a stream of Server-Sent Events with an id: silent after the first one, or one every ms=N milliseconds.
func (o *Origin) events(w http.ResponseWriter, r *http.Request) {
	id, every := r.URL.Query().Get("id"), time.Duration(number(r, "ms", 0))*time.Millisecond
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	if cc := r.URL.Query().Get("cc"); cc != "" {
		w.Header().Set("Cache-Control", cc)
	}
	o.mark(o.open, id)
	defer o.end(id)
	for n := 0; ; n++ {
		if _, err := fmt.Fprintf(w, "id: %d\ndata: tick\n\n", n); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		if every == 0 {
			<-r.Context().Done()
			return
		}
		if !wait(r.Context(), every) {
			return
		}
	}
}

func (o *Origin) mark(set map[string]bool, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	set[id] = true
}

func (o *Origin) end(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone[id] = time.Now()
}

// echo sends every message back.
func echo(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		kind, msg, err := ws.Read(context.Background())
		if err != nil || ws.Write(context.Background(), kind, msg) != nil {
			return
		}
	}
}

// wait reports false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func number(r *http.Request, name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// repeated is a text over and over, cut at a size.
type repeated struct {
	text string
	left int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := int64(copy(p, strings.Repeat(r.text, 1+len(p)/len(r.text))))
	n = min(n, r.left)
	r.left -= n
	return int(n), nil
}
