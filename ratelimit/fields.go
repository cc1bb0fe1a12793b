package ratelimit

import (
	"strconv"
	"time"
)

// AppendPolicy appends the value of RateLimit-Policy: each policy with its quota q and its window w in seconds
// (draft-ietf-httpapi-ratelimit-headers-10 §3).
func (r *Receipt) AppendPolicy(dst []byte) []byte {
	for _, c := range r.shown() {
		dst = appendName(dst, c.policy.Name)
		dst = append(dst, ";q="...)
		dst = strconv.AppendInt(dst, int64(c.policy.Rate.N), 10)
		dst = append(dst, ";w="...)
		dst = strconv.AppendInt(dst, seconds(int64(c.policy.Rate.Per)), 10)
		dst = append(dst, ", "...)
	}
	return trim(dst)
}

// AppendState appends the value of RateLimit: of each policy how many requests remain (r), and in how many seconds (t)
// there is one more. t is left out where nothing is missing (draft-ietf-httpapi-ratelimit-headers-10 §4).
func (r *Receipt) AppendState(dst []byte) []byte {
	for _, c := range r.shown() {
		dst = appendName(dst, c.policy.Name)
		dst = append(dst, ";r="...)
		dst = strconv.AppendInt(dst, c.quota.Remaining(c.ahead), 10)
		if t := c.quota.Refill(c.ahead); t > 0 {
			dst = append(dst, ";t="...)
			dst = strconv.AppendInt(dst, seconds(t), 10)
		}
		dst = append(dst, ", "...)
	}
	return trim(dst)
}

// Charged reports whether there is anything to show.
func (r *Receipt) Charged() bool {
	for i := range r.n {
		if !r.charges[i].policy.DryRun {
			return true
		}
	}
	return false
}

// shown yields a charge a policy, but for those in dry run: of an address and its /48 the one with less left.
func (r *Receipt) shown() func(func(int, *charge) bool) {
	return func(yield func(int, *charge) bool) {
		for i := 0; i < r.n; i++ {
			c := &r.charges[i]
			if i+1 < r.n && r.charges[i+1].policy == c.policy {
				i++
				if site := &r.charges[i]; site.quota.Remaining(site.ahead) < c.quota.Remaining(c.ahead) {
					c = site
				}
			}
			if !c.policy.DryRun && !yield(i, c) {
				return
			}
		}
	}
}

func appendName(dst []byte, name string) []byte { // names need no escapes
	return append(append(append(dst, '"'), name...), '"')
}

func trim(dst []byte) []byte { return dst[:max(len(dst)-2, 0)] }

func seconds(ns int64) int64 { return (ns + int64(time.Second) - 1) / int64(time.Second) }

// RetryAfter returns the value of Retry-After for a wait: whole seconds, never earlier than the truth, and later by up to
// a fifth and a second, so that those who were refused together do not come back together. random is uniform.
func RetryAfter(wait time.Duration, random uint64) int {
	least := max(seconds(int64(wait)), 1)
	return int(least + int64(random%uint64(least/5+2)))
}
