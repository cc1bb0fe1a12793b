package decisionlog

import (
	"bytes"
	"math"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy"
)

const (
	countBits   = 20
	maxFullRate = 1e6 // fits countBits
	maxRefusals = 500 // a second: more of them are an attack, which must not fill the disk
)

// rules decide which requests get a line. They are immutable but for the counts of the present second.
type rules struct {
	enabled, everything, dropStatic bool
	sampleAll                       bool
	sampleBelow                     uint64 // of the request id's hash
	slow                            time.Duration
	skipRoutes                      map[string]bool
	skipClass                       [6]bool
	fullRate                        uint64
	lines                           perSecond // of the requests that are kept before sampling begins
	refusals                        perSecond // of the refused ones
}

func compile(c Config) *rules {
	r := &rules{
		enabled: c.Enabled, everything: c.Everything, dropStatic: c.DropStatic,
		sampleAll:   c.Sample >= 1,
		sampleBelow: uint64(math.Min(max(c.Sample, 0), 0.999999) * math.MaxUint64),
		slow:        c.Slow.D(),
		fullRate:    uint64(min(max(c.FullRate, 0), maxFullRate)),
	}
	if len(c.SkipRoutes) > 0 {
		r.skipRoutes = make(map[string]bool, len(c.SkipRoutes))
		for _, name := range c.SkipRoutes {
			r.skipRoutes[name] = true
		}
	}
	for _, class := range c.SkipClass {
		if len(class) == 3 && class[0] >= '1' && class[0] <= '5' {
			r.skipClass[class[0]-'0'] = true
		}
	}
	return r
}

// keep says whether o gets a line. What always does comes first; then sampling, before the filters,
// because on a busy gateway it is the cheapest way to no.
func (r *rules) keep(o *proxy.Outcome, steps []proxy.Step) bool {
	switch {
	case !r.enabled:
		return false
	case r.everything, r.always(o):
		return true
	}
	if refused(o.Status, steps) && r.refusals.left(o.Start, maxRefusals) > 0 {
		r.refusals.count()
		return true
	}
	sampled := r.sampleAll || xxhash.Sum64(o.RequestID) < r.sampleBelow
	switch {
	case !sampled && r.lines.left(o.Start, r.fullRate) == 0:
		return false
	case r.skipRoutes != nil && r.skipRoutes[o.Route]:
		return false
	case o.Status >= 100 && o.Status < 600 && r.skipClass[o.Status/100]:
		return false
	case r.dropStatic && static(o):
		return false
	}
	if !sampled {
		r.lines.count()
	}
	return true
}

func (r *rules) always(o *proxy.Outcome) bool {
	return o.Status >= 500 || o.Fault == proxy.FaultGateway || o.Fault == proxy.FaultOrigin ||
		r.slow > 0 && o.Duration > r.slow
}

// perSecond counts what the present second has seen: a Unix second above countBits, the count below.
type perSecond struct{ v atomic.Uint64 }

// left returns how many of most are still free in the second of now. Races between cores may let a few more
// through.
func (p *perSecond) left(now time.Time, most uint64) uint64 {
	if most == 0 {
		return 0
	}
	second := uint64(now.Unix()) << countBits
	seen := p.v.Load()
	if seen>>countBits != second>>countBits {
		p.v.CompareAndSwap(seen, second)
		return most
	}
	return most - min(seen-second, most)
}

func (p *perSecond) count() { p.v.Add(1) }

// refused: the gateway itself made up an answer that says no.
func refused(status int, steps []proxy.Step) bool {
	if status < 400 {
		return false
	}
	for _, s := range steps {
		if s.State == proxy.StateSynth {
			return true
		}
	}
	return false
}

// static recognises a successful answer with a page's furniture, by its type or, where it has none
// (a 304), by the path's extension.
func static(o *proxy.Outcome) bool {
	if (o.Status < 200 || o.Status > 299) && o.Status != 304 || o.Aborted {
		return false
	}
	if m := string(o.Method); m != "GET" && m != "HEAD" {
		return false
	}
	if len(o.ContentType) > 0 {
		return staticType(o.ContentType)
	}
	path, _ := splitTarget(o.Target)
	return staticExtension(path)
}

func staticType(t []byte) bool {
	if i := bytes.IndexByte(t, ';'); i >= 0 {
		t = t[:i]
	}
	t = field.TrimOWS(t)
	for _, family := range [...]string{"image/", "font/", "video/", "audio/"} {
		if len(t) > len(family) && field.EqualFold(t[:len(family)], family) {
			return true
		}
	}
	for _, name := range [...]string{
		"text/css", "text/javascript", "application/javascript", "application/wasm",
		"application/font-woff", "application/vnd.ms-fontobject",
	} {
		if field.EqualFold(t, name) {
			return true
		}
	}
	return false
}

func staticExtension(path []byte) bool {
	dot := bytes.LastIndexByte(path, '.')
	if dot < 0 || len(path)-dot > 6 {
		return false
	}
	var low [6]byte
	ext := low[:copy(low[:], path[dot+1:])]
	for i, c := range ext {
		if 'A' <= c && c <= 'Z' {
			ext[i] = c | 0x20
		}
	}
	switch string(ext) {
	case "css", "js", "mjs", "map", "wasm", "png", "jpg", "jpeg", "gif", "webp", "avif", "svg", "ico",
		"woff", "woff2", "ttf", "otf", "eot", "mp4", "webm", "mp3", "ogg":
		return true
	}
	return false
}
