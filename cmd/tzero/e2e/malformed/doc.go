// Package malformed holds the table of malformed requests and what runs it against any HTTP gateway.
//
// A case is raw bytes with an expectation taken from the text of an RFC (testdata, one file per class; the format is
// described in load.go). Run sends every case over a connection of its own, with a pipelined request behind it in the
// same write, to a gateway whose only target is an Origin of this package. The Origin keeps every byte it received and
// reads it with its own very strict parser (strict.go), so that what a gateway let through is seen byte by byte and not
// through another lenient parser. Judge compares the two ends with the expectation, Table prints gateways side by side.
//
// The package deliberately shares no code with the gateway's own parser: an error there cannot hide itself here.
package malformed
