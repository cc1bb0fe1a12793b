package demo

import (
	"encoding/json"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"
)

// answer writes v as JSON.
func answer(w http.ResponseWriter, status int, cacheControl string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "The answer could not be written.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", cacheControl)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

type problem struct {
	Error string `json:"error"`
}

// slow answers after ?ms= milliseconds, 1,000 without it.
func (s *site) slow(w http.ResponseWriter, r *http.Request) {
	ms := 1000
	if asked := r.URL.Query().Get("ms"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 0 || n > int(maxSlow/time.Millisecond) {
			answer(w, http.StatusBadRequest, cacheNever, problem{"ms must be a number from 0 to 30000"})
			return
		}
		ms = n
	}
	if !wait(r, time.Duration(ms)*time.Millisecond) {
		return
	}
	answer(w, http.StatusOK, cacheNever, struct {
		Waited int `json:"waited_ms"`
	}{ms})
}

// launchCount is what a gateway can keep for five seconds: a thousand visitors, one request.
func (s *site) launchCount(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "public, s-maxage=5, stale-while-revalidate=30", struct {
		Count int       `json:"count"`
		At    time.Time `json:"at"`
	}{s.signups.count(), s.opts.Now().UTC()})
}

func (s *site) me(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Cookie")
	known, ok := s.session(r)
	if !ok {
		answer(w, http.StatusUnauthorized, cacheNever, problem{"sign up first: POST /signup gives the cookie"})
		return
	}
	answer(w, http.StatusOK, "private, no-cache", known)
}

// headers shows what reached the app: the easiest way to see what a gateway adds and removes.
func (s *site) headers(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, cacheNever, struct {
		Method  string      `json:"method"`
		Target  string      `json:"target"`
		Proto   string      `json:"proto"`
		Host    string      `json:"host"`
		Headers http.Header `json:"headers"`
	}{r.Method, r.RequestURI, r.Proto, r.Host, r.Header})
}

// upload reads a body of any size in bounded memory and says what it was.
func (s *site) upload(w http.ResponseWriter, r *http.Request) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		answer(w, http.StatusBadRequest, cacheNever, problem{"the body ended early"})
		return
	}
	answer(w, http.StatusOK, cacheNever, struct {
		Bytes int64  `json:"bytes"`
		Sum   string `json:"crc32c"`
	}{n, strconv.FormatUint(uint64(sum.Sum32()), 16)})
}

// fail answers with the error that ?status= names, with Retry-After where ?retry_after= asks for it.
// The status 0 means no answer at all: the connection is dropped.
func (s *site) fail(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	status := http.StatusInternalServerError
	if asked := q.Get("status"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n != 0 && (n < 400 || n > 599) {
			answer(w, http.StatusBadRequest, cacheNever, problem{"status must be 0 or a number from 400 to 599"})
			return
		}
		status = n
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	if seconds, err := strconv.ParseUint(q.Get("retry_after"), 10, 16); err == nil {
		w.Header().Set("Retry-After", strconv.FormatUint(seconds, 10))
	}
	w.Header().Set("Cache-Control", cacheNever)
	s.render(w, r, view{Page: "error", Status: status})
}

func (s *site) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", cacheNever)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}
