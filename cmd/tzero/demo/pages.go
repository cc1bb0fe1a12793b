package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed pages
var pageFiles embed.FS

// How long the parts of the app may be kept, and by whom.
const (
	cacheHTML  = "public, s-maxage=60, stale-while-revalidate=300"
	cacheError = "public, s-maxage=10"
	cacheNever = "no-store"
	cacheFeeds = "public, max-age=60, s-maxage=600, stale-while-revalidate=3600"
)

// Everything comes from the app itself, and nothing is inline.
const contentSecurityPolicy = "default-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"

// The variants of the product page that the header X-Variant can ask for.
const (
	variantDefault = "default"
	variantPricing = "pricing"
	variantVideo   = "video"
)

// view is what a page's template sees.
type view struct {
	Page     string // the template's name
	Variant  string
	Email    string // as typed, after a refused sign-up
	Problem  string // why it was refused
	Position int    // on the waiting list
	Status   int    // of an error page
}

// pages holds the templates, one set per page, all sharing the layout.
type pages map[string]*template.Template

func loadPages(a assets) pages {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{"asset": a.url}).
		ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	all := pages{}
	for _, name := range []string{"home", "pricing", "about", "live", "signup", "welcome", "early", "error"} {
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return all
}

// render writes a page with its validators: a strong ETag over its bytes answers revalidations.
func (s *site) render(w http.ResponseWriter, r *http.Request, v view) {
	var page bytes.Buffer
	if err := s.pages[v.Page].ExecuteTemplate(&page, "layout.html", v); err != nil {
		w.Header().Set("Cache-Control", cacheNever)
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	if v.Status != 0 {
		h.Set("Content-Length", strconv.Itoa(page.Len()))
		w.WriteHeader(v.Status)
		if r.Method != http.MethodHead {
			_, _ = page.WriteTo(w)
		}
		return
	}
	sum := sha256.Sum256(page.Bytes())
	h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page.Bytes()))
}

// page returns the handler of a page that is the same for everybody.
func (s *site) page(name, cacheControl string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", cacheControl)
		s.render(w, r, view{Page: name})
	}
}

// home renders the product page in the variant that X-Variant names.
func (s *site) home(w http.ResponseWriter, r *http.Request) {
	variant := r.Header.Get("X-Variant")
	if variant != variantPricing && variant != variantVideo {
		variant = variantDefault
	}
	w.Header().Set("Cache-Control", cacheHTML)
	w.Header().Set("Vary", "X-Variant")
	s.render(w, r, view{Page: "home", Variant: variant})
}

// early sends 103 with what the page will need, takes its time as a page from a database does, then
// sends the page (RFC 8297).
func (s *site) early(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Link", "<"+s.assets.url("site.css")+">; rel=preload; as=style")
	h.Add("Link", "<"+s.assets.url("site.js")+">; rel=preload; as=script")
	w.WriteHeader(http.StatusEarlyHints)
	if !wait(r, earlyDelay) {
		return
	}
	h.Set("Cache-Control", cacheNever)
	s.render(w, r, view{Page: "early"})
}

const earlyDelay = 200 * time.Millisecond

func (s *site) missing(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		answer(w, http.StatusMethodNotAllowed, cacheNever, problem{"this address takes GET and HEAD"})
		return
	}
	w.Header().Set("Cache-Control", cacheError)
	s.render(w, r, view{Page: "error", Status: http.StatusNotFound})
}

// wait returns false when the visitor left first.
func wait(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
