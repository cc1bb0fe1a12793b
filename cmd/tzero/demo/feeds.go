package demo

import (
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"time"
)

// base is the public address of the site as the visitor sees it: behind a gateway the scheme comes from
// X-Forwarded-Proto.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func (s *site) document(w http.ResponseWriter, r *http.Request, contentType, text string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", cacheFeeds)
	http.ServeContent(w, r, "", s.started, strings.NewReader(text))
}

func (s *site) robots(w http.ResponseWriter, r *http.Request) {
	s.document(w, r, "text/plain; charset=utf-8",
		"User-agent: *\nDisallow: /api/\nDisallow: /welcome\nSitemap: "+base(r)+"/sitemap.xml\n")
}

func (s *site) sitemap(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	b.WriteString(xml.Header + `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">` + "\n")
	for _, path := range []string{"/", "/pricing", "/about", "/signup"} {
		b.WriteString("  <url><loc>")
		escape(&b, base(r)+path)
		b.WriteString("</loc><lastmod>" + s.started.Format(time.DateOnly) + "</lastmod></url>\n")
	}
	b.WriteString("</urlset>\n")
	s.document(w, r, "application/xml; charset=utf-8", b.String())
}

// feed is an Atom feed (RFC 4287) of the launch's announcements.
func (s *site) feed(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	b.WriteString(xml.Header + `<feed xmlns="http://www.w3.org/2005/Atom">` + "\n  <title>Nimbus Notes</title>\n  <id>")
	escape(&b, base(r)+"/")
	b.WriteString("</id>\n  <updated>" + s.started.Format(time.RFC3339) + "</updated>\n" +
		"  <author><name>The Nimbus team</name></author>\n  <link rel=\"self\" href=\"")
	escape(&b, base(r)+"/feed.xml")
	b.WriteString("\"/>\n")
	for i, title := range []string{"Nimbus Notes is here", "Tomorrow", "Why we wrote another notebook"} {
		at := s.started.AddDate(0, 0, -7*i)
		b.WriteString("  <entry><title>" + title + "</title><id>")
		escape(&b, base(r)+"/about#"+at.Format(time.DateOnly))
		b.WriteString("</id><updated>" + at.Format(time.RFC3339) + "</updated><link href=\"")
		escape(&b, base(r)+"/about")
		b.WriteString("\"/></entry>\n")
	}
	b.WriteString("</feed>\n")
	s.document(w, r, "application/atom+xml; charset=utf-8", b.String())
}

// escape writes text that a client has a say in (the Host) into XML.
func escape(w io.Writer, text string) {
	_ = xml.EscapeText(w, []byte(text)) // a strings.Builder does not fail
}
