package cache

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// library is an origin of one representation that has versions, each of which differs from the others in nearly
// every byte.
type library struct {
	version   int
	size      int
	validator string // strong, date, weak, none
	lines     []string
	bad       string // what it does wrong: no-ranges, ignores-if-range, cuts, subset, short, mislabels, error
	asked     []string
}

func (l *library) content(version int) []byte {
	b := make([]byte, l.size)
	_, _ = rand.NewChaCha8([32]byte{byte(version), byte(version >> 8)}).Read(b)
	return b
}

func (l *library) modified(version int) time.Time {
	return t0.Add(time.Duration(version-5000) * time.Hour)
}

func (l *library) fields() []string {
	lines := append([]string{"Cache-Control: max-age=60"}, l.lines...)
	switch l.validator {
	case "strong":
		lines = append(lines, `ETag: "`+strconv.Itoa(l.version)+`"`)
	case "weak":
		lines = append(lines, `ETag: W/"`+strconv.Itoa(l.version)+`"`)
	case "date":
		lines = append(lines, "Last-Modified: "+date(l.modified(l.version)))
	}
	return lines
}

func (l *library) answer(_ *Request, fetch field.List) response {
	l.asked = append(l.asked, string(fetch.Get("Range"))+"|"+string(fetch.Get("If-Range")))
	all, lines := l.content(l.version), l.fields()
	if l.bad == "error" {
		return response{head: Head{Status: 500, Length: 4}, body: text("oops")}
	}
	v := rfc9111.VersionOf(list(append(lines, "Date: "+date(t0))...), t0)
	if l.bad == "ignores-if-range" {
		fetch.Del("If-Range")
	}
	r := rfc9111.RangeOf(fetch, int64(l.size), v.ETag, v.LastModified, v.Date, t0)
	if l.bad == "no-ranges" {
		r.Kind = rfc9111.Whole
	}
	res := ok200(string(all), lines...)
	switch r.Kind {
	case rfc9111.Unsatisfiable:
		return response{head: Head{Status: 416, Fields: list(lines...), Length: 0}, body: text("")}
	case rfc9111.Part:
		if l.bad == "subset" {
			r.Length = max(r.Length/2, 1)
		}
		piece := all[r.Offset:r.End()]
		announced := r.Span
		switch l.bad {
		case "short":
			piece = piece[:len(piece)-1]
		case "mislabels": // as long as it says, and not what was asked for
			announced = rfc9111.Span{Offset: 0, Length: r.Length}
			piece = all[:r.Length]
		}
		lines = append(lines, "Content-Range: "+string(rfc9111.AppendContentRange(nil, announced, int64(l.size))))
		res = response{head: Head{Status: 206, Fields: list(lines...), Length: int64(len(piece))}, body: text(string(piece))}
	}
	if l.bad == "cuts" && res.head.Length > 0 {
		res.body = &content{pieces: make(chan []byte, 1), err: errDown}
		res.body.pieces <- all[:0:0]
		close(res.body.pieces)
	}
	return res
}

// check holds an answer to the one rule: bytes of one version, where they are said to be, or an honest error.
func (l *library) check(a answer) error {
	if a.err != nil || a.status >= 400 {
		return nil
	}
	versions := []int{}
	switch v := rfc9111.VersionOf(a.fields, t0); l.validator {
	case "none":
		for i := 0; i <= l.version; i++ {
			versions = append(versions, i)
		}
	case "date":
		versions = append(versions, int(v.LastModified.Sub(t0)/time.Hour)+5000)
	default:
		n, err := strconv.Atoi(strings.Trim(string(v.ETag), `W/"`))
		if err != nil {
			return err
		}
		versions = append(versions, n)
	}
	span := rfc9111.Span{Length: int64(l.size)}
	if a.status == 206 {
		if span = a.held; span == (rfc9111.Span{}) { // passed on as it came
			var ok bool
			if span, _, ok = rfc9111.PartOf(a.fields, -1); !ok {
				return errors.New("a 206 that does not say what it is")
			}
			if int64(len(a.body)) == span.Length-1 {
				return nil // the origin's own mistake
			}
		}
	}
	for _, v := range versions {
		if string(l.content(v)[span.Offset:span.End()]) == a.body {
			return nil
		}
	}
	return fmt.Errorf("%d bytes of %v are no version's", len(a.body), span)
}

