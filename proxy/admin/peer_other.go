//go:build !linux

package admin

import "net"

// trusted relies on the file's mode alone.
func trusted(*net.UnixConn) bool { return true }
