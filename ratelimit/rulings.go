package ratelimit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/tzero-edge/tzero/internal/conf"
	"github.com/tzero-edge/tzero/internal/netset"
)

// Verb is what a ruling says about addresses.
type Verb string

// The verbs.
const (
	Deny  Verb = "deny"  // they get 403
	Allow Verb = "allow" // nothing limits or denies them
	Lift  Verb = "lift"  // neither any more: kept until what it lifts would have ended, so that it is not learned again
)

// Ruling is what an operator has decided about addresses while the gateways run. It outweighs the lists of the configuration,
// and the longest prefix outweighs shorter ones.
type Ruling struct {
	Prefix  netip.Prefix `json:"prefix"`
	Verb    Verb         `json:"verb"`
	Until   time.Time    `json:"until"`   // forgotten then
	Changed time.Time    `json:"changed"` // of two about the same prefix the later one holds
	Why     string       `json:"why,omitempty"`
}

// Bounds of rulings.
const (
	MaxRulings  = 10_000
	MaxRuling   = 31 * 24 * time.Hour
	maxWhy      = 200
	widest4     = 8 // shorter prefixes are half a continent, and a slip of the hand
	widest6     = 16
	skew        = 24 * time.Hour // clocks of gateways differ by less
	defaultRule = time.Hour
)

// valid reports whether a ruling, which may come from anywhere, is one at now.
func (r *Ruling) valid(now time.Time) bool {
	return (r.Verb == Deny || r.Verb == Allow || r.Verb == Lift) && r.Prefix.IsValid() && r.Prefix == r.Prefix.Masked() && !r.Prefix.Addr().Is4In6() &&
		!tooWide(r.Prefix) && r.Until.After(now) && !r.Until.After(now.Add(MaxRuling+skew)) && !r.Changed.After(now.Add(skew)) && len(r.Why) <= maxWhy
}

func tooWide(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6
}

// after reports whether r holds where both are known. Of two at once it is any, and the same everywhere.
func (r *Ruling) after(o *Ruling) bool {
	if c := r.Changed.Compare(o.Changed); c != 0 {
		return c > 0
	}
	if c := r.Until.Compare(o.Until); c != 0 {
		return c > 0
	}
	return strings.Compare(string(r.Verb)+r.Why, string(o.Verb)+o.Why) > 0
}

// Order is what an operator asks for.
type Order struct {
	Deny  []string      `json:"deny,omitempty"`
	Allow []string      `json:"allow,omitempty"`
	Lift  []string      `json:"lift,omitempty"`
	For   conf.Duration `json:"for,omitzero"` // how long; 0: an hour
	Why   string        `json:"why,omitempty"`
}

// ReadOrder reads an order in JSON. What it returns is in the canonical form.
func ReadOrder(b []byte) (Order, error) {
	var o Order
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf(`cannot read the order: %w; write it as {"deny": ["192.0.2.7"], "for": "1h", "why": "…"}, with allow and lift as further lists`, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("cannot read the order: something follows the JSON object")
	}
	return o, o.check()
}

