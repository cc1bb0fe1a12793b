// Package crowd lets a thousand clients ask the real binary for one object in the same moment, and counts what
// reaches the origin: when everything goes well, when the leader leaves or is slow, when the origin is slow, resets,
// fails or answers for one visitor only, and when what is stored has become stale.
//
// Every case has two sizes. The small one takes a second or two with 300 clients; the full one, `-args -full`, has 1,000
// and yields the table of docs/crowd.md (`make crowd`). Clients and origin run in the test's process, over real sockets.
package crowd
