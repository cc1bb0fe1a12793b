package admin

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/tzero-edge/tzero/cache/purge"
)

//go:embed dashboard
var dashboard embed.FS

// routes are the same on every listener; what stands before them differs.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/healthz", only("GET, HEAD", s.healthz))
	mux.Handle("/readyz", only("GET, HEAD", s.readyz))
	mux.Handle("/status", only("GET, HEAD", s.status))
	mux.Handle("/metrics", only("GET, HEAD", s.metrics))
	mux.Handle("/reload", only("POST", s.reload))
	mux.Handle("/purge", only("POST", s.purge))
	mux.Handle("/limits", only("GET, HEAD, POST", s.limits))
	page := func(path, file, contentType string) {
		mux.Handle(path, only("GET, HEAD", func(w http.ResponseWriter, r *http.Request) {
			body, err := dashboard.ReadFile("dashboard/" + file)
			if err != nil {
				refuse(w, http.StatusInternalServerError, "the page is missing from this build")
				return
			}
			write(w, http.StatusOK, contentType, body)
		}))
	}
	page("/{$}", "index.html", "text/html; charset=utf-8")
	page("/icon.svg", "icon.svg", "image/svg+xml")
	page("/dashboard.css", "dashboard.css", "text/css; charset=utf-8")
	page("/dashboard.js", "dashboard.js", "text/javascript; charset=utf-8")
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "nothing here; there are / /status /metrics /healthz /readyz /limits and POST /reload /purge /limits")
	})
	return mux
}

// only answers 405 with Allow to other methods.
func only(methods string, h http.HandlerFunc) http.Handler {
	allowed := strings.Split(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, m := range allowed {
			if r.Method == m {
				h(w, r)
				return
			}
		}
		w.Header().Set("Allow", methods)
		refuse(w, http.StatusMethodNotAllowed, "this address takes "+methods)
	})
}

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if s.deps.Ready == nil {
		missing(w)
		return
	}
	ok, reasons := s.deps.Ready()
	if ok {
		plain(w, http.StatusOK, "ready\n")
		return
	}
	plain(w, http.StatusServiceUnavailable, "not ready: "+strings.Join(reasons, ", ")+"\n")
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	if s.deps.Status == nil {
		missing(w)
		return
	}
	answer(w, http.StatusOK, s.deps.Status())
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.deps.Metrics == nil {
		missing(w)
		return
	}
	s.deps.Metrics.ServeHTTP(w, r)
}

// Failure is the body of an answer that says no.
type Failure struct {
	Error string `json:"error"`
}

// reload runs one reload at a time. It goes on when the client leaves: half a reload does not exist.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.deps.Reload == nil {
		missing(w)
		return
	}
	if !s.reloading.TryLock() {
		refuse(w, http.StatusConflict, "a reload is already running")
		return
	}
	defer s.reloading.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reloadTimeout)
	defer cancel()
	told, err := s.deps.Reload(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		refuse(w, http.StatusGatewayTimeout, err.Error())
	case err != nil:
		refuse(w, http.StatusUnprocessableEntity, err.Error())
	default:
		answer(w, http.StatusOK, told)
	}
}

// purge goes on when the client leaves: a deploy that loses its connection has purged all the same.
func (s *Server) purge(w http.ResponseWriter, r *http.Request) {
	if s.deps.Purge == nil {
		missing(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "cannot read the purge: it has more than 1 MiB")
		return
	}
	asked, err := purge.ReadRequest(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reloadTimeout)
	defer cancel()
	told, err := s.deps.Purge(ctx, asked)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	status := http.StatusOK
	if !told.Everywhere() {
		status = http.StatusAccepted
	}
	answer(w, status, told)
}

// limits shows what is ruled about addresses, and rules.
func (s *Server) limits(w http.ResponseWriter, r *http.Request) {
	if s.deps.Rule == nil || s.deps.Rulings == nil {
		missing(w)
		return
	}
	if r.Method != http.MethodPost {
		answer(w, http.StatusOK, s.deps.Rulings())
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "cannot read the order: it has more than 1 MiB")
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), ruleTimeout)
	defer cancel()
	told, err := s.deps.Rule(ctx, body)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case told.Warning != "":
		answer(w, http.StatusAccepted, told)
	default:
		answer(w, http.StatusOK, told)
	}
}

func missing(w http.ResponseWriter) {
	refuse(w, http.StatusNotImplemented, "this gateway was built without it")
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, Failure{why})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error": "cannot write the answer as JSON"}`)
	}
	write(w, status, "application/json", append(body, '\n'))
}

func plain(w http.ResponseWriter, status int, text string) {
	write(w, status, "text/plain; charset=utf-8", []byte(text))
}

// write sends an answer. An error means that the client is gone: there is nobody to tell.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
