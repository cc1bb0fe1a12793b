package purge

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tzero-edge/tzero/internal/field"
)

func list(lines ...string) field.List {
	var l field.List
	for _, s := range lines {
		name, value, _ := strings.Cut(s, ":")
		l.AddString(name, strings.TrimSpace(value))
	}
	return l
}

func cellsOf(t *testing.T, target string, lines ...string) []byte {
	t.Helper()
	path, _, _ := strings.Cut(target, "?")
	b, ok := AppendCells(nil, Page{Scheme: "https", Host: []byte("Shop.test"), Path: []byte(path), Target: []byte(target)}, list(lines...))
	if !ok {
		t.Fatalf("%s is not stored", target)
	}
	return b
}

func raw(a *Address) []byte {
	if a.HasQuery {
		return []byte(a.Path + "?" + a.Query)
	}
	return []byte(a.Path)
}

func TestWhatAPurgeHits(t *testing.T) {
	page := cellsOf(t, "/blog/first?page=2", "Surrogate-Key: news  front", "Surrogate-Key: late", "Cache-Tag: a b, c", `Cache-Groups: "g1", "g2";x, tok`)
	hits := func(want Verdict, json string) {
		t.Helper()
		r, err := ReadRequest([]byte(json))
		if err != nil {
			t.Fatal(err)
		}
		cells, err := r.Cells(raw)
		if err != nil {
			t.Fatal(err)
		}
		e := NewEpochs()
		e.Next(Hard, []Cell{Tag([]byte("before"))})
		since := e.Latest()
		e.Next(r.Kind(), cells)
		if got := e.Check(since, page); got != want {
			t.Errorf("%s: got %d, want %d", json, got, want)
		}
		if e.Check(e.Latest(), page) != Clean {
			t.Errorf("%s: what was fetched afterwards is hit", json)
		}
	}
	hits(HardPurged, `{"url": "https://shop.test/blog/first?page=2"}`)
	hits(HardPurged, `{"urls": ["http://SHOP.test/blog/first?page=2", "https://other.test/"]}`)
	hits(Clean, `{"url": "https://shop.test/blog/first"}`)
	hits(Clean, `{"url": "https://shop.test:8443/blog/first?page=2"}`)
	hits(HardPurged, `{"prefix": "https://shop.test/blog"}`)
	hits(HardPurged, `{"prefix": "shop.test/blog/"}`)
	hits(HardPurged, `{"prefix": "shop.test/blog/first"}`)
	hits(HardPurged, `{"prefix": "shop.test"}`)
	hits(Clean, `{"prefix": "shop.test/blo"}`)
	hits(Clean, `{"prefix": "shop.test/blog/first/more"}`)
	hits(Clean, `{"prefix": "other.test"}`)
	for _, tag := range []string{"news", "front", "late", "c"} {
		hits(HardPurged, fmt.Sprintf(`{"tag": %q}`, tag))
	}
	hits(Clean, `{"tags": ["New", "NEWS", "G1", "tok"]}`)
	hits(HardPurged, `{"tag": "g1"}`)
	hits(HardPurged, `{"tag": "a b"}`)
	hits(HardPurged, `{"tag": "front other"}`)
	hits(HardPurged, `{"url": "http://shop.test:80/blog/first?page=2"}`)
	hits(HardPurged, `{"prefix": "shop.test:443/blog"}`)
	hits(SoftPurged, `{"tag": "news", "soft": true}`)
	hits(HardPurged, `{"all": true}`)
	hits(SoftPurged, `{"all": true, "soft": true}`)

	e := NewEpochs()
	e.Next(Hard, []Cell{Group("https", []byte("SHOP.test"), []byte("g2"))})
	if e.Check(0, page) != HardPurged {
		t.Error("a group of the origin is not hit")
	}
	e = NewEpochs()
	e.Next(Hard, []Cell{Group("http", []byte("shop.test"), []byte("g2")), Group("https", []byte("shop.test"), []byte("tok"))})
	if e.Check(0, page) != Clean {
		t.Error("another origin's group, or what is no string, is hit")
	}
}