func (o *Order) check() error {
	switch {
	case len(o.Deny)+len(o.Allow)+len(o.Lift) == 0:
		return errors.New("cannot rule about nobody: name addresses or prefixes to deny, allow or lift")
	case len(o.Deny)+len(o.Allow)+len(o.Lift) > MaxRulings/10:
		return fmt.Errorf("an order names at most %d prefixes: give longer lists to rate_limits.deny and reload", MaxRulings/10)
	case o.For < 0 || o.For.D() > MaxRuling:
		return fmt.Errorf("an order holds for at most %d days: what is to hold for longer belongs into rate_limits.deny or allow", MaxRuling/(24*time.Hour))
	case len(o.Why) > maxWhy:
		return fmt.Errorf("the reason has more than %d bytes", maxWhy)
	case strings.ContainsFunc(o.Why, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("the reason contains characters that do not print")
	}
	_, err := o.rulings(time.Time{})
	return err
}

// rulings are those that an order makes at a time.
func (o *Order) rulings(now time.Time) ([]Ruling, error) {
	long := o.For.D()
	if long == 0 {
		long = defaultRule
	}
	var all []Ruling
	seen := map[netip.Prefix]bool{}
	for _, list := range []struct {
		verb  Verb
		names []string
	}{{Deny, o.Deny}, {Allow, o.Allow}, {Lift, o.Lift}} {
		for _, name := range list.names {
			prefixes, err := netset.Parse(name)
			if err != nil {
				return nil, fmt.Errorf("cannot %s: %w", list.verb, err)
			}
			for _, p := range prefixes {
				switch {
				case tooWide(p):
					return nil, fmt.Errorf("cannot %s %s: prefixes shorter than /%d (IPv6: /%d) are taken for a mistake", list.verb, p, widest4, widest6)
				case seen[p]:
					return nil, fmt.Errorf("%s is named twice", p)
				}
				seen[p] = true
				all = append(all, Ruling{Prefix: p, Verb: list.verb, Until: now.Add(long), Changed: now, Why: o.Why})
			}
		}
	}
	return all, nil
}

// rulings are those in force. Reading takes no lock.
type rulings struct {
	view atomic.Pointer[ruled]

	mu     sync.Mutex
	all    map[netip.Prefix]Ruling
	unsent map[netip.Prefix]bool // that others may not know
}

// ruled is what is read: by prefix, whether it is allowed or denied.
type ruled struct {
	allowed  map[netip.Prefix]bool
	lengths4 []int // that occur, the longest first
	lengths6 []int
	next     time.Time // when the first of them ends
}

// about returns what is ruled about an address, "" where nothing is.
func (v *ruled) about(a netip.Addr) Verb {
	a = a.Unmap().WithZone("")
	lengths := v.lengths6
	if a.Is4() {
		lengths = v.lengths4
	}
	for _, bits := range lengths {
		p, err := a.Prefix(bits)
		if err != nil {
			return ""
		}
		if allowed, ok := v.allowed[p]; ok && allowed {
			return Allow
		} else if ok {
			return Deny
		}
	}
	return ""
}

// about returns what is ruled about an address, "" where nothing is. It allocates nothing.
func (l *Limiter) about(a netip.Addr) Verb {
	if v := l.rulings.view.Load(); v != nil {
		return v.about(a)
	}
	return ""
}

// Rule does what an order says, at once. It holds whole or not at all.
func (l *Limiter) Rule(o Order, now time.Time) error {
	now = now.Round(time.Millisecond) // and without the monotonic clock
	orders, err := o.rulings(now)
	if err != nil {
		return err
	}
	r := &l.rulings
	r.mu.Lock()
	defer r.mu.Unlock()
	more := 0
	for i := range orders {
		n := &orders[i]
		have, there := r.all[n.Prefix]
		switch {
		case n.Verb == Lift && (!there || have.Verb == Lift):
			return fmt.Errorf("nothing is ruled about %s", n.Prefix)
		case n.Verb == Lift:
			n.Until = have.Until
		}
		if there {
			if !n.Changed.After(have.Changed) { // at a gateway whose clock is ahead
				n.Changed = have.Changed.Add(time.Millisecond)
			}
			continue
		}
		more++
	}
	if len(r.all)+more > MaxRulings {
		return fmt.Errorf("there are %d rulings, and no more than %d are kept: lift some, or give the list to rate_limits.deny", len(r.all), MaxRulings)
	}
	for _, n := range orders {
		r.put(n)
	}
	r.compile(now)
	return nil
}

func (r *rulings) put(n Ruling) {
	if r.all == nil {
		r.all, r.unsent = map[netip.Prefix]Ruling{}, map[netip.Prefix]bool{}
	}
	r.all[n.Prefix], r.unsent[n.Prefix] = n, true
}

// Learn takes rulings from elsewhere, as far as they are newer than what is known, and reports whether there were such. With
// whole, theirs is all that the others know: what they lack is to be told.
func (l *Limiter) Learn(theirs []Ruling, whole bool, now time.Time) bool {
	r := &l.rulings
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[netip.Prefix]Ruling, len(theirs))
	news := false
	for _, n := range theirs {
		if !n.valid(now) {
			continue
		}
		known[n.Prefix] = n
		if have, there := r.all[n.Prefix]; there && !n.after(&have) || !there && len(r.all) >= MaxRulings {
			continue
		}
		r.put(n)
		news = true
		if whole {
			delete(r.unsent, n.Prefix)
		}
	}
	for p, have := range r.all {
		if n, there := known[p]; whole && (!there || have.after(&n)) {
			r.unsent[p] = true
		}
	}
	if news {
		r.compile(now)
	}
	return news
}

// Unsent returns rulings that others may not know, at most so many.
func (l *Limiter) Unsent(most int) []Ruling {
	r := &l.rulings
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Ruling
	for p := range r.unsent {
		if n, there := r.all[p]; there && len(out) < most {
			out = append(out, n)
		}
	}
	return out
}

// Sent notes that others know these.
func (l *Limiter) Sent(sent []Ruling) {
	r := &l.rulings
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range sent {
		if have, there := r.all[n.Prefix]; !there || have == n {
			delete(r.unsent, n.Prefix)
		}
	}
}

// Rulings returns what is ruled at now, by prefix; with lifted also what is not any more.
func (l *Limiter) Rulings(lifted bool, now time.Time) []Ruling {
	r := &l.rulings
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Ruling
	for _, n := range r.all {
		if n.Until.After(now) && (lifted || n.Verb != Lift) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b Ruling) int {
		if c := a.Prefix.Addr().Compare(b.Prefix.Addr()); c != 0 {
			return c
		}
		return a.Prefix.Bits() - b.Prefix.Bits()
	})
	return out
}

// Expire forgets the rulings that have ended. It costs next to nothing while none has.
func (l *Limiter) Expire(now time.Time) {
	r := &l.rulings
	if v := r.view.Load(); v == nil || now.Before(v.next) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compile(now)
}

// compile makes the view of what has not ended.
func (r *rulings) compile(now time.Time) {
	v := &ruled{allowed: map[netip.Prefix]bool{}}
	for p, n := range r.all {
		if !n.Until.After(now) {
			delete(r.all, p)
			delete(r.unsent, p)
			continue
		}
		if v.next.IsZero() || n.Until.Before(v.next) {
			v.next = n.Until
		}
		if n.Verb == Lift {
			continue
		}
		v.allowed[p] = n.Verb == Allow
		lengths := &v.lengths6
		if p.Addr().Is4() {
			lengths = &v.lengths4
		}
		if !slices.Contains(*lengths, p.Bits()) {
			*lengths = append(*lengths, p.Bits())
		}
	}
	if len(r.all) == 0 {
		r.view.Store(nil)
		return
	}
	for _, lengths := range [][]int{v.lengths4, v.lengths6} {
		slices.SortFunc(lengths, func(a, b int) int { return b - a })
	}
	r.view.Store(v)
}
