package l1

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tzero-edge/tzero/cache"
)

// A blob of these tests has its hash, a number and a checksum in front, all before the field that a copy changes.
const least = 110

func blob(hash, number uint64, n int) cache.Object {
	b := make([]byte, max(n, least))
	binary.LittleEndian.PutUint64(b, hash)
	binary.LittleEndian.PutUint64(b[8:], number)
	for i := 24; i < len(b); i += 61 {
		b[i] = byte(uint64(i) * (hash + number))
	}
	clear(b[96:100])
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[24:])^uint32(hash)^uint32(number))
	return cache.Reopen(b)
}

// number of a blob; an error when it is not whole, or another key's.
func number(o cache.Object, hash uint64) (uint64, error) {
	b := append([]byte(nil), o.Bytes()...)
	clear(b[96:100])
	n := binary.LittleEndian.Uint64(b[8:])
	if h := binary.LittleEndian.Uint64(b); h != hash {
		return 0, fmt.Errorf("asked for %x, got %x", hash, h)
	}
	if sum := crc32.ChecksumIEEE(b[24:]) ^ uint32(hash) ^ uint32(n); sum != binary.LittleEndian.Uint32(b[16:]) {
		return 0, fmt.Errorf("%x is damaged", hash)
	}
	return n, nil
}

// spread makes a hash of a small number, different in every bit that matters.
func spread(k int) uint64 { return (uint64(k) + 1) * 0x9e3779b97f4a7c15 }

