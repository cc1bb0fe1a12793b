package l2

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/tzero-edge/tzero/cache"
)

// blob is an object in its layout (cache/object.go), with a key and a body and nothing else.
func blob(key, body string) []byte {
	b := make([]byte, 136)
	b[0], b[1] = 5, 1
	le := binary.LittleEndian
	le.PutUint16(b[4:], 200)
	le.PutUint64(b[48:], 0)
	le.PutUint64(b[56:], 60000)
	le.PutUint32(b[72:], uint32(len(key)))
	le.PutUint32(b[76:], uint32(len(key)))
	le.PutUint32(b[84:], uint32(len(body)))
	le.PutUint16(b[102:], 1) // may be transformed
	return append(append(b, key...), body...)
}

func TestWhatGoesInComesOut(t *testing.T) {
	c, err := newCodec(1<<10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	now := time.UnixMilli(1_000_000_000)
	for _, body := range []string{"", "short", string(bytes.Repeat([]byte("long and dull "), 1000))} {
		o, ok := cache.Attach(blob("key", body), 5*time.Second, now)
		if !ok {
			t.Fatal("the test's object is none")
		}
		v := c.encode(o, [16]byte{1}, time.Minute, now.Add(time.Second))
		got, ok := c.decode(bytes.Clone(v), 50*time.Second, now.Add(time.Hour)) // ten seconds in Redis, whatever the clocks say
		if !ok || string(got.Body()) != body || string(got.Key()) != "key" {
			t.Fatalf("%d bytes of body: %v", len(body), ok)
		}
		if age := got.Age(now.Add(time.Hour)); age != 16*time.Second {
			t.Errorf("it is %s old, want 16s", age)
		}
		for i := range v {
			bad := bytes.Clone(v)
			bad[i] ^= 0x10
			if _, ok := c.decode(bad, time.Second, now); ok {
				t.Fatalf("byte %d may be damaged", i)
			}
			if _, ok := c.decode(v[:i:i], time.Second, now); ok {
				t.Fatalf("the first %d bytes are taken", i)
			}
		}
	}
	small := &codec{enc: c.enc, dec: c.dec, above: 1 << 10, mostBody: 100}
	o, _ := cache.Attach(blob("key", string(bytes.Repeat([]byte("x"), 2000))), 0, now)
	if _, ok := small.decode(c.encode(o, [16]byte{}, time.Minute, now), time.Minute, now); ok {
		t.Error("a body beyond the bound is taken")
	}
}

// Decoding gives, byte for byte, what attaching the object itself does.
func TestDecodingIsAttaching(t *testing.T) {
	c, err := newCodec(1<<10, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	source := rand.New(rand.NewPCG(1, 2))
	now := time.UnixMilli(1_700_000_000_000)
	compressed := 0
	for i := range 300 {
		body := make([]byte, source.IntN(20000))
		for j := range body {
			body[j] = byte(source.IntN(1 + i)) // from dull to random
		}
		raw := blob(strings.Repeat("k", 1+source.IntN(300)), string(body))
		raw[102] = byte(i & 1)
		resident := time.Duration(source.IntN(1e6)) * time.Millisecond
		o, ok := cache.Attach(raw, resident, now)
		if !ok {
			t.Fatal("the test's object is none")
		}
		want, _ := cache.Attach(o.AppendDetached(nil), resident+5*time.Second, now)
		v := c.encode(o, [16]byte{byte(i)}, time.Minute, now)
		if len(v) < len(raw) {
			compressed++
		}
		got, ok := c.decode(v, 55*time.Second, now)
		if !ok || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("value %d: %v, and not the same", i, ok)
		}
	}
	if compressed == 0 {
		t.Error("nothing was compressed")
	}
}

// A value that grows beyond what it says of itself costs no more memory than that.
func TestABodyIsNoLongerThanItSays(t *testing.T) {
	const much = 64 << 20
	c, err := newCodec(1<<10, much)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var stream bytes.Buffer // of a length that is not said
	w, err := zstd.NewWriter(&stream)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, much))
	_ = w.Close()
	head := blob("key", "")
	for name, frame := range map[string][]byte{"one frame": c.enc.EncodeAll(make([]byte, much), nil), "a stream": stream.Bytes()} {
		v := append(append(make([]byte, valueHead), head...), frame...)
		le := binary.LittleEndian
		le.PutUint32(v[atMagic:], magic)
		le.PutUint32(v[atFlags:], flagCompressed)
		le.PutUint32(v[atPrefixLen:], uint32(len(head)))
		le.PutUint32(v[atBodyLen:], 1000)
		le.PutUint64(v[atSum:], sum(v))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, ok := c.decode(v, 0, time.UnixMilli(0))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; ok || took > 8<<20 {
			t.Errorf("%s: taken: %v, for %d bytes of memory", name, ok, took)
		}
	}
}

func FuzzDecode(f *testing.F) {
	c, err := newCodec(64, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	now := time.UnixMilli(1_000_000_000)
	for _, body := range []string{"", "short", string(bytes.Repeat([]byte("long and dull "), 100))} {
		o, _ := cache.Attach(blob("key", body), 5*time.Second, now)
		f.Add(c.encode(o, [16]byte{}, time.Minute, now)[valueHead:], uint32(0))
	}
	f.Fuzz(func(t *testing.T, rest []byte, flags uint32) {
		v := append(make([]byte, valueHead), rest...) // with a sum that is right, or nothing gets past it
		le := binary.LittleEndian
		le.PutUint32(v[atMagic:], magic)
		le.PutUint32(v[atFlags:], flags)
		le.PutUint64(v[atLife:], 60000)
		le.PutUint32(v[atPrefixLen:], uint32(min(len(rest), 139)))
		le.PutUint32(v[atBodyLen:], uint32(max(0, len(rest)-139)))
		le.PutUint64(v[atSum:], sum(v))
		o, ok := c.decode(v, time.Second, now)
		if ok {
			_, _, _, _, _ = o.Key(), o.Head(), o.Body(), o.Cells(), o.Own(nil)
			o.Fields(nil)
		}
	})
}

func FuzzReadWritten(f *testing.F) {
	f.Add(AppendWritten(nil, Written{Node: "0123456789abcdef", Wait: time.Second, Primary: []byte("key")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, ok := ReadWritten(b); ok && !bytes.Equal(AppendWritten(nil, w), b) {
			t.Fatalf("%q is read as %+v", b, w)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	c, _ := newCodec(1<<10, 8<<20)
	now := time.UnixMilli(1_000_000_000)
	for _, n := range []int{1 << 10, 30 << 10, 300 << 10} {
		text := make([]byte, 0, n)
		for i := 0; len(text) < n; i++ {
			text = append(text, "<li><a href=\"/product/"...)
			text = binary.AppendUvarint(text, uint64(i*7919))
			text = append(text, "\">a product</a></li>\n"...)
		}
		o, _ := cache.Attach(blob("key", string(text[:n])), 0, now)
		b.Run(cacheSize(n)+"/encode", func(b *testing.B) {
			for b.Loop() {
				c.encode(o, [16]byte{}, time.Minute, now)
			}
		})
		v := c.encode(o, [16]byte{}, time.Minute, now)
		b.Run(cacheSize(n)+"/decode", func(b *testing.B) {
			for b.Loop() {
				c.decode(bytes.Clone(v), time.Minute, now)
			}
		})
	}
}

func cacheSize(n int) string { return strconv.Itoa(n>>10) + "KiB" }