// TestPartsAreExact: random ranges and wholes, versions that change between them, origins that do wrong: what
// comes is what the origin has, or an honest error.
func TestPartsAreExact(t *testing.T) {
	hits, wholes, completed := 0, 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := &library{
			size:      1 + r.IntN(3000),
			validator: []string{"strong", "strong", "date", "weak", "none"}[r.IntN(5)],
		}
		w := newWorld(t, nil, l.answer)
		now := t0
		for step := range 60 {
			l.bad = ""
			switch n := r.IntN(100); {
			case n < 5:
				l.version++
			case n < 30:
				l.bad = []string{"no-ranges", "ignores-if-range", "cuts", "subset", "short", "mislabels", "error"}[r.IntN(7)]
			case n < 35:
				now = now.Add(time.Duration(r.IntN(80)) * time.Second)
			case n < 37:
				w.c.Invalidate(w.request("/"), now)
				now = now.Add(time.Second)
			}
			ask := []string{}
			if r.IntN(8) > 0 {
				ask = append(ask, "Range: "+anyRange(r, l.size))
				if r.IntN(6) == 0 {
					ask = append(ask, `If-Range: "`+strconv.Itoa(l.version)+`"`)
				}
			}
			before := len(l.asked)
			a := w.get("/", now, ask...)
			if err := l.check(a); err != nil {
				t.Fatalf("seed %d step %d, %s, %q of version %d (%d bytes): %v: %v\nasked: %q", seed, step, l.validator, ask, l.version, l.size, err, a, l.asked[before:])
			}
			switch {
			case a.status == 206 && a.verdict == Hit:
				hits++
			case a.status == 200 && len(ask) == 0 && a.verdict == Hit:
				wholes++
			case len(ask) == 0 && len(l.asked) == before+1 && !strings.HasPrefix(l.asked[before], "|"):
				completed++
			}
		}
	}
	t.Logf("%d ranges and %d wholes from the cache, %d wholes completed", hits, wholes, completed)
	if hits < 2000 || wholes < 100 || completed < 50 {
		t.Error("the cases do not reach what they are for")
	}
}

func anyRange(r *rand.Rand, size int) string {
	a := r.IntN(size)
	switch r.IntN(5) {
	case 0:
		return fmt.Sprintf("bytes=%d-", a)
	case 1:
		return fmt.Sprintf("bytes=-%d", 1+r.IntN(size))
	case 2:
		return "bytes=0-"
	}
	return fmt.Sprintf("bytes=%d-%d", a, a+r.IntN(size))
}

// want asks for a range and compares the answer with the version's bytes.
func (l *library) want(t *testing.T, w *world, now time.Time, rng string, status int, verdict Verdict, asked int) answer {
	t.Helper()
	ask := []string{}
	if rng != "" {
		ask = append(ask, "Range: "+rng)
	}
	before := len(l.asked)
	a := w.get("/", now, ask...)
	if err := l.check(a); err != nil || a.status != status || a.verdict != verdict || len(l.asked) != before+asked {
		t.Errorf("%q: got %d %s (%v), asked %q", rng, a.status, a.verdict, err, l.asked[before:])
	}
	return a
}

