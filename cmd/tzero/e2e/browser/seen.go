package browser

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
)

// Request is one request of a page and its answer. A redirected request gives one Request for each hop.
type Request struct {
	Method, URL string
	Kind        string      // "Document", "Script", "Image", "Fetch", "EventSource", "WebSocket" …
	Status      int         // what the page got; 0 when no answer came
	Wire        int         // what came over the wire: 304 where the page got its own copy; 0 when nothing was asked
	Header      http.Header // as it came over the wire, else as the browser had kept it
	EarlyHints  http.Header // of a 103, where the browser took notice of one
	Protocol    string      // "http/1.1", "h2"
	FromCache   bool        // the browser's own
	Bytes       int         // over the wire, with the head
	Err         string      // "net::ERR_…", when it failed

	id    network.RequestID
	done  bool
	extra bool // what came over the wire is known, or will never be told
}

// Message is a line of the console: an error or a warning, an exception that nobody caught, or what the
// browser itself had to say.
type Message struct {
	Level string // "error", "warning", "exception"
	Text  string
	URL   string
}

// Seen is what a tab saw.
type Seen struct {
	Requests []Request // in the order in which they were begun
	Console  []Message
}

// Complaints are what a page without faults does not have: console messages, and requests that failed or
// were answered with an error. Requests that the page itself gave up do not count, nor does a missing
// /favicon.ico: the browser asks for that unbidden, where the page names no icon.
func (s Seen) Complaints() []string {
	var all []string
	for _, m := range s.Console {
		if !strings.HasSuffix(m.URL, "/favicon.ico") {
			all = append(all, fmt.Sprintf("console %s: %s (%s)", m.Level, m.Text, m.URL))
		}
	}
	for _, r := range s.Requests {
		failed := r.Err != "" && r.Err != "net::ERR_ABORTED" || r.Status >= 400
		if failed && !strings.HasSuffix(r.URL, "/favicon.ico") {
			all = append(all, fmt.Sprintf("%s %s: %d %s", r.Method, r.URL, r.Status, r.Err))
		}
	}
	return all
}

// Find returns the last request whose URL ends with suffix.
func (s Seen) Find(suffix string) (Request, bool) {
	for _, r := range slices.Backward(s.Requests) {
		if strings.HasSuffix(r.URL, suffix) {
			return r, true
		}
	}
	return Request{}, false
}

// CacheTable lists every request with the Cache-Status of its answer.
func (s Seen) CacheTable() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "status\tkind\tCache-Status\trequest")
	for _, r := range s.Requests {
		status := strings.Join(r.Header.Values("Cache-Status"), ", ")
		if r.FromCache {
			status = "(the browser's own cache)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s %s\n", r.Wire, r.Kind, status, r.Method, r.URL)
	}
	_ = w.Flush() // a strings.Builder does not fail
	return b.String()
}

// observer turns the browser's events into Seen. handle runs on the goroutine that reads the browser's
// messages, the rest on the test's.
type observer struct {
	changed chan struct{} // holds one token after something happened

	mu       sync.Mutex
	requests []*Request
	console  []Message
}

func (o *observer) report() Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Seen{Console: slices.Clone(o.console)}
	for _, r := range o.requests {
		s.Requests = append(s.Requests, *r)
	}
	return s
}

func (o *observer) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = slices.DeleteFunc(o.requests, func(r *Request) bool { return r.done || r.endless() })
	o.console = nil
}

// endless reports whether nobody waits for the end of a request. That is so for streams; for what a script
// fetches, once the head is there, since it may leave the body unread for ever; and for what the browser
// asks behind the page's back: of a revalidation while it shows a stale answer, it reads only the head.
func (r *Request) endless() bool {
	switch r.Kind {
	case "EventSource", "WebSocket", "Media", "Ping":
		return true
	case "Fetch", "XHR", "Other":
		return r.Status != 0
	}
	return false
}

// underway lists the requests that a page which has loaded still waits for.
func (o *observer) underway() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var waiting []string
	for _, r := range o.requests {
		if !r.done && !r.endless() {
			waiting = append(waiting, r.URL)
		}
	}
	return waiting
}

