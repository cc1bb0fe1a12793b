package main

import (
	"time"

	"github.com/tzero-edge/tzero/proxy/admin"
	"github.com/tzero-edge/tzero/proxy/metrics"
)

func (s *services) limitStats() metrics.LimitStats {
	st := s.limiter.Stats(time.Now())
	m := metrics.LimitStats{Places: st.Places, Keys: st.Keys, Evicted: st.Evicted, Denied: st.Denied, Decisions: map[string]map[string]uint64{}}
	for _, p := range st.Policies {
		m.Decisions[p.Name] = map[string]uint64{"allowed": p.Allowed, "limited": p.Limited, "would-limit": p.WouldLimit}
	}
	if s.cluster != nil {
		together := metrics.TogetherStats(s.cluster.limits.Stats())
		m.Together = &together
	}
	return m
}

// statusOfLimits shows the policies of the running configuration; nil where there is nothing to show.
func (s *services) statusOfLimits() *admin.RateLimits {
	c := s.reloader.Running().Config.RateLimits
	if !c.Enabled() {
		return nil
	}
	st := s.limiter.Stats(time.Now())
	r := &admin.RateLimits{Keys: st.Keys, Places: st.Places, Evictions: st.Evicted, Denied: st.Denied, Policies: []admin.RateLimit{}}
	if s.cluster != nil {
		r.Alone = s.cluster.limits.Stats().Alone
	}
	for _, p := range st.Policies {
		if pc, ok := c.Policies[p.Name]; ok {
			r.Policies = append(r.Policies, admin.RateLimit{Name: p.Name, Rate: pc.Rate.String(), Count: pc.Count, DryRun: pc.DryRun,
				Exact: pc.Exact, Allowed: p.Allowed, Limited: p.Limited, WouldLimit: p.WouldLimit})
		}
	}
	return r
}