func TestPartsAreJoined(t *testing.T) {
	for _, validator := range []string{"strong", "date", "weak", "none"} {
		l := &library{size: 1000, validator: validator}
		w := newWorld(t, nil, l.answer)
		joins := validator == "strong" || validator == "date"
		l.want(t, w, t0, "bytes=100-199", 206, Miss, 1)
		l.want(t, w, t0, "bytes=150-160", 206, Hit, 0)
		l.want(t, w, t0, "bytes=200-299", 206, Miss, 1)
		if joins {
			l.want(t, w, t0, "bytes=150-250", 206, Hit, 0)
			l.want(t, w, t0, "bytes=300-", 206, Miss, 1)
			l.want(t, w, t0, "bytes=-800", 206, Hit, 0)
			l.want(t, w, t0, "bytes=0-120", 206, Miss, 1)
			l.want(t, w, t0, "", 200, Hit, 0) // all is there
		} else {
			l.want(t, w, t0, "bytes=150-250", 206, Miss, 1)
			l.want(t, w, t0, "bytes=200-299", 206, Hit, 0)
		}
	}
}

// TestNothingIsJoinedAcrossVersions: the older version's part goes when the newer one shows.
func TestNothingIsJoinedAcrossVersions(t *testing.T) {
	l := &library{size: 1000, validator: "strong"}
	w := newWorld(t, nil, l.answer)
	l.want(t, w, t0, "bytes=0-499", 206, Miss, 1)
	l.version++
	w.settle()
	l.want(t, w, t0, "bytes=500-999", 206, Miss, 1)
	l.want(t, w, t0, "bytes=500-999", 206, Hit, 0)
	l.want(t, w, t0, "bytes=0-499", 206, Miss, 1)
	l.want(t, w, t0, "", 200, Hit, 0)
}

func TestWholeIsCompleted(t *testing.T) {
	for _, c := range []struct{ validator, have, ask, bad string }{
		{"strong", "bytes=0-399", `bytes=400-|"0"`, ""},
		{"strong", "bytes=400-", `bytes=0-399|"0"`, ""},
		{"date", "bytes=0-399", "bytes=400-|" + date((&library{}).modified(0)), ""},
		{"strong", "bytes=0-399", `bytes=400-|"0"`, "no-ranges"},
	} {
		l := &library{size: 1000, validator: c.validator}
		w := newWorld(t, nil, l.answer)
		l.want(t, w, t0, c.have, 206, Miss, 1)
		l.bad = c.bad
		l.want(t, w, t0.Add(90*time.Second), "", 200, Miss, 1) // stale by then: the condition is what counts
		if got := l.asked[1]; got != c.ask {
			t.Errorf("%+v: asked %q", c, got)
		}
		l.want(t, w, t0.Add(91*time.Second), "", 200, Hit, 0)
	}
	for _, c := range []struct {
		bad     string
		version int
		asked   int
	}{{"", 1, 1}, {"ignores-if-range", 1, 2}, {"subset", 0, 2}, {"short", 0, 2}, {"mislabels", 0, 2}} {
		l := &library{size: 1000, validator: "strong"}
		w := newWorld(t, nil, l.answer)
		l.want(t, w, t0, "bytes=0-399", 206, Miss, 1)
		l.bad, l.version = c.bad, c.version
		l.want(t, w, t0, "", 200, Miss, c.asked)
		l.want(t, w, t0, "", 200, Hit, 0)
	}
	// Without a strong validator the rest is of no use, and the try is made once.
	l := &library{size: 1000, validator: "none"}
	w := newWorld(t, nil, l.answer)
	l.want(t, w, t0, "bytes=0-399", 206, Miss, 1)
	l.want(t, w, t0, "", 200, Miss, 2)
	if l.asked[1] != "bytes=400-|" || l.asked[2] != "|" {
		t.Errorf("asked %q", l.asked)
	}
}

// TestCompletionThatBreaksOff ends in an error, wherever it breaks: what is held never hides that the rest is
// missing, and what comes after a gap is never sent.
func TestCompletionThatBreaksOff(t *testing.T) {
	for _, have := range []string{"bytes=0-399", "bytes=600-"} {
		for _, more := range []int{0, 1, 599, 601} {
			l := &library{size: 1000, validator: "strong"}
			w := newWorld(t, nil, func(q *Request, fetch field.List) response {
				res := l.answer(q, fetch)
				if len(l.asked) == 2 {
					piece := <-res.body.pieces
					res.body = stream()
					go func() {
						defer close(res.body.pieces)
						res.body.pieces <- append(bytes.Clone(piece), "x"...)[:more]
					}()
				}
				return res
			})
			l.want(t, w, t0, have, 206, Miss, 1)
			a := w.get("/", t0)
			if a.err == nil || a.status != 200 || !bytes.HasPrefix(l.content(0), []byte(a.body)) {
				t.Errorf("%s and %d of 600: %d bytes, err=%v", have, more, len(a.body), a.err)
			}
		}
	}
}

