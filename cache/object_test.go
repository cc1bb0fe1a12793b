package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cache/rfc9111"
)

// sample builds an object with a body from a head.
func sample(t testing.TB, body string, lines ...string) Object {
	t.Helper()
	fields := list(lines...)
	a := rfc9111.Assess(&rfc9111.Request{Method: []byte("GET")}, &rfc9111.Response{Status: 200, Fields: fields},
		&rfc9111.Rules{}, t0, t0)
	d := draft{id: 7, epoch: 9, status: 200, key: []byte("primary+suffix"), primary: 7, lines: fields, received: t0, judged: &a, lifetime: a.Lifetime}
	b, ok := d.build(len(body))
	if !ok {
		t.Fatal("does not fit")
	}
	return finish(append(b, body...), len(b))
}

func TestObjectKeepsWhatItWasGiven(t *testing.T) {
	o := sample(t, "body", "Date: "+date(t0.Add(-2*time.Second)), "ETag: \"x\"", "Content-Type: text/plain",
		"Last-Modified: "+date(t0.Add(-time.Hour)), "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=6",
		"Age: 30", "Content-Length: 4", "Connection: x", "Empty:", "Link: a", "Link: b")
	if o.Status() != 200 || o.ID() != 7 || o.Epoch() != 9 || string(o.Key()) != "primary+suffix" || string(o.Primary()) != "primary" {
		t.Errorf("numbers: %d %d %d %q %q", o.Status(), o.ID(), o.Epoch(), o.Key(), o.Primary())
	}
	want := "Date: " + date(t0.Add(-2*time.Second)) + "\r\nETag: \"x\"\r\nContent-Type: text/plain\r\nLast-Modified: " +
		date(t0.Add(-time.Hour)) + "\r\nCache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=6\r\nEmpty: \r\nLink: a\r\nLink: b\r\n"
	if string(o.Head()) != want {
		t.Errorf("head: got\n%s", o.Head())
	}
	var joined bytes.Buffer
	for _, f := range o.Fields(nil) {
		fmt.Fprintf(&joined, "%s: %s\r\n", f.Name, f.Value)
	}
	if joined.String() != want {
		t.Errorf("fields: got\n%s", joined.String())
	}
	if string(o.Body()) != "body" || string(o.ETag()) != `"x"` || !o.LastModified().Equal(t0.Add(-time.Hour)) {
		t.Errorf("body %q, etag %q, modified %s", o.Body(), o.ETag(), o.LastModified())
	}
	if o.Age(t0.Add(5*time.Second)) != 35*time.Second || o.Left(t0) != 30*time.Second || !o.Fresh(t0) || o.Fresh(t0.Add(30*time.Second)) {
		t.Errorf("age %s, left %s", o.Age(t0.Add(5*time.Second)), o.Left(t0))
	}
	if o.Age(t0.Add(-time.Hour)) != 30*time.Second {
		t.Error("a clock set back made the object younger")
	}
	s := o.stored(t0)
	if s.WhileStale != 5*time.Second || s.IfError != 6*time.Second {
		t.Errorf("windows: %+v", s)
	}
}

func TestObjectGetsADate(t *testing.T) {
	for _, lines := range [][]string{{"X: 1"}, {"X: 1", "Date: yesterday"}} {
		o := sample(t, "", lines...)
		if string(o.Get("Date")) != date(t0) || o.Lines() != 2 {
			t.Errorf("%q: got %s", lines, o.Head())
		}
	}
}

func TestObjectWithoutNamedFields(t *testing.T) {
	o := sample(t, "", `Cache-Control: no-cache="A, b", private=Set-Cookie`, "a: 1", "B: 2", "c: 3", "Set-Cookie: x=y", "Date: "+date(t0))
	if o.Get("a") != nil || o.Get("b") != nil || o.Get("set-cookie") != nil || string(o.Get("c")) != "3" {
		t.Errorf("got %s", o.Head())
	}
}

