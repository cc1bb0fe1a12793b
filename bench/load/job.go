//go:build linux

// Package load is the client of the bench: a process of its own that speaks raw HTTP/1.1 over many
// connections from a few event loops, so that it costs the machine less than what it measures.
//
// A closed loop sends the next request of a connection when the last answer is here: it finds the highest
// rate and the CPU time of a request. An open loop sends at fixed moments, whether answers came or not, and
// counts a request's time from the moment it was due: a server that stalls cannot hide the requests that it
// kept from being sent.
package load

import "time"

// Request is what is sent, and what must come back.
type Request struct {
	Bytes  []byte
	Status int
	Length int64 // of the content; -1: any
	Number int   // where in Bytes a running number of NumberDigits digits is written; 0: nowhere
}

// NumberDigits is the width of a running number.
const NumberDigits = 10

// Job is one measurement.
type Job struct {
	Addr        string
	Connections int
	Threads     int

	Requests []Request
	Order    []uint32 // indexes of Requests, sent in turn and from the beginning again

	Warm, Measure time.Duration
	Rate          float64 // requests a second, all connections together; 0: a closed loop
	Limit         int64   // ends a closed loop after so many requests; 0: no limit
	FirstNumber   int64   // of the running numbers

	Pids []int // processes whose CPU time is taken at both ends of the measured time
}

// Result is what a Job found in its measured time.
type Result struct {
	Requests int64
	Bytes    int64 // of content
	Elapsed  time.Duration
	CPU      time.Duration // of Job.Pids together
	Own      time.Duration // CPU time of the client itself
	Latency  Histogram
	Faults   map[string]int64 // answers that were not what was asked for, by what was wrong
	NextNum  int64            // the running number that would have come next
}

func (r *Result) add(o *Result) {
	r.Requests += o.Requests
	r.Bytes += o.Bytes
	r.Elapsed = max(r.Elapsed, o.Elapsed)
	r.Latency.Add(&o.Latency)
	r.NextNum = max(r.NextNum, o.NextNum)
	for what, n := range o.Faults {
		r.Faults[what] += n
	}
}

func (r *Result) fault(what string) { r.Faults[what]++ }
