package proxy

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"
)

// verdict is an answer that tzero gives by itself; the synth state turns it into a response.
type verdict struct {
	status   int
	reason   Reason
	detail   string // for the person who reads the page; empty: the status says enough
	allow    string // Allow, for a 405
	location string // Location, for a redirect
	retry    int    // Retry-After in seconds; 0: none
	fixed    *FixedAnswer
	close    bool
	html     []byte   // for browsers, in place of the page of this status
	problem  string   // type of the problem details; empty: about:blank
	violated []string // the problem's member violated-policies
}

// refuse leads to synth with an answer of the gateway's own.
func (x *Exchange) refuse(s State, status int, reason Reason, detail string) State {
	x.verdict = verdict{status: status, reason: reason, detail: detail}
	x.note(s, reason, "")
	return StateSynth
}

// keepFor: a permanent redirect may be kept, for an hour rather than for ever, so that a wrong one heals.
func keepFor(status int) string {
	if status == 301 || status == 308 {
		return "public, max-age=3600"
	}
	return "no-store"
}

// allowsContent: RFC 9110 §6.4.1.
func allowsContent(status int) bool { return status >= 200 && status != 204 && status != 304 }

type form uint8

const (
	formText form = iota
	formHTML
	formProblem
)

// wants picks the form of an error for its reader: a page for browsers, problem details (RFC 9457) for
// programs that ask for JSON, a line of text for all others.
func (x *Exchange) wants() form {
	if x.Req == nil || x.Refusal != nil {
		return formText
	}
	for m := range x.Req.Fields.Members("Accept") {
		switch t, _, _ := strings.Cut(string(m), ";"); strings.TrimSpace(t) {
		case "text/html", "application/xhtml+xml":
			return formHTML
		case "application/json", "application/problem+json":
			return formProblem
		}
	}
	return formText
}

func page(v *verdict, as form, id []byte) (contentType string, body []byte) {
	title := StatusText(v.status)
	detail := v.detail
	switch as {
	case formProblem:
		b, err := json.Marshal(v.details(title, id))
		if err != nil {
			b = []byte("{}")
		}
		return "application/problem+json", b
	case formHTML:
		if v.html != nil {
			return "text/html; charset=utf-8", v.html
		}
		return "text/html; charset=utf-8", fmt.Appendf(nil, pageHTML, title, v.status, title, html.EscapeString(detail),
			html.EscapeString(string(v.reason)), html.EscapeString(string(id)))
	default:
		b := fmt.Appendf(nil, "%d %s", v.status, title)
		if detail != "" {
			b = append(b, ": "+detail...)
		}
		return "text/plain; charset=utf-8", append(b, '\n')
	}
}

// details are the members of the problem (RFC 9457 §3).
func (v *verdict) details(title string, id []byte) map[string]any {
	m := map[string]any{
		"type": "about:blank", "title": title, "status": v.status, "detail": v.detail,
		"reason": string(v.reason), "requestId": string(id),
	}
	if v.problem != "" {
		m["type"] = v.problem
	}
	if v.violated != nil {
		m["violated-policies"] = v.violated
	}
	return m
}

const pageHTML = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex"><title>%s</title>
<style>body{font:1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem;color:#1c2330;background:#fff}h1{font-size:1.6rem;margin:0 0 .5rem}small{color:#667085}@media(prefers-color-scheme:dark){body{color:#e6e9ef;background:#12151b}small{color:#98a2b3}}</style>
</head><body><h1>%d %s</h1><p>%s</p><p><small>%s · request %s</small></p></body></html>
`
