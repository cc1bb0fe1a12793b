package listen

import (
	"sync/atomic"
	"syscall"
)

type counters struct {
	unpinned, accepted, refused, evicted, exhausted, handshakes, left, cut atomic.Int64
	overdue                                                                [phasePoked]atomic.Int64
}

// Stats is a snapshot of the connections.
type Stats struct {
	Open       int   `json:"open"`
	Limit      int   `json:"limit"`
	Accepted   int64 `json:"accepted"`
	Refused    int64 `json:"refused"`    // turned away at a bound
	Evicted    int64 `json:"evicted"`    // idle ones ended to make room
	Exhausted  int64 `json:"exhausted"`  // times that no descriptor was left
	Handshakes int64 `json:"handshakes"` // TLS or PROXY handshakes that failed
	Unpinned   int64 `json:"unpinned"`   // slow readers ended because they kept too much memory
	Left       int64 `json:"left"`       // clients that went away while waiting
	Cut        int64 `json:"cut"`        // ended by the drain's grace period
	Overdue    struct {
		Idle  int64 `json:"idle"`
		Head  int64 `json:"head"`
		Body  int64 `json:"body"`
		Write int64 `json:"write"`
	} `json:"overdue"`
}

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{
		Open: s.reg.len(), Limit: s.settings.Load().maxConns,
		Accepted: c.accepted.Load(), Refused: c.refused.Load(), Evicted: c.evicted.Load(),
		Exhausted: c.exhausted.Load(), Handshakes: c.handshakes.Load(), Left: c.left.Load(), Unpinned: c.unpinned.Load(), Cut: c.cut.Load(),
	}
	st.Overdue.Idle = c.overdue[phaseIdle].Load()
	st.Overdue.Head = c.overdue[phaseHead].Load()
	st.Overdue.Body = c.overdue[phaseBody].Load()
	st.Overdue.Write = c.overdue[phaseWriting].Load()
	return st
}

// withDefaults works out the bound on connections: of the descriptors that the process may open, two
// fifths for clients, as many for the origin's side of the same requests, the rest for everything else.
func withDefaults(set Settings) *settings {
	out := &settings{Settings: set, maxConns: set.Limits.Connections}
	if out.maxConns == 0 {
		var lim syscall.Rlimit
		out.maxConns = 4096
		if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil && lim.Cur > 0 {
			out.maxConns = int(min(lim.Cur, 1<<22) / 5 * 2)
		}
	}
	return out
}