// TestPartialIsNeverStoredAsWhole: what is no clean part is passed on and forgotten.
func TestPartialIsNeverStoredAsWhole(t *testing.T) {
	for _, lines := range [][]string{
		{"Content-Range: bytes 4-7/10"}, // four, it says
		{"Content-Range: bytes 0-5/10"}, // not what was asked for
		{"Content-Range: bytes 4-8/*"},
		{"Content-Range: bytes 4-8/10", "Content-Range: bytes 4-8/10"},
		{"Content-Type: multipart/byteranges; boundary=x"},
		{},
	} {
		w := newWorld(t, nil, func(*Request, field.List) response {
			res := ok200("01234", append(lines, "Cache-Control: max-age=60")...)
			res.head.Status = 206
			return res
		})
		for _, ask := range []string{"Range: bytes=-5", "Range: bytes=-5", "Range: bytes=6-8", "X: a range that nobody asked for"} {
			if a := w.get("/", t0, ask); a.status != 206 || a.body != "01234" || a.verdict == Hit {
				t.Errorf("%q, %q: got %v", lines, ask, a)
			}
		}
		if n := w.asked.Load(); n != 4 {
			t.Errorf("%q: asked %d times", lines, n)
		}
	}
}

// TestShortPartIsKeptVerbatim: for the same question, and for no other, until a write.
func TestShortPartIsKeptVerbatim(t *testing.T) {
	w := newWorld(t, nil, func(*Request, field.List) response {
		res := ok200("01234", "Cache-Control: max-age=60", "Content-Range: bytes 4-9/10")
		res.head.Status = 206
		return res
	})
	ask := func(after time.Duration, verdict Verdict, lines ...string) {
		t.Helper()
		a := w.get("/", t0.Add(after), lines...)
		if a.status != 206 || a.body != "01234" || a.verdict != verdict || string(a.fields.Get("Content-Range")) != "bytes 4-9/10" {
			t.Errorf("%q: got %v", lines, a)
		}
	}
	ask(0, Miss, "Range: bytes=-5")
	w.settle()
	ask(0, Hit, "Range: bytes=-5")
	ask(time.Second, Hit, "Range: bytes=-5")
	ask(time.Second, Miss, "Range: bytes=-4")
	ask(time.Second, Miss, "Range: bytes=5-9")
	ask(time.Second, Miss, "Range: bytes=-5", `If-Range: "a"`)
	ask(time.Second, Miss, "X: none")
	w.c.Invalidate(w.request("/"), t0.Add(2*time.Second))
	ask(20*time.Second, Miss, "Range: bytes=-5")
	ask(21*time.Second, Hit, "Range: bytes=-5")
	ask(90*time.Second, Miss, "Range: bytes=-5")
}

// TestErrorToARangeIsNotStored: it may be the range that it speaks of.
func TestErrorToARangeIsNotStored(t *testing.T) {
	for _, status := range []int{404, 410, 416, 500} {
		w := newWorld(t, nil, func(_ *Request, fetch field.List) response {
			res := ok200("page", "Cache-Control: max-age=60")
			if fetch.Has("Range") {
				res.head.Status = status
			}
			return res
		})
		if a := w.get("/", t0, "Range: bytes=7-"); a.status != status {
			t.Errorf("got %v", a)
		}
		if a := w.get("/", t0); a.status != 200 {
			t.Errorf("after %d: got %v", status, a)
		}
	}
}

