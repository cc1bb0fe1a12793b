package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy"
	"github.com/tzero-edge/tzero/proxy/headers"
)

// at walks the journey of a request that came at a certain time, and returns the answer's field lines in wire form.
func (v *visitor) at(now time.Time) []byte {
	x := &v.x
	x.Reset()
	v.req.Fields = append(v.req.Fields[:0], v.fields...)
	x.Req, x.Peer, x.Started, x.Carrier = &v.req, netip.MustParseAddrPort("192.0.2.1:1234"), now, alone{}
	v.r.edge.Serve(x)
	lines := x.Res.AppendFields(nil)
	v.r.edge.Finish(x, int64(len(x.Res.Bytes)), nil)
	return lines
}

// TestStoredHeadIsSentAsItLies: an answer whose stored lines are sent in one piece is the one that is made of them line
// by line. A route that changes fields which nobody sends has its answers made so.
func TestStoredHeadIsSentAsItLies(t *testing.T) {
	nothing, problems := headers.ChangeConfig{Remove: []string{"X-Nothing"}}.Compile(headers.Response)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := newRig(t)
	apart := *r.edge.Generation()
	apart.Plans = append([]proxy.Plan(nil), apart.Plans...)
	apart.Plans[0].Response = nothing
	whole := r.edge.Generation()
	for _, j := range journeys {
		if !j.stored {
			continue
		}
		v := r.visitor(j.path, j.more)
		v.warm(j.status, j.stored)
		now := time.Now()
		r.edge.Use(whole)
		got, kind, all := v.at(now), string(v.x.Out.ContentType), v.x.Res.AllFields()
		if inOne := v.x.Res.Head != nil; inOne != (j.status == 200) {
			t.Errorf("%s: in one piece: %v", j.name, inOne)
		}
		var listed []byte
		for _, f := range all {
			listed = append(append(append(append(listed, f.Name...), ": "...), f.Value...), "\r\n"...)
		}
		r.edge.Use(&apart)
		want := v.at(now)
		if v.x.Res.Head != nil {
			t.Errorf("%s: a route with changes sends the stored lines as they are", j.name)
		}
		if !bytes.Equal(got, listed) || !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%s: got\n%s\nlisted\n%s\nwant\n%s", j.name, got, listed, want)
		}
		if kind != string(v.x.Out.ContentType) {
			t.Errorf("%s: type %q, want %q", j.name, kind, v.x.Out.ContentType)
		}
		r.edge.Use(whole)
	}
}

// sorted gives the lines in an order of their own: an age goes before or after the others.
func sorted(lines []byte) []string {
	return slices.Sorted(strings.Lines(string(lines)))
}

// TestStoredHeadStaysWithItsAnswer: the next answer of the same exchange has nothing of it.
func TestStoredHeadStaysWithItsAnswer(t *testing.T) {
	r := newRig(t)
	v := r.visitor("/hit", "")
	v.warm(200, true)
	v.at(time.Now())
	if v.x.Res.Head == nil {
		t.Fatal("no stored head was sent")
	}
	v.req.Method, v.fields = []byte("CONNECT"), field.List{}
	if lines := v.at(time.Now()); v.x.Res.Head != nil || bytes.Contains(lines, []byte("ETag")) {
		t.Errorf("a refusal says\n%s", lines)
	}
}

// TestCopyHasTheHeadOfTheLast304: a compressed copy outlives the fields that it was made with.
func TestCopyHasTheHeadOfTheLast304(t *testing.T) {
	var round atomic.Int64
	var lasting atomic.Bool
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "max-age=600")
		if !lasting.Load() {
			h.Set("Age", "600")
		}
		h.Set("ETag", `"v1"`)
		h.Set("X-Round", fmt.Sprint(round.Add(1)))
		if q.Header.Get("If-None-Match") != "" {
			w.WriteHeader(304)
			return
		}
		h.Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, strings.Repeat(".a{color:#123456}\n", 1000))
	}))
	t.Cleanup(app.Close)
	r := newRigOf(t, app.URL)
	v := r.visitor("/", "")
	v.fields.Del("Cookie")
	ask := func() (head bool) {
		lines := v.at(time.Now())
		if want := fmt.Sprintf("X-Round: %d\r\n", round.Load()); !bytes.Contains(lines, []byte(want)) {
			t.Fatalf("no %q in\n%s", want, lines)
		}
		if !bytes.Contains(lines, []byte("Content-Encoding: zstd\r\n")) || !bytes.Contains(lines, []byte("Etag: W/\"v1\"\r\n")) {
			t.Fatalf("not encoded:\n%s", lines)
		}
		return v.x.Res.Head != nil
	}
	for round.Load() < 2 || v.x.Res.Stream != nil { // until there is a copy
		ask()
	}
	lasting.Store(true)
	ask()
	for end := time.Now().Add(10 * time.Second); !ask(); {
		if time.Now().After(end) {
			t.Fatal("the copy never got the head of the last 304")
		}
	}
	if v.x.Out.OriginStatus != 0 {
		t.Error("the origin was asked")
	}
}

// TestConditionsAreSeen: whoever has the content already hears so, by whichever condition he asks.
func TestConditionsAreSeen(t *testing.T) {
	r := newRig(t)
	r.visitor("/hit", "").warm(200, true)
	for _, line := range []string{"If-None-Match: W/\"v1\"", "if-none-match: *", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"} {
		if status, _, stored := r.visitor("/hit", line+"\r\n").once(); status != 304 || !stored {
			t.Errorf("%s: %d, stored %v", line, status, stored)
		}
	}
}
