//go:build !linux

package origin

import (
	"net"

	"github.com/tzero-edge/tzero/internal/http1"
)

// wire counts what a connection carries. On Linux it also saves the scheduler's hand-offs.
type wire struct {
	net.Conn
	dry           bool // Read does not wait
	written, read int64
}

func newWire(nc net.Conn) *wire { return &wire{Conn: nc} }

func (w *wire) Read(p []byte) (int, error) {
	if w.dry {
		return 0, errNothing{}
	}
	n, err := w.Conn.Read(p)
	w.read += int64(n)
	return n, err
}

// ReadLazy cannot wait without room here.
func (w *wire) ReadLazy(l http1.Lender) (int, error) {
	n, err := w.Read(l.Lend())
	if n == 0 {
		l.Return()
	}
	return n, err
}

// owes, owe and settle join a write with the read that follows it, on Linux.
func (w *wire) owes() bool { return false }

func (w *wire) owe([]byte, bool, func()) bool { return false }

func (w *wire) settle() (whole, dead bool) { return true, false }

func (w *wire) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.written += int64(n)
	return n, err
}

// alive cannot look without waiting here: a request that meets a closed connection is sent again if
// that is safe.
func (w *wire) alive() bool { return true }
