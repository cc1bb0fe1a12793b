package proxy_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// forwarded walks one journey and returns the answer's content, and whether it was sent as it lay in the origin's buffer.
func (v *visitor) forwarded(finish error) (content string, asIs bool) {
	v.r.tb.Helper()
	x := &v.x
	x.Reset()
	v.req.Fields = append(v.req.Fields[:0], v.fields...)
	x.Req, x.Peer, x.Started, x.Carrier = &v.req, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 1234), time.Now(), alone{}
	v.r.edge.Serve(x)
	var out bytes.Buffer
	out.Write(x.Res.Bytes)
	if x.Res.Stream != nil {
		if _, err := x.Res.Stream.WriteTo(&out); err != nil {
			v.r.tb.Fatal(err)
		}
	} else if x.Res.Length != int64(out.Len()) {
		v.r.tb.Errorf("%d bytes of content, and the head speaks of %d", out.Len(), x.Res.Length)
	}
	asIs = x.Res.Stream == nil && len(x.Res.Bytes) > 0
	v.r.edge.Finish(x, int64(out.Len()), finish)
	return out.String(), asIs
}

// A small answer is here with its head: it is sent from where it lies, and the connection is used again.
func TestSmallAnswerIsSentFromTheOriginsBuffer(t *testing.T) {
	r := newRig(t)
	v := r.visitor("/dyn", "")
	v.warm(200, false)
	for i := range 20 {
		var finish error
		if i == 10 {
			finish = io.ErrClosedPipe // the client is gone: that is none of the origin's business
		}
		if content, asIs := v.forwarded(finish); !asIs || content != strings.Repeat("x", 1<<10) {
			t.Fatalf("as it lies: %v, %d bytes", asIs, len(content))
		}
	}
	if n := r.pools.Stats()[0].Connects; n != 1 {
		t.Errorf("%d connections for one request at a time", n)
	}
}

func TestSmallAnswerIsCompressedInPassing(t *testing.T) {
	r := newRig(t)
	v := r.visitor("/own", "")
	v.fields.Set("Accept-Encoding", []byte("gzip"))
	v.warm(200, false)
	for range 3 {
		content, asIs := v.forwarded(nil)
		in, err := gzip.NewReader(strings.NewReader(content))
		if err != nil || asIs {
			t.Fatal(asIs, err)
		}
		if plain, err := io.ReadAll(in); err != nil || string(plain) != ownContent {
			t.Fatalf("%d bytes, %v", len(plain), err)
		}
	}
	v.fields.Del("Accept-Encoding")
	if content, asIs := v.forwarded(nil); !asIs || content != ownContent {
		t.Errorf("uncompressed: as it lies %v, %d bytes", asIs, len(content))
	}
	v = r.visitor("/own", "")
	v.req.Method = []byte("HEAD")
	if content, _ := v.forwarded(nil); content != "" || !v.x.Res.NoBody {
		t.Errorf("HEAD is answered with %q", content)
	}
}