// TestAddressesAsTheyAreSent: paths are never rewritten, so what is purged has to be what was sent.
func TestAddressesAsTheyAreSent(t *testing.T) {
	for s, want := range map[string]string{
		"https://a.test":                   "/",
		"https://a.test?b":                 "/?b",
		"https://a.test/a|b^c[d]?e|f^{g}":  "/a|b^c[d]?e|f^{g}",
		"https://a.test/a%7cb//c/../d#e?f": "/a%7cb//c/../d",
		"https://a.test/bücher lesen?q=ü":  "/b%C3%BCcher%20lesen?q=%C3%BC",
		"https://a.test/a?":                "/a?",
		"https://a.test/?a=/b?c":           "/?a=/b?c",
	} {
		a, err := readAddress(s)
		if err != nil || string(raw(&a)) != want || a.Host != "a.test" {
			t.Errorf("%s: %q of %q, %v", s, raw(&a), a.Host, err)
		}
	}
}

// TestBothSchemes: a page is purged over http and https, which may be keyed differently.
func TestBothSchemes(t *testing.T) {
	r := Request{URLs: []string{"https://a.test/x"}}
	cells, err := r.Cells(func(a *Address) []byte { return []byte(a.Scheme + a.Path) })
	if err != nil || len(cells) != 2 || r.Targets() != 1 {
		t.Error(cells, err)
	}
	for _, target := range []string{"http/x", "https/x"} {
		if !slices.Contains(cells, URL([]byte("a.test"), []byte(target))) {
			t.Error(target)
		}
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	bad := func(json, want string) {
		t.Helper()
		r, err := ReadRequest([]byte(json))
		if err == nil {
			_, err = r.Cells(raw)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that contains %q", json, err, want)
		}
	}
	bad(``, "there is nothing")
	bad(`{`, "it ends too early")
	bad(`[]`, "it is an array and no object")
	bad(`{"tags": "a"}`, "tags cannot be of the kind string")
	bad(`{"tags": [1]}`, "tags cannot be of the kind number")
	bad(`{"soft": 1}`, "soft cannot be of the kind number")
	bad(`{"tagz": ["a"]}`, `unknown field "tagz"`)
	bad(`{"tag": "a"} {"tag": "b"}`, "something follows")
	bad(`{}`, "cannot purge nothing")
	bad(`{"soft": true}`, "cannot purge nothing")
	bad(`{"all": true, "tag": "a"}`, "everything and some of it")
	bad(`{"tags": [""]}`, "1 to 1024 bytes")
	bad(`{"tag": "a\u0007b"}`, "no control characters")
	bad(`{"url": "https://shop.test:99999/"}`, "there is no port 99999")
	bad(`{"url": "https://bücher.test/"}`, "begins with xn--")
	bad(`{"url": "https:///page"}`, "no page's address")
	bad(`{"prefix": "blog"}`, "it names no host")
	bad(`{"prefix": "blog/first"}`, "it names no host")
	bad(`{"url": "/page"}`, "no page's address")
	bad(`{"url": "https://u:p@shop.test/"}`, "no page's address")
	bad(`{"prefix": "/blog"}`, "a host and the beginning of a path")
	bad(`{"prefix": "shop.test/a?b"}`, "a host and the beginning of a path")
	bad(`{"prefix": "shop.test/*"}`, "a host and the beginning of a path")
	bad(`{"prefix": "shop.test/`+strings.Repeat("a/", 40)+`"}`, "more than 32 segments")
	bad(`{"tags": [`+strings.Repeat(`"a",`, MaxTargets)+`"a"]}`, "at most 10000")
}

func TestWhatCannotBePurgedIsNotStored(t *testing.T) {
	p := Page{Host: []byte("h"), Path: []byte("/"), Target: []byte("/")}
	if _, ok := AppendCells(nil, p, list("Surrogate-Key: "+strings.Repeat("k", MaxTag+1))); ok {
		t.Error("a tag that is too long is carried")
	}
	var many []string
	for i := range MaxTags + 1 {
		many = append(many, fmt.Sprint("t", i))
	}
	if _, ok := AppendCells(nil, p, list("Surrogate-Key: "+strings.Join(many, " "))); ok {
		t.Error("too many tags are carried")
	}
	if _, ok := AppendCells(nil, p, list("Surrogate-Key: "+strings.Join(many[1:], " "))); !ok {
		t.Error("a thousand tags are not")
	}
	deep := Page{Host: []byte("h"), Path: []byte(strings.Repeat("/a", 5000)), Target: []byte("/")}
	if b, ok := AppendCells(nil, deep, nil); !ok || len(b)/4 > MaxDepth+2 {
		t.Errorf("a deep path carries %d cells", len(b)/4)
	}
}

// Nodes hear of purges in any order, some twice, some only in the sum.
func TestPurgesCommute(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		var all []Purge
		for i := range 50 {
			p := Purge{Seq: uint64(i + 1), Kind: Kind(r.IntN(2))}
			for range 1 + r.IntN(4) {
				p.Cells = append(p.Cells, Cell(r.IntN(20)))
			}
			all = append(all, p)
		}
		a, b, c := NewEpochs(), NewEpochs(), NewEpochs()
		for _, p := range all {
			a.Apply(p)
		}
		for _, i := range r.Perm(len(all)) {
			b.Apply(all[i])
			b.Apply(all[r.IntN(len(all))])
		}
		a.Each(func(cell Cell, k Kind, seq uint64) { c.Apply(Purge{Seq: seq, Kind: k, Cells: []Cell{cell}}) })
		if a.Latest() != b.Latest() || a.Latest() != c.Latest() {
			t.Fatalf("latest %d, %d, %d", a.Latest(), b.Latest(), c.Latest())
		}
		for range 500 {
			since := r.Uint64N(55)
			var cells []byte
			for range r.IntN(5) {
				cells = binary.LittleEndian.AppendUint32(cells, uint32(r.IntN(20)))
			}
			want := Clean
			for _, p := range all {
				for _, cell := range p.Cells {
					if carried := cell == Everything || slices.Contains(unpack(cells), cell); carried && p.Seq > since {
						want = max(want, map[Kind]Verdict{Soft: SoftPurged, Hard: HardPurged}[p.Kind])
					}
				}
			}
			for _, e := range []*Epochs{a, b, c} {
				if got := e.Check(since, cells); got != want {
					t.Fatalf("since %d, cells %v: got %d, want %d", since, unpack(cells), got, want)
				}
			}
		}
	}
}