func TestInvalidatedPartsAreGone(t *testing.T) {
	l := &library{size: 1000, validator: "strong"}
	w := newWorld(t, nil, l.answer)
	l.want(t, w, t0, "bytes=0-499", 206, Miss, 1)
	w.c.Invalidate(w.request("/"), t0)
	l.want(t, w, t0.Add(time.Second), "bytes=0-499", 206, Miss, 1)
}

// TestManySmallRangesAreBounded: no more than maxParts places are taken, and the copying stays in proportion.
func TestManySmallRangesAreBounded(t *testing.T) {
	l := &library{size: 100000, validator: "strong"}
	w := newWorld(t, nil, l.answer)
	l.want(t, w, t0, "bytes=0-49999", 206, Miss, 1)
	for i := range 200 {
		l.want(t, w, t0, fmt.Sprintf("bytes=%d-%d", 60000+2*i, 60000+2*i), 206, Miss, 1)
	}
	w.settle()
	if n := len(w.tier.m); n > maxParts {
		t.Errorf("%d objects", n)
	}
}

// TestCrowdOfOneRangeAsksOnce: all who ask for the same range at once, and those who ask for less of it while it
// arrives, have one answer.
func TestCrowdOfOneRangeAsksOnce(t *testing.T) {
	l := &library{size: 1000, validator: "none"}
	body, release := stream(), make(chan struct{})
	w := newWorld(t, nil, func(q *Request, fetch field.List) response {
		res := l.answer(q, fetch)
		piece := <-res.body.pieces
		res.body = body
		go func() {
			defer close(body.pieces)
			body.pieces <- piece[:100]
			<-release
			body.pieces <- piece[100:]
		}()
		return res
	})
	var crowd sync.WaitGroup
	for i := range 20 {
		crowd.Go(func() {
			ask := "Range: bytes=200-899"
			a := w.get("/", t0, ask)
			if err := l.check(a); err != nil || a.status != 206 || a.held.Length != 700 {
				t.Errorf("%d: %v, %v", i, err, a.held)
			}
		})
	}
	// What has arrived is answered while the rest is still to come.
	for {
		res := w.c.Lookup(w.request("/", "Range: bytes=210-220"), t0)
		if res.Verdict == Follow {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if a := w.get("/", t0, "Range: bytes=210-220"); a.verdict != Follow || a.held != (rfc9111.Span{Offset: 210, Length: 11}) || l.check(a) != nil {
		t.Errorf("got %v %v", a.verdict, a.held)
	}
	close(release)
	crowd.Wait()
	if n := w.asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestIgnoredRangeIsNoRange: a Range that is ignored whatever the size (RFC 9110 §14.2) is no way past the one
// fetch: the request is a miss like any other, and stores the whole.
func TestIgnoredRangeIsNoRange(t *testing.T) {
	for _, lines := range [][]string{
		{"Range: bytes=abc"}, {"Range: bytes"}, {"Range: lines=1-2"}, {"Range: bytes=5-2"}, {"Range: bytes=0-1,x"},
		{"Range: bytes=500-509,3-5,400-600"}, {"Range: bytes=0-0" + strings.Repeat(",0-0", 40)}, {"Range: bytes=0-1", "Range: bytes=3-4"},
	} {
		l := &library{size: 1000, validator: "none"}
		w := newWorld(t, nil, l.answer)
		for range 2 {
			if a := w.get("/", t0, lines...); a.status != 200 || a.held.Length != 0 || l.check(a) != nil {
				t.Errorf("%q: %d, %v", lines, a.status, a.held)
			}
		}
		if n := w.asked.Load(); n != 1 {
			t.Errorf("%q: the origin was asked %d times", lines, n)
		}
	}
	for _, line := range []string{"Range: bytes=0-1,900-901", "Range: bytes=-5,0-1"} {
		l := &library{size: 1000, validator: "none"}
		w := newWorld(t, nil, l.answer)
		if a := w.get("/", t0, line); a.reason != BypassRange {
			t.Errorf("%q: %s", line, a.reason)
		}
	}
}
