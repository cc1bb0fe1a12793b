package encode

import (
	"strings"

	"github.com/tzero-edge/tzero/internal/field"
)

// Verdict says whether a response is compressed, and why not; the words are shared with the decision log.
type Verdict string

// The verdicts.
const (
	Compress       Verdict = "compress"
	NotEnabled     Verdict = "compression-off"
	NotStatus      Verdict = "status-without-body" // 1xx, 204, 205, 206, 304
	NotRange       Verdict = "range-request"
	AlreadyEncoded Verdict = "already-encoded"
	NoTransform    Verdict = "no-transform"
	UnfitType      Verdict = "type-not-compressible"
	TooSmall       Verdict = "too-small"
	EventStream    Verdict = "event-stream"
)

// Response is what a response is judged by.
type Response struct {
	Status int
	Fields field.List
	Length int64 // of the body; -1 where unknown
	Mode   Mode
	// Media is the Content-Type of a response that is known to have one, and neither a content coding nor
	// no-transform: its Fields are not read then.
	Media []byte
}

// Mode is a route's `compress`.
type Mode uint8

// The modes.
const (
	Auto Mode = iota // where the type deserves it
	On               // event streams too
	Off
)

// ParseMode returns the mode for the word of a configuration: auto, on or off.
func ParseMode(word string) Mode {
	switch word {
	case "on":
		return On
	case "off":
		return Off
	}
	return Auto
}

// Deserves judges a response before the client's wishes are asked. Where it says Compress, the answer
// depends on Accept-Encoding even if this client gets it uncoded, and needs Vary ([AddVary]).
//
// A part is left alone: ranges count the bytes of the original. Event streams are
// compressed only where the route says so.
func (e *Encoder) Deserves(r *Response) Verdict {
	switch {
	case !e.enabled || r.Mode == Off:
		return NotEnabled
	case r.Status < 200, r.Status == 204, r.Status == 205, r.Status == 206, r.Status == 304:
		return NotStatus
	}
	media := r.Media
	if media == nil {
		var d declared
		d.read(r.Fields)
		switch {
		case d.encoded: // "identity" must not stand there; whatever it means, hands off
			return AlreadyEncoded
		case d.ranged:
			return NotRange
		case d.controlled && r.Fields.HasToken("cache-control", "no-transform"):
			return NoTransform
		case d.types != 1: // without a type, or with two, nobody knows what the body is
			return UnfitType
		}
		media = d.media
	}
	if verdict := e.types.judge(media, r.Mode); verdict != Compress {
		return verdict
	}
	if r.Length >= 0 && r.Length < e.minSize {
		return TooSmall
	}
	return Compress
}

// declared is what a response says about its content.
type declared struct {
	encoded, ranged, controlled bool
	types                       int    // Content-Type lines
	media                       []byte // the value of one
}

func (d *declared) read(fields field.List) {
	for i := range fields {
		switch name := fields[i].Name; len(name) {
		case len("content-type"):
			if field.EqualFold(name, "content-type") {
				d.types++
				d.media = fields[i].Value
			}
		case len("cache-control"):
			d.controlled = d.controlled || len(fields[i].Value) >= len("no-transform") && field.EqualFold(name, "cache-control")
			d.ranged = d.ranged || field.EqualFold(name, "content-range")
		case len("content-encoding"):
			d.encoded = d.encoded || field.EqualFold(name, "content-encoding")
		}
	}
}

// maxType is the longest media type that is looked up; registered names end at 127 + 1 + 127, real
// ones at 80.
const maxType = 128

// typeSet is a compiled list of media types.
type typeSet struct {
	exact    [numPlaces][]string // by place
	kinds    []string            // "text/"
	suffixes []string            // "+json"
}

// numPlaces is some times the number of types that anybody lists.
const numPlaces = 256

// place spreads types over the places, so that most of those that are not listed meet none.
func place(t []byte) int {
	n := len(t)
	if n == 0 {
		return 0
	}
	return (n + 31*int(t[0]) + 7*int(t[n/2]) + 67*int(t[n-1])) % numPlaces
}

