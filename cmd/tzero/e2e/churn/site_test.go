package churn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
)

// site is the origin: it makes a body for any key and language that tells whose it is.
type site struct {
	cache  *cache.Cache
	policy *cache.Policy
	keys   int
	second time.Duration // of the site's time that passes in a second
	begin  time.Time

	requests, hits, fills, validated, voided, bytes atomic.Int64
	wrong                                           atomic.Int64
}

// now is the site's time.
func (s *site) now() time.Time {
	return s.begin.Add(time.Duration(float64(time.Since(s.begin)) * s.second.Seconds()))
}

var languages = [...]string{"de", "en", "fr", "it"}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// content is a body as the origin makes it, piece by piece. It has the checksum of its key and its own in front.
type content struct {
	n, at int
	head  [8]byte
	seed  uint64
	ready bool // all of it is there at once
}

func newContent(name string, n int, seed uint64) *content {
	c := &content{n: n, seed: seed}
	binary.LittleEndian.PutUint32(c.head[4:], crc32.Checksum([]byte(name), castagnoli))
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	crc := uint32(0)
	for at := 0; at < n; {
		p := piece[:min(pieceSize, n-at)]
		c.make(p, at)
		if at == 0 {
			p = p[min(4, len(p)):]
			at = 4
		}
		crc = crc32.Update(crc, castagnoli, p)
		at += len(p)
	}
	binary.LittleEndian.PutUint32(c.head[:], crc)
	return c
}

const pieceSize = 64 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// make writes the bytes from at on.
func (c *content) make(p []byte, at int) {
	clear(p)
	for i := (512 - at%512) % 512; i < len(p); i += 512 {
		p[i] = byte(c.seed + uint64(at+i))
	}
	if at < 8 {
		copy(p, c.head[at:])
	}
}

func (c *content) Read(p []byte) (int, error) {
	if c.at == c.n {
		return 0, io.EOF
	}
	p = p[:min(len(p), c.n-c.at, pieceSize)]
	c.make(p, c.at)
	c.at += len(p)
	return len(p), nil
}
func (c *content) Ready() bool  { return c.ready }
func (c *content) Done() bool   { return c.at == c.n }
func (c *content) Close() error { return nil }

// sum checks content as it passes.
type sum struct {
	head []byte
	crc  uint32
	n    int64
	slow time.Duration
}

func (c *sum) Write(p []byte) (int, error) {
	all := len(p)
	c.n += int64(all)
	if k := min(8-len(c.head), len(p)); k > 0 {
		before := len(c.head)
		c.head, p = append(c.head, p[:k]...), p[k:]
		if before+k > 4 {
			c.crc = crc32.Update(c.crc, castagnoli, c.head[max(before, 4):])
		}
	}
	c.crc = crc32.Update(c.crc, castagnoli, p)
	time.Sleep(c.slow)
	return all, nil
}

func (c *sum) right(name string) bool {
	if c.n < 8 {
		return true // too short to say anything
	}
	return binary.LittleEndian.Uint32(c.head) == c.crc &&
		binary.LittleEndian.Uint32(c.head[4:]) == crc32.Checksum([]byte(name), castagnoli)
}

// visit is one request and everything that belongs to it.
type visit struct {
	s    *site
	r    *rand.Rand
	key  int
	lang string
	name string // what the body must be of
	slow time.Duration
}

// size is chosen anew for every answer: from nothing to 10 MiB, small ones far more often; key 0 takes turns.
func (v *visit) size() int {
	if v.key == 0 {
		return v.r.IntN(10 << 20)
	}
	if v.r.IntN(50) == 0 {
		return 0
	}
	return int(math.Exp(v.r.Float64() * v.r.Float64() * math.Log(10<<20)))
}

func (v *visit) varies() bool { return v.key%5 == 1 }

func (s *site) visit(r *rand.Rand, slow time.Duration) *visit {
	v := &visit{s: s, r: r, slow: slow, lang: languages[r.IntN(len(languages))]}
	if r.IntN(200) > 0 {
		v.key = int(float64(s.keys) * math.Pow(r.Float64(), 3)) // a few are asked for often
	}
	v.name = strconv.Itoa(v.key)
	if v.varies() {
		v.name += v.lang
	}
	return v
}