func tier(t testing.TB, capacity, pinned int64) *Tier {
	x, err := New(capacity, pinned)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// check compares the parts of a tier with each other when nothing is under way.
func check(t *testing.T, x *Tier) {
	t.Helper()
	x.Wait()
	x.compaction.stop() // a record that moves is in two places
	defer x.compaction.start(x.compact)
	var live, own, pinnedCost, cost, pins int64
	objects := map[uint64]int64{}
	for i := range x.index.shards {
		s := &x.index.shards[i]
		s.mu.Lock()
		full := 0
		for j := range *s.table.Load() {
			c := &(*s.table.Load())[j]
			p := place(c.place.Load())
			if p == 0 {
				continue
			}
			full++
			r, ok := x.log.at(p)
			if !ok || r.hash != c.hash.Load() {
				t.Fatalf("the index leads to a record of %x, want %x", r.hash, c.hash.Load())
			}
			objects[r.hash] = x.size.cost(&r)
			if len(r.blob) > ownSegment {
				own += r.size
			} else {
				live += r.size
			}
			if p.pinned() {
				pinnedCost += x.size.cost(&r)
				pins++
			} else {
				cost += x.size.cost(&r)
				if _, known := x.policy.GetTTL(r.hash); !known {
					t.Errorf("%x is stored, and ristretto does not know it", r.hash)
				}
			}
		}
		if full != s.full {
			t.Errorf("a part of the index has %d objects and counts %d", full, s.full)
		}
		s.mu.Unlock()
	}
	same := func(what string, got, want int64) {
		if got != want {
			t.Errorf("%s: counted %d, there are %d", what, got, want)
		}
	}
	same("objects", x.Stats().Objects, int64(len(objects)))
	same("bytes of small objects", x.log.live.Load(), live)
	same("bytes of the log", x.log.bytes.Load(), own+x.log.smallBytes.Load())
	same("bytes of segments", x.log.smallBytes.Load(), int64(len(x.log.small))*segmentSize)
	same("pinned", x.Stats().Pinned, pins)
	same("pinned bytes", x.Stats().PinnedBytes, pinnedCost)
	same("ristretto's sum", x.policy.MaxCost()-x.policy.RemainingCost(), cost)
	if all := x.log.smallBytes.Load(); all-live > max(all/spareShare, spareLeast)+2*segmentSize {
		t.Logf("holes: %d of %d", all-live, all)
	}
}

// TestModel has writers that own their keys and readers of all of them. A reader gets nothing, or what is as new
// as what it knew of when it began; and never what was removed by then.
func TestModel(t *testing.T) {
	const keys, writers, readers = 600, 3, 2
	x := tier(t, 14<<20, 2<<20)
	defer x.Close()
	var oldest [keys]atomic.Uint64 // the oldest number that may be seen from now on
	var write, read sync.WaitGroup
	stop := make(chan struct{})
	for range readers {
		read.Go(func() {
			r := rand.New(rand.NewPCG(7, 7))
			for {
				select {
				case <-stop:
					return
				default:
				}
				k := r.IntN(keys)
				since := oldest[k].Load()
				o := x.Get(spread(k))
				if !o.Exists() {
					continue
				}
				if n, err := number(o, spread(k)); err != nil || n < since {
					t.Errorf("key %d: got number %d, want at least %d; %v", k, n, since, err)
					return
				}
			}
		})
	}
	for w := range writers {
		write.Go(func() { churn(t, x, rand.New(rand.NewPCG(uint64(w), 1)), w, writers, oldest[:]) })
	}
	write.Wait()
	close(stop)
	read.Wait()
	check(t, x)
	s := x.Stats()
	t.Logf("%+v", s)
	if s.Moved == 0 || s.Evicted == 0 || s.Pinned == 0 {
		t.Errorf("nothing was moved, evicted or pinned: %+v", s)
	}
}

func churn(t *testing.T, x *Tier, r *rand.Rand, w, writers int, oldest []atomic.Uint64) {
	keys := len(oldest) / writers
	next := uint64(0)
	for range 2000 {
		k := r.IntN(keys)*writers + w
		hash := spread(k)
		next++
		switch r.IntN(20) {
		case 0, 1:
			x.Del(hash)
			oldest[k].Store(next)
			if x.Peek(hash).Exists() {
				t.Errorf("key %d is there after its removal", k)
			}
		case 2:
			x.Pin(hash)
		case 3:
			x.Unpin(hash)
		default:
			n := r.IntN(30000)
			if r.IntN(20) == 0 {
				n = r.IntN(600000)
			}
			stored := x.Set(hash, blob(hash, next, n))
			if stored { // if not, what was there before may be seen until it is removed below
				oldest[k].Store(next)
			}
			switch got, err := number(or(x.Peek(hash), blob(hash, next, 0)), hash); {
			case err != nil:
				t.Error(err)
			case got != next && stored:
				t.Errorf("key %d: number %d after %d was set", k, got, next)
			case !stored:
				x.Del(hash)
				oldest[k].Store(next)
			}
		}
	}
}

func or(o, other cache.Object) cache.Object {
	if o.Exists() {
		return o
	}
	return other
}

// FuzzTier runs what the bytes say against a map. Each operation is three bytes: which, the key, the size.
func FuzzTier(f *testing.F) {
	f.Add([]byte("\x00a\x10\x01a\x00\x00a\xff\x02a\x00\x01a\x00"))
	f.Add([]byte("\x03a\x00\x00a\x20\x00a\x90\x04a\x00\x01a\x00\x05a\x00"))
	r := rand.New(rand.NewPCG(3, 3))
	long := make([]byte, 9000)
	for i := range long {
		long[i] = byte(r.IntN(256))
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := tier(t, 8<<20, 1<<20)
		defer x.Close()
		model := map[uint64]uint64{}
		for n := uint64(1); len(ops) >= 3; n++ {
			hash, size := spread(int(ops[1])), int(ops[2])*int(ops[2])
			switch ops[0] % 8 {
			case 1:
				x.Del(hash)
				delete(model, hash)
			case 2:
				x.Pin(hash)
			case 3:
				x.Unpin(hash)
			case 4:
				x.Wait()
			case 5:
				x.compact()
			default:
				if x.Set(hash, blob(hash, n, size)) {
					model[hash] = n
				}
			}
			o := x.Get(hash)
			if o.Exists() {
				if got, err := number(o, hash); err != nil || got != model[hash] {
					t.Fatalf("got number %d, want %d; %v", got, model[hash], err)
				}
			}
			ops = ops[3:]
		}
		check(t, x)
	})
}

// TestHashZero is a hash that the index cannot hold as it is.
func TestHashZero(t *testing.T) {
	x := tier(t, 8<<20, 1<<20)
	defer x.Close()
	if !x.Set(0, blob(0, 1, 1000)) || !x.Get(0).Exists() || !x.Pin(0) {
		t.Error("an object under 0 is not kept")
	}
	x.Unpin(0)
	x.Del(0)
	if x.Get(0).Exists() {
		t.Error("an object under 0 is not removed")
	}
}
