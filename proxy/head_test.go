package proxy_test

import (
	"bytes"
	"net/netip"
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
		if inOne := v.x.Res.Head != nil; inOne != (j.name == "hit") {
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
		if !bytes.Equal(got, want) || !bytes.Equal(listed, want) {
			t.Errorf("%s: got\n%s\nlisted\n%s\nwant\n%s", j.name, got, listed, want)
		}
		if kind != string(v.x.Out.ContentType) {
			t.Errorf("%s: type %q, want %q", j.name, kind, v.x.Out.ContentType)
		}
		r.edge.Use(whole)
	}
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
