package proxy

import (
	"fmt"
	"strings"
)

// transitions is the table of legal moves. Every state's function returns one of its successors; a move
// that is not listed here is a bug: it panics in race builds and is counted in production.
var transitions = [numStates][]State{
	StateRecv:     {StateRoute, StateSynth},
	StateRoute:    {StateAdmit, StateSynth},
	StateAdmit:    {StateDispatch, StateSynth},
	StateDispatch: {StateLookup, StatePermit, StateSynth},
	StateLookup:   {StateDeliver, StateFollow, StatePermit, StateSynth},
	StateFollow:   {StateDeliver, StateLookup, StateSynth},
	StatePermit:   {StateFetch, StateTunnel, StateSynth},
	StateFetch:    {StateDeliver, StateFollow, StateLookup, StateSynth},
	StateTunnel:   {StateFinish, StateDeliver, StateSynth},
	StateDeliver:  {StateFinish},
	StateSynth:    {StateFinish},
	StateFinish:   nil,
}

// moves is the table as a set of bits a state: it is asked at every step.
var moves = func() (m [numStates]uint32) {
	for from, tos := range transitions {
		for _, to := range tos {
			m[from] |= 1 << to
		}
	}
	return m
}()

func legal(from, to State) bool { return moves[from]>>to&1 != 0 }

// Diagram draws the table in Mermaid's syntax; docs/ARCHITECTURE.md holds it.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    direction TB\n    [*] --> recv\n")
	for from, tos := range transitions {
		for _, to := range tos {
			fmt.Fprintf(&b, "    %s --> %s\n", State(from), to)
		}
	}
	b.WriteString("    finish --> [*]\n")
	return b.String()
}
