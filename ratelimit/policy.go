package ratelimit

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tzero-edge/tzero/internal/field"
)

// Policy is a compiled rate limit: immutable but for what it counts.
type Policy struct {
	Name   string
	All    bool // it counts every request, not only those for the origin
	Exact  bool // counted with other gateways, where there are any
	Refuse bool // while they cannot be asked
	DryRun bool
	Page   []byte // HTML for browsers; nil: none of its own
	Quota  Quota
	Rate   Rate

	parts   []part
	slot    uint8
	seed    uint64
	counts  *counts
	limiter *Limiter
}

// counts are a policy's, under whatever configuration. Every worker adds to them, so they are spread.
type counts [countShards]struct {
	allowed, limited, would atomic.Uint64
	_                       [40]byte // a cache line each
}

const countShards = 8

// Asker is who asks: what a key can be made of.
type Asker struct {
	Address netip.Addr
	Route   string
	Fields  field.List // of the request
}

// siteFactor is how many times a /64's allowance its whole /48 may take. A customer of a network provider gets a /56 or
// a /48 and may use a new /64 for every request (RIPE-690 §4.2).
const siteFactor = 32

func (q Quota) ofSite() Quota { return Quota{max(q.Interval/siteFactor, 1), q.Burst} }

// charge is one key that a request is counted under.
type charge struct {
	policy *Policy
	key    uint64
	quota  Quota
	ahead  int64 // of now, after the decision
}

// Receipt is what a request was charged, to be shown to the client, and given back if the request was not made. The zero
// value is ready. It is reused.
type Receipt struct {
	charges [2 * MaxPerRoute]charge
	n       int
	refused int // index of the charge that was not permitted, -1: none
	would   *Policy
	away    bool // it was refused because the other gateways could not be asked
}

// Reset forgets what was charged.
func (r *Receipt) Reset() { r.n, r.refused, r.would, r.away = 0, -1, nil, false }

// Refused returns the policy that refused the request, nil where it passed.
func (r *Receipt) Refused() *Policy {
	if r.n == 0 || r.refused < 0 {
		return nil
	}
	return r.charges[r.refused].policy
}

// Would returns the policy in dry run that would have refused the request, nil where none would.
func (r *Receipt) Would() *Policy { return r.would }

// Wait returns the time until the refused request would pass, 0 where it was not refused.
func (r *Receipt) Wait() time.Duration {
	if r.Refused() == nil {
		return 0
	}
	c := r.charges[r.refused]
	return time.Duration(c.quota.Wait(c.ahead))
}

// Ask charges a request to policies at now, nanoseconds on the table's clock, and reports whether all permit it. Where one
// does not, nothing is charged. What is charged is added to what r holds.
func (t *Table) Ask(policies []*Policy, a *Asker, now int64, r *Receipt) bool {
	if r.n == 0 {
		r.refused = -1
	}
	first := r.n
	for _, p := range policies {
		if t.ask(p, a, now, r) {
			continue
		}
		failed := r.n - 1
		for i := first; i < failed; i++ {
			t.Return(r.charges[i].key, r.charges[i].quota)
			r.charges[i].ahead -= r.charges[i].quota.Interval
		}
		r.refused = failed
		return false
	}
	return true
}

// ask charges one policy; where it refuses, the last of r's charges is the key that did.
func (t *Table) ask(p *Policy, a *Asker, now int64, r *Receipt) bool {
	key, site := p.keys(a)
	first := r.n
	q := p.quota()
	ok := t.charge(p, key, q, now, r)
	if ok && site != 0 {
		if ok = t.charge(p, site, q.ofSite(), now, r); !ok {
			t.Return(key, q)
			r.charges[first] = r.charges[r.n-1] // the site's state is the one to show
			r.n--
		}
	}
	return p.count(key, ok, first, r)
}

// count counts the decision on a request, whose charges in r begin at first, and returns what comes of it. A refusal counts
// in Receipt.Count.
func (p *Policy) count(key uint64, ok bool, first int, r *Receipt) bool {
	n := &p.counts[key>>(slotBits+1)%countShards]
	switch {
	case ok:
		n.allowed.Add(1)
		return true
	case p.DryRun:
		n.would.Add(1)
		r.would = p
		r.n = first
		return true
	}
	return false
}