// TestWhatAnObjectSaysOfItsContent: its type, and whether it may be sent in a content coding.
func TestWhatAnObjectSaysOfItsContent(t *testing.T) {
	for _, c := range []struct {
		kind  string
		may   bool
		lines []string
	}{
		{"text/css", true, []string{"X: 1", "content-type: text/css", "Cache-Control: max-age=9"}},
		{"", false, []string{"X: 1"}},
		{"", true, []string{"Content-Type:", "ETag: \"x\""}},
		{"a/b", false, []string{"Content-Type: a/b", "Content-Type: c/d"}},
		{"a/b", false, []string{"Content-Type: a/b", "Content-Encoding: br"}},
		{"a/b", false, []string{"Content-Encoding: identity", "Content-Type: a/b"}},
		{"a/b", false, []string{"Content-Type: a/b", "Content-Range: bytes 0-1/2"}},
		{"a/b", false, []string{"Content-Type: a/b", "Cache-Control: max-age=9", "cache-control: public, No-Transform"}},
	} {
		o := sample(t, "body", c.lines...)
		if string(o.ContentType()) != c.kind || o.MayTransform() != c.may {
			t.Errorf("%q: %q, may be transformed: %v", c.lines, o.ContentType(), o.MayTransform())
		}
		if d, ok := Decode(o.Bytes()); !ok || string(d.ContentType()) != c.kind {
			t.Errorf("%q: decoded it is %q, %v", c.lines, d.ContentType(), ok)
		}
	}
	damaged := bytes.Clone(sample(t, "body", "A: b").Bytes())
	binary.LittleEndian.PutUint16(damaged[atTypeLine:], 3)
	if _, ok := Decode(damaged); ok {
		t.Error("a line that is not there was taken for the type")
	}
}

func TestHeadThatDoesNotFit(t *testing.T) {
	d := draft{received: t0, judged: &rfc9111.Assessment{Date: t0}, lines: list("X: " + strings.Repeat("a", maxHeadBlock))}
	if _, ok := d.build(0); ok {
		t.Error("it was built")
	}
}

func TestFinishDoesNotWasteMemory(t *testing.T) {
	b := slices.Grow([]byte(nil), 1<<20)[:headSize]
	if o := finish(append(b, "x"...), headSize); o.Size() > 200 {
		t.Errorf("%d bytes for one", o.Size())
	}
}

func TestDerivedDiesWithItsSource(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.get("/", t0)
	o := w.c.Lookup(w.request("/"), t0).Object
	if !w.c.PutDerived(o, "br", []byte("A: b\r\n"), []byte("small")) {
		t.Fatal("not taken")
	}
	if d, ok := w.c.GetDerived(o, "br"); !ok || string(d.Body()) != "small" {
		t.Errorf("got %q %v", d.Body(), ok)
	}
	if _, ok := w.c.GetDerived(o, "gzip"); ok {
		t.Error("another coding answered")
	}
	if d, _ := w.c.GetDerived(o, "br"); string(d.Head()) != "A: b\r\n" || !d.Dresses(o) || o.Dresses(o) {
		t.Errorf("its head is %q", d.Head())
	}
	kept, _ := w.c.GetDerived(o, "br")
	if d, ok := Decode(kept.Bytes()); !ok || string(d.Head()) != "A: b\r\n" || string(d.Body()) != "small" {
		t.Errorf("decoded: %v, %q", ok, d.Head())
	}
	w.get("/", t0.Add(time.Hour))
	o = w.c.Lookup(w.request("/"), t0.Add(time.Hour)).Object
	if _, ok := w.c.GetDerived(o, "br"); ok {
		t.Error("it outlived its source")
	}
}

// TestDerivedIsDressedUntilA304: the content lasts, its fields do not.
func TestDerivedIsDressedUntilA304(t *testing.T) {
	w := newWorld(t, nil, validating(`"v1"`, "Cache-Control: max-age=60"))
	w.get("/", t0)
	o := w.c.Lookup(w.request("/"), t0).Object
	head := []byte("A: b\r\n")
	w.c.PutDerived(o, "br", head, []byte("small"))
	later := t0.Add(time.Minute)
	for range 2 {
		w.get("/", later)
		o = w.c.Lookup(w.request("/"), later).Object
		d, ok := w.c.GetDerived(o, "br")
		if !ok || d.Dresses(o) {
			t.Errorf("after a 304: kept %v, dresses it %v", ok, d.Dresses(o))
		}
		w.c.PutDerived(o, "br", head, d.Body())
		if d, _ := w.c.GetDerived(o, "br"); !d.Dresses(o) {
			t.Error("it does not dress what it was put beside")
		}
		later = later.Add(time.Minute)
	}
}

