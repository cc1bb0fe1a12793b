package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is a file whose public name carries a hash of its content, so that it may be kept for ever.
type asset struct {
	body        []byte
	contentType string
	etag        string
}

// assets finds files by their public name and public names by the plain one.
type assets struct {
	byPublic map[string]asset
	public   map[string]string // "site.css" to "site.1f3a5c7e9b.css"
}

// Content types are stated here: mime.TypeByExtension depends on the machine's tables.
var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
	".mp4": "video/mp4",
}

func loadAssets() assets {
	a := assets{byPublic: map[string]asset{}, public: map[string]string{}}
	files, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic("demo: the embedded files are not there: " + err.Error())
	}
	for _, f := range files {
		body, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			panic("demo: an embedded file is not there: " + err.Error())
		}
		sum := sha256.Sum256(body)
		hash := hex.EncodeToString(sum[:5])
		ext := path.Ext(f.Name())
		public := strings.TrimSuffix(f.Name(), ext) + "." + hash + ext
		a.public[f.Name()] = public
		a.byPublic[public] = asset{body, contentTypes[ext], `"` + hash + `"`}
	}
	return a
}

// url returns the path of a static file by its plain name.
func (a assets) url(name string) string {
	public, ok := a.public[name]
	if !ok {
		panic("demo: there is no static file " + name)
	}
	return "/static/" + public
}

func (s *site) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets.byPublic[r.PathValue("name")]
	if !ok {
		s.missing(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

func (s *site) favicon(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=3600")
	http.Redirect(w, r, s.assets.url("icon.svg"), http.StatusFound)
}

// video serves the clip under a plain name: revalidated, and sought in by ranges.
func (s *site) video(w http.ResponseWriter, r *http.Request) {
	a := s.assets.byPublic[s.assets.public["tour.mp4"]]
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "public, max-age=300, s-maxage=3600")
	h.Set("ETag", a.etag)
	http.ServeContent(w, r, "", s.started, bytes.NewReader(a.body))
}