// last finds the newest request with an id: the hops of a redirect share one.
func (o *observer) last(id network.RequestID) *Request {
	for _, r := range slices.Backward(o.requests) {
		if r.id == id {
			return r
		}
	}
	return &Request{} // begun before Listen or Forget: nobody asks for it
}

// wired finds the request that the next report from the wire is about. These reports come in the order of
// the hops, but often only after the next hop has begun.
func (o *observer) wired(id network.RequestID) *Request {
	for _, r := range o.requests {
		if r.id == id && !r.extra {
			return r
		}
	}
	return &Request{}
}

func (o *observer) handle(event any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		o.begin(e)
	case *network.EventResponseReceived:
		r := o.last(e.RequestID)
		r.Kind = string(e.Type)
		r.take(e.Response)
	case *network.EventResponseReceivedExtraInfo:
		r := o.wired(e.RequestID)
		r.Wire, r.Header, r.extra = int(e.StatusCode), header(e.Headers), true
	case *network.EventResponseReceivedEarlyHints:
		o.last(e.RequestID).EarlyHints = header(e.Headers)
	case *network.EventRequestServedFromCache:
		o.last(e.RequestID).FromCache = true
	case *network.EventDataReceived: // the page is not settled yet
	case *network.EventLoadingFinished:
		r := o.last(e.RequestID)
		r.done, r.Bytes = true, int(e.EncodedDataLength)
	case *network.EventLoadingFailed:
		r := o.last(e.RequestID)
		r.done, r.Err = true, e.ErrorText
	case *network.EventWebSocketCreated:
		o.requests = append(o.requests, &Request{Method: "GET", URL: e.URL, Kind: "WebSocket", id: e.RequestID})
	case *network.EventWebSocketHandshakeResponseReceived:
		r := o.last(e.RequestID)
		r.Status, r.Wire, r.Header = int(e.Response.Status), int(e.Response.Status), header(e.Response.Headers)
	case *network.EventWebSocketClosed:
		o.last(e.RequestID).done = true
	case *runtime.EventConsoleAPICalled:
		o.say(string(e.Type), arguments(e.Args), "")
	case *runtime.EventExceptionThrown:
		o.say("exception", exception(e.ExceptionDetails), e.ExceptionDetails.URL)
	case *log.EventEntryAdded:
		o.say(string(e.Entry.Level), e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

func (o *observer) begin(e *network.EventRequestWillBeSent) {
	if e.RedirectResponse != nil {
		hop := o.last(e.RequestID)
		hop.take(e.RedirectResponse)
		hop.done, hop.extra = true, hop.extra || !e.RedirectHasExtraInfo
	}
	if strings.HasPrefix(e.Request.URL, "data:") {
		return
	}
	o.requests = append(o.requests, &Request{Method: e.Request.Method, URL: e.Request.URL + e.Request.URLFragment, Kind: string(e.Type), id: e.RequestID})
}

// take notes an answer as the page sees it; what came over the wire is told apart, before or after.
func (r *Request) take(answer *network.Response) {
	r.Status, r.Protocol = int(answer.Status), answer.Protocol
	r.FromCache = r.FromCache || answer.FromDiskCache || answer.FromPrefetchCache
	if r.Header == nil {
		r.Header = header(answer.Headers)
	}
	if r.Wire == 0 && !r.FromCache {
		r.Wire = r.Status
	}
}

func (o *observer) say(level, text, url string) {
	switch level {
	case "error", "warning", "exception", "assert":
		o.console = append(o.console, Message{level, text, url})
	}
}

// header converts the protocol's form, in which repeated lines are joined by line feeds.
func header(h network.Headers) http.Header {
	all := http.Header{}
	for name, value := range h {
		for line := range strings.SplitSeq(fmt.Sprint(value), "\n") {
			all.Add(name, line)
		}
	}
	return all
}

func arguments(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		word := a.Description
		if word == "" {
			word = strings.Trim(string(a.Value), `"`)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}