func TestAForeignObjectUnderTheSameHashIsAMiss(t *testing.T) {
	w := newWorld(t, nil, numbered("Cache-Control: max-age=60"))
	w.get("/", t0)
	q := w.request("/other")
	q.buildKey(w.c)
	w.tier.Set(q.hash, w.c.Lookup(w.request("/"), t0).Object)
	if res := w.c.Lookup(q, t0); res.Verdict != Miss {
		t.Errorf("got %s", res.Verdict)
	}
}

// FuzzDecode: whatever the blob, no accessor of a decoded object reads outside it.
func FuzzDecode(f *testing.F) {
	f.Add(sample(f, "body", "ETag: \"x\"", "Cache-Control: max-age=60").Bytes())
	f.Add(headed(kindDerived, 1, 200, []byte("k"), 1, []byte("A: b\r\n"), []byte("body")).Bytes())
	f.Add(small(kindVary, 1, 0, []byte("k"), 1, []byte("\x03abc")).Bytes())
	f.Add(small(kindVary, 1, 0, []byte("k"), 1, []byte("\x01a\x0012345678")).Bytes())
	f.Add(small(kindSearch, 1, 0, []byte("k"), 1, []byte("\x01\x00v\x00\x00\x01k")).Bytes())
	damaged := bytes.Clone(sample(f, "body", "A: b").Bytes())
	binary.LittleEndian.PutUint32(damaged[atHead:], 1<<31)
	f.Add(damaged)
	f.Fuzz(func(t *testing.T, b []byte) {
		o, ok := Decode(b)
		if !ok {
			return
		}
		o.Fields(nil)
		o.ETag()
		o.LastModifiedValue()
		o.ContentType()
		o.stored(t0)
		o.Head()
		namesOf(o)
		o.Own(nil)
		q := &Request{Policy: &Policy{}, Path: []byte("/"), Query: []byte("a=1&k"), HasQuery: true}
		appendSuffix(nil, o, q, nil)
		q.appendEquivalent(nil, o)
		if n := headSize + len(o.Key()) + o.Lines()*lineSize + len(o.Head()) + o.u32(atOwn) + len(o.Body()); n != len(b) {
			t.Fatalf("%d of %d bytes are accounted for", n, len(b))
		}
	})
}

// TestSharedMemory copies an object into memory that others share: it stays what it is, an append to a part of it
// does not reach its neighbour, and who holds it is known to hold the whole.
func TestSharedMemory(t *testing.T) {
	o := sample(t, "body", "A: b")
	mem := make([]byte, 2*o.Size())
	for i := range mem {
		mem[i] = 'x'
	}
	c := o.CopyTo(mem, 7)
	for _, b := range [][]byte{c.Bytes(), c.Body(), c.Head(), c.Key(), c.Primary()} {
		_ = append(b, "overwritten"...)
	}
	if got := mem[len(o.Bytes())]; got != 'x' {
		t.Errorf("the neighbour was written to: %q", got)
	}
	if string(c.Body()) != "body" || string(c.Get("A")) != "b" || string(c.Key()) != string(o.Key()) {
		t.Errorf("the copy is another object: %q", c.Bytes())
	}
	id, size := c.Pins()
	if id2, _ := o.CopyTo(mem, 7).Pins(); id != id2 || size != SharedMemory {
		t.Errorf("in the same memory: %x and %x, %d bytes", id, id2, size)
	}
	if id2, _ := o.CopyTo(mem, 8).Pins(); id == id2 {
		t.Error("other memory has the same id")
	}
	if id2, own := o.Pins(); id == id2 || own != int64(o.Size()) {
		t.Errorf("in its own memory: %d bytes", own)
	}
}
