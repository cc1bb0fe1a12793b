//go:build !linux

package tunnel

import (
	"net"
	"sync"
)

// newSocket: elsewhere every connection is a stream.
func newSocket(net.Conn, *sync.Pool) source { return nil }
