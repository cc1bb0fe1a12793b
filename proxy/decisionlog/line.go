package decisionlog

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/tzero-edge/tzero/proxy"
)

// Bounds of a line's parts in bytes before escaping, so that no client decides how much is logged.
const (
	maxID     = 128
	maxWord   = 64 // names of routes, origins, reasons
	maxNote   = 128
	maxMethod = 32
	maxScheme = 16
	maxHost   = 255
	maxPath   = 2048
	maxQuery  = 1024
	maxURL    = 256
	maxError  = 512
	maxAgent  = 256
	maxSteps  = 32
)

// line builds one line by appending. Its keys are constants; every value goes through escaping.
type line struct {
	buf     []byte
	text    bool // key=value pairs instead of JSON
	privacy privacy
	pairs   bool // the first pair is there
	opened  int  // where the value being written begins
}

// appendLine appends o as one line, newline included.
func appendLine(dst []byte, text bool, p privacy, o *proxy.Outcome, steps []proxy.Step) []byte {
	l := line{buf: dst, text: text, privacy: p}
	if !text {
		l.raw("{")
	}
	l.head(o)
	l.request(o)
	l.decisions(o, steps)
	l.result(o)
	l.visitor(o)
	if !text {
		l.raw("}")
	}
	l.raw("\n")
	return l.buf
}

// head has the keys that readers of log/slog's lines expect.
func (l *line) head(o *proxy.Outcome) {
	l.key("time")
	l.instant(o.Start)
	l.key("level")
	l.word(level(o))
	l.key("msg")
	l.word("request")
	str(l, "id", o.RequestID, maxID)
	l.num("generation", int64(o.Generation))
}

func level(o *proxy.Outcome) string {
	switch {
	case o.Status >= 500 || o.Fault == proxy.FaultGateway || o.Fault == proxy.FaultOrigin:
		return "ERROR"
	case o.Status >= 400 || o.Aborted:
		return "WARN"
	}
	return "INFO"
}

func (l *line) request(o *proxy.Outcome) {
	if a, ok := l.privacy.client(o.Client); ok {
		l.addr("client", a)
	}
	str(l, "proto", o.Proto, maxScheme)
	str(l, "method", o.Method, maxMethod)
	str(l, "scheme", o.Scheme, maxScheme)
	str(l, "host", withoutUserinfo(o.Host), maxHost)
	path, query := splitTarget(o.Target)
	str(l, "path", path, maxPath)
	if len(query) > 0 && l.privacy.query != queryNone {
		l.open("query")
		l.query(query)
		l.close()
	}
}

func (l *line) decisions(o *proxy.Outcome, steps []proxy.Step) {
	opt(l, "route", o.Route, maxWord)
	l.steps(steps)
	l.key("cache")
	l.word(o.Cache.String())
	opt(l, "cache_reason", string(o.CacheReason), maxWord)
	if o.Origin == "" {
		return
	}
	str(l, "origin", o.Origin, maxWord)
	l.open("target")
	url(l, o.TargetURL)
	l.close()
	l.num("origin_status", int64(o.OriginStatus))
	l.num("attempts", int64(o.Attempts))
	l.ms("origin_ms", o.OriginTime)
}

func (l *line) result(o *proxy.Outcome) {
	l.num("status", int64(o.Status))
	l.num("bytes_in", o.BytesIn)
	l.num("bytes_out", o.BytesOut)
	l.ms("first_byte_ms", o.FirstByte)
	l.ms("ms", o.Duration)
	if o.Fault != proxy.FaultNone {
		l.key("fault")
		l.word(o.Fault.String())
	}
	opt(l, "error", o.Err, maxError)
	if o.Aborted {
		l.key("aborted")
		l.raw("true")
	}
}

func (l *line) visitor(o *proxy.Outcome) {
	if len(o.UserAgent) > 0 {
		str(l, "agent", o.UserAgent, maxAgent)
	}
	if len(o.Referer) > 0 {
		l.open("referer")
		url(l, o.Referer)
		l.close()
	}
}

// steps writes ["recv:ok","route:matched (home)"], or as text steps="recv:ok route:matched (home)".
func (l *line) steps(steps []proxy.Step) {
	l.key("steps")
	if l.text {
		l.raw(`"`)
	} else {
		l.raw(`[`)
	}
	for i, s := range steps[:min(len(steps), maxSteps)] {
		if i > 0 {
			l.raw(l.pick(" ", ","))
		}
		l.raw(l.pick("", `"`))
		l.step(s)
		l.raw(l.pick("", `"`))
	}
	l.raw(l.pick(`"`, `]`))
}

func (l *line) step(s proxy.Step) {
	l.raw(s.State.String())
	if s.Reason != "" {
		l.raw(":")
		part(l, string(s.Reason), maxWord)
	}
	if s.Note != "" {
		l.raw(" (")
		part(l, s.Note, maxNote)
		l.raw(")")
	}
}

func (l *line) pick(text, json string) string {
	if l.text {
		return text
	}
	return json
}

func (l *line) raw(s string) { l.buf = append(l.buf, s...) }

// key begins a pair; the caller writes the value.
func (l *line) key(k string) {
	if l.pairs {
		l.raw(l.pick(" ", ","))
	}
	l.pairs = true
	if l.text {
		l.raw(k)
		l.raw("=")
		return
	}
	l.raw(`"`)
	l.raw(k)
	l.raw(`":`)
}

// word writes a constant of ours as a value.
func (l *line) word(w string) {
	l.raw(l.pick("", `"`))
	l.raw(w)
	l.raw(l.pick("", `"`))
}

func (l *line) instant(t time.Time) {
	l.raw(l.pick("", `"`))
	l.buf = t.UTC().AppendFormat(l.buf, time.RFC3339Nano)
	l.raw(l.pick("", `"`))
}

func (l *line) addr(k string, a netip.Addr) {
	l.key(k)
	l.raw(l.pick("", `"`))
	l.buf = a.AppendTo(l.buf)
	l.raw(l.pick("", `"`))
}

func (l *line) num(k string, n int64) {
	l.key(k)
	l.buf = strconv.AppendInt(l.buf, n, 10)
}

// ms writes a duration in milliseconds with three decimals.
func (l *line) ms(k string, d time.Duration) {
	l.key(k)
	us := max(d, 0).Microseconds()
	l.buf = strconv.AppendInt(l.buf, us/1000, 10)
	l.buf = append(l.buf, '.', '0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10))
}

// open begins a string value that is written in parts.
func (l *line) open(k string) {
	l.key(k)
	l.raw(`"`)
	l.opened = len(l.buf)
}

// close ends it. In a text line a value without anything special loses its quotes.
func (l *line) close() {
	if l.text && bare(l.buf[l.opened:]) {
		copy(l.buf[l.opened-1:], l.buf[l.opened:])
		l.buf = l.buf[:len(l.buf)-1]
		return
	}
	l.raw(`"`)
}

func bare(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c == '=' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(v) > 0
}

// part appends at most n bytes of s, escaped, and marks a cut by an ellipsis.
func part[T string | []byte](l *line, s T, n int) {
	s, cut := bounded(s, n)
	l.buf = appendEscaped(l.buf, s)
	if cut {
		l.raw("…")
	}
}

// str writes a string pair.
func str[T string | []byte](l *line, k string, s T, n int) {
	l.open(k)
	part(l, s, n)
	l.close()
}

// opt writes a string pair unless the string is empty.
func opt(l *line, k, s string, n int) {
	if s != "" {
		str(l, k, s, n)
	}
}