func unpack(b []byte) (cells []Cell) {
	for ; len(b) >= 4; b = b[4:] {
		cells = append(cells, Cell(binary.LittleEndian.Uint32(b)))
	}
	return cells
}

func FuzzAppendCells(f *testing.F) {
	f.Add("/a/b", "k1 k2", "x, y", `"g"`)
	f.Add("", "", ",", `("a" "b"), 1`)
	f.Fuzz(func(t *testing.T, path, keys, tags, groups string) {
		fields := field.List{{Name: []byte("Surrogate-Key"), Value: []byte(keys)}, {Name: []byte("Cache-Tag"), Value: []byte(tags)},
			{Name: []byte("Cache-Groups"), Value: []byte(groups)}}
		b, ok := AppendCells([]byte("x"), Page{Scheme: "http", Host: []byte("h"), Path: []byte(path), Target: []byte(path)}, fields)
		cells := unpack(b[1:])
		if b[0] != 'x' || (len(b)-1)%4 != 0 || ok && len(cells) > MaxTags+MaxDepth+2 {
			t.Fatalf("%d bytes", len(b))
		}
		for i, c := range cells {
			if c == Everything || c >= Cells || slices.Contains(cells[:i], c) {
				t.Fatalf("cell %d of %v", c, cells)
			}
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(`{"tags": ["a"], "soft": true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ReadRequest(b); err == nil {
			_, _ = r.Cells(raw)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	e := NewEpochs()
	e.Next(Hard, []Cell{Tag([]byte("other"))})
	page, _ := AppendCells(nil, Page{Scheme: "https", Host: []byte("shop.test"), Path: []byte("/blog/first"), Target: []byte("/blog/first")},
		list("Surrogate-Key: a b c d"))
	b.Run("purged-since", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Check(0, page)
		}
	})
	b.Run("none-since", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			e.Check(1, page)
		}
	})
}