func (v *visit) request() *cache.Request {
	q := &cache.Request{Method: []byte("GET"), Scheme: "https", Host: []byte("shop.example"), Path: fmt.Appendf(nil, "/%d", v.key), Policy: v.s.policy}
	q.Fields.AddString("Accept-Language", v.lang)
	return q
}

// head is the answer's. What is validated later has an ETag that its size is told by.
func (v *visit) head(status int, n int64) cache.Head {
	var l field.List
	l.AddString("Cache-Control", "max-age="+strconv.Itoa(5+v.r.IntN(600)))
	l.AddString("ETag", `"v`+v.name+`"`)
	if v.varies() {
		l.AddString("Vary", "Accept-Language")
	}
	return cache.Head{Status: status, Fields: l, Length: n}
}

// fetch asks the site.
func (v *visit) fetch(q *cache.Request, res *cache.Result) *cache.Fill {
	now := v.s.now()
	if res.Object.Exists() && v.r.IntN(2) == 0 {
		v.s.validated.Add(1)
		return v.s.cache.Freshen(q, res, v.head(304, 0), now, now)
	}
	v.s.fills.Add(1)
	b := newContent(v.name, v.size(), v.r.Uint64())
	b.ready = v.r.IntN(2) == 0 || b.n < 4096
	n := int64(b.n)
	if v.r.IntN(3) == 0 {
		n = -1
	}
	return v.s.cache.Begin(q, res, v.head(200, n), b, now, now)
}

// fillUp stores pages that nobody asks for again until the cache is nearly full: the soak is about what comes then.
func (s *site) fillUp(tier cache.Tier) {
	r := rand.New(rand.NewPCG(5, 5))
	for key := s.keys; ; key++ {
		if st := tier.Stats(); st.Bytes > st.Capacity/10*9 {
			return
		}
		v := &visit{s: s, r: r, key: key, name: strconv.Itoa(key), lang: languages[0]}
		q := v.request()
		res := s.cache.Lookup(q, s.now())
		b := newContent(v.name, r.IntN(64<<10), r.Uint64())
		b.ready = true
		s.cache.Begin(q, &res, v.head(200, int64(b.n)), b, s.now(), s.now())
	}
}

// run makes the request and checks what comes.
func (v *visit) run(ctx context.Context) error {
	v.s.requests.Add(1)
	for ctx.Err() == nil {
		q := v.request()
		res := v.s.cache.Lookup(q, v.s.now())
		switch res.Verdict {
		case cache.Hit, cache.Stale:
			v.s.hits.Add(1)
			return v.whole(res.Object)
		case cache.Follow:
			return v.follow(res.Fill)
		case cache.Alone:
			return v.follow(v.fetch(q, &res))
		case cache.Refuse:
			return nil
		}
		f, turn, err := v.s.cache.Lead(q, &res, func() (*cache.Fill, error) { return v.fetch(q, &res), nil })
		if err != nil {
			return err
		}
		switch turn {
		case cache.Led, cache.Joined:
			return v.follow(f)
		case cache.OnYourOwn:
			return v.follow(v.fetch(q, &res))
		}
	}
	return nil
}

// whole checks a stored object; a slow reader holds it for a while.
func (v *visit) whole(o cache.Object) error {
	c := &sum{}
	b := o.Body()
	time.Sleep(v.slow)
	_, _ = c.Write(b)
	return v.judge(c)
}

func (v *visit) follow(f *cache.Fill) error {
	r := f.Reader(nil)
	if r == nil { // not to be stored, or memory is short
		return nil
	}
	defer r.Close()
	c := &sum{slow: v.slow}
	if _, err := r.WriteTo(c); err != nil {
		if errors.Is(err, cache.ErrLagging) || errors.Is(err, cache.ErrBroken) {
			return nil
		}
		return err
	}
	return v.judge(c)
}

func (v *visit) judge(c *sum) error {
	v.s.bytes.Add(c.n)
	if !c.right(v.name) {
		v.s.wrong.Add(1)
		return fmt.Errorf("asked for %s, got %d bytes of something else", v.name, c.n)
	}
	return nil
}