// Count counts a refusal that stands: whether it does, the caller knows.
func (r *Receipt) Count() {
	if p := r.Refused(); p != nil {
		p.counts[r.charges[r.refused].key>>(slotBits+1)%countShards].limited.Add(1)
	}
}

func (t *Table) charge(p *Policy, key uint64, q Quota, now int64, r *Receipt) bool {
	ahead, ok := t.Take(key, q, now)
	r.charges[r.n] = charge{p, key, q, ahead}
	r.n++
	return ok
}

// GiveBack returns what r says was charged for the origin, which the request did not reach.
func (t *Table) GiveBack(r *Receipt) {
	kept := 0
	for i := range r.n {
		c := &r.charges[i]
		if c.policy.All {
			r.charges[kept] = *c
			kept++
			continue
		}
		t.Return(c.key, c.quota)
	}
	r.n = kept
}

// Forgive drops what r says about the origin, for which nothing was charged: the request was refused, and did not need it.
func (r *Receipt) Forgive() {
	kept := 0
	for i := range r.n {
		if r.charges[i].policy.All {
			r.charges[kept] = r.charges[i]
			kept++
		}
	}
	r.n, r.refused, r.away = kept, -1, false
}

// keys makes the key of an asker, and for an address of IPv6 that of its /48, else 0.
//
// Where a header or cookie is missing the address stands for it, so that to leave it out gives nobody a second allowance.
func (p *Policy) keys(a *Asker) (key, site uint64) {
	var room [512]byte
	b := binary.LittleEndian.AppendUint64(room[:0], p.seed^bits.RotateLeft64(p.limiter.secret.Load(), 17))
	addressAt, addressed := 0, false
	for i := range p.parts {
		part := &p.parts[i]
		b = append(b, byte(part.kind))
		switch part.kind {
		case byRoute:
			b = appendPart(b, a.Route)
			continue
		case byEveryone:
			continue
		case byHeader, byCookie:
			value := part.value(a.Fields)
			if len(value) > 0 {
				var d xxhash.Digest // the value's own hash, for it may be of any length
				d.ResetWithSeed(p.seed)
				_, _ = d.Write(value) // never fails
				b = binary.LittleEndian.AppendUint64(b, d.Sum64())
				continue
			}
			b = append(b, 'a')
		}
		if !addressed {
			addressed, addressAt = true, len(b)
			b = appendAddress(b, a.Address)
		}
	}
	key = p.key(xxhash.Sum64(b))
	if addressed && b[addressAt] == 6 {
		b[addressAt] = '/'
		clear(b[addressAt+7 : addressAt+9]) // 6 bytes are the /48
		site = p.key(xxhash.Sum64(b)) | siteBit
	}
	return key, site
}

// The last bits of a key say which policy's it is, and whether it is a site's: a key alone has to tell its quota where
// gateways exchange what was taken.
const (
	slotBits = 6
	slotMask = 1<<slotBits - 1
	siteBit  = 1 << slotBits
	keyBits  = slotMask | siteBit
)

func (p *Policy) key(hash uint64) uint64 { return max(hash&^keyBits, keyBits+1) | uint64(p.slot) }

func appendPart(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
}

// appendAddress writes 4 and the address, or 6 and its /64.
func appendAddress(b []byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		v4 := a.As4()
		return append(append(b, 4), v4[:]...)
	}
	v6 := a.As16()
	return append(append(b, 6), v6[:8]...)
}

// value finds what a header or cookie says; nil where it is not there.
func (p *part) value(fields field.List) []byte {
	if p.kind == byHeader {
		return fields.Get(p.name)
	}
	for i := range fields {
		if !field.EqualFold(fields[i].Name, "Cookie") {
			continue
		}
		if v := cookie(fields[i].Value, p.name); len(v) > 0 {
			return v
		}
	}
	return nil
}

// cookie finds a cookie-pair in a Cookie field's value (RFC 6265 §4.2.1).
func cookie(line []byte, name string) []byte {
	for len(line) > 0 {
		pair := line
		line = nil
		for i, c := range pair {
			if c == ';' {
				pair, line = pair[:i], pair[i+1:]
				break
			}
		}
		for len(pair) > 0 && (pair[0] == ' ' || pair[0] == '\t') {
			pair = pair[1:]
		}
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			return pair[len(name)+1:]
		}
	}
	return nil
}