func newTypeSet(list []string) typeSet {
	var s typeSet
	for _, t := range list {
		switch {
		case strings.HasPrefix(t, "*"):
			s.suffixes = append(s.suffixes, t[1:])
		case strings.HasSuffix(t, "/*"):
			s.kinds = append(s.kinds, t[:len(t)-1])
		default:
			at := place([]byte(t))
			s.exact[at] = append(s.exact[at], t)
		}
	}
	return s
}

// judge looks a media type up.
func (s *typeSet) judge(t []byte, mode Mode) Verdict {
	capitals := false
	for i, c := range t {
		if c == ';' {
			t = t[:i]
			break
		}
		capitals = capitals || 'A' <= c && c <= 'Z'
	}
	if t = field.TrimOWS(t); len(t) > maxType {
		return UnfitType
	}
	if capitals { // nearly nobody writes them so
		return s.judgeCapitals(t, mode)
	}
	return s.judgeLower(t, mode)
}

func (s *typeSet) judgeCapitals(t []byte, mode Mode) Verdict {
	var buf [maxType]byte
	return s.judgeLower(field.AppendLower(buf[:0], t), mode)
}

func (s *typeSet) judgeLower(t []byte, mode Mode) Verdict {
	switch {
	case string(t) == "text/event-stream":
		if mode == On {
			return Compress
		}
		return EventStream
	case s.has(t):
		return Compress
	}
	return UnfitType
}

func (s *typeSet) has(t []byte) bool {
	for _, x := range s.exact[place(t)] {
		if string(t) == x {
			return true
		}
	}
	for _, k := range s.kinds {
		if len(t) > len(k) && t[0] == k[0] && string(t[:len(k)]) == k {
			return true
		}
	}
	for _, x := range s.suffixes {
		if n := len(t) - len(x); n > 0 && t[n] == x[0] && string(t[n:]) == x {
			return true
		}
	}
	return false
}

// Adjust changes a response's header section for a body coded with c:
//
//   - Content-Encoding is appended, Vary names Accept-Encoding;
//   - a strong ETag becomes weak;
//   - Content-Length leaves, whose writer knows the new one;
//   - Content-MD5, Digest, Content-Digest and Repr-Digest leave: they are sums over other bytes
//     (RFC 9530 counts the content coding in for both of its fields);
//   - Accept-Ranges leaves: ranges of a compressed copy are not served.
//
// The weak ETag is written into scratch, which is returned.
func Adjust(l *field.List, c Coding, scratch []byte) []byte {
	out := (*l)[:0]
	for _, f := range *l {
		if staleByCoding(f.Name) {
			continue
		}
		out = append(out, f)
	}
	*l = append(out, field.Field{Name: nameContentEncoding, Value: codingNames[c]})
	AddVary(l)
	return Weaken(*l, scratch)
}

// Weaken makes a strong ETag a weak one: an encoded answer has other bytes than the one that it was given to (RFC 9110
// §8.8.1). The value is appended to scratch, which is returned.
func Weaken(l field.List, scratch []byte) []byte {
	for i := range l {
		f := &l[i]
		if field.EqualFold(f.Name, "etag") && len(f.Value) > 0 && f.Value[0] == '"' {
			start := len(scratch)
			scratch = append(append(scratch, "W/"...), f.Value...)
			f.Value = scratch[start:len(scratch):len(scratch)]
		}
	}
	return scratch
}

func staleByCoding(name []byte) bool {
	for _, n := range [...]string{"content-length", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"} {
		if field.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// AddVary makes sure that Vary names Accept-Encoding, once. "Vary: *" says more already.
func AddVary(l *field.List) {
	for m := range l.Members("vary") {
		if field.EqualFold(m, "accept-encoding") || len(m) == 1 && m[0] == '*' {
			return
		}
	}
	l.Add(nameVary, valueAcceptEncoding)
}

// Names and values as bytes that nobody writes to.
var (
	nameContentEncoding = []byte("Content-Encoding")
	nameVary            = []byte("Vary")
	valueAcceptEncoding = []byte("Accept-Encoding")
	codingNames         = [numCodings][]byte{Gzip: []byte("gzip"), Brotli: []byte("br"), Zstd: []byte("zstd")}
)
