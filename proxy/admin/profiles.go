package admin

import (
	"bytes"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"
)

// Bounds of a CPU profile: seconds where nothing is said, and at most, so that the answer keeps its time.
const (
	profileSeconds    = 10
	maxProfileSeconds = 60
)

// insideRoutes are those of the unix socket: everything, and where the configuration asks for it the profiles. Over TCP
// there are none, token or not: a profile costs time and memory, and shows what the process does.
func (s *Server) insideRoutes() http.Handler {
	if !s.config.Profiles {
		return s.routes()
	}
	mux := http.NewServeMux()
	mux.Handle("/profiles/cpu", only("GET", cpuProfile))
	mux.Handle("/profiles/heap", only("GET", heapProfile))
	mux.Handle("/", s.routes())
	return mux
}

// cpuProfile watches the process for ?seconds=N and answers with what `go tool pprof` reads.
func cpuProfile(w http.ResponseWriter, r *http.Request) {
	seconds := profileSeconds
	if text := r.URL.Query().Get("seconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxProfileSeconds {
			refuse(w, http.StatusBadRequest, "seconds must be a whole number from 1 to "+strconv.Itoa(maxProfileSeconds))
			return
		}
		seconds = n
	}
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		refuse(w, http.StatusConflict, "a CPU profile is being taken already")
		return
	}
	enough := time.NewTimer(time.Duration(seconds) * time.Second)
	defer enough.Stop()
	select {
	case <-enough.C:
	case <-r.Context().Done():
	}
	pprof.StopCPUProfile()
	write(w, http.StatusOK, "application/octet-stream", out.Bytes())
}

// heapProfile answers with what is allocated now, as of the last collection.
// heapProfile answers with what was allocated as of the last collection, or of one made now with ?gc=1.
func heapProfile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("gc") == "1" {
		runtime.GC()
	}
	var out bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&out, 0); err != nil {
		refuse(w, http.StatusInternalServerError, "cannot write the profile: "+err.Error())
		return
	}
	write(w, http.StatusOK, "application/octet-stream", out.Bytes())
}
