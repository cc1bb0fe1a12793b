package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/internal/http1"
)

// Explained is what `tzero explain` shows of one request.
type Explained struct {
	Outcome Outcome
	Status  int
	Fields  field.List // of the answer
	Forward *Forwarded // what the origin was, or would have been, asked; nil when it is not asked
	Body    int64      // bytes of content that were read; -1 when the origin was not asked
}

// Forwarded is a request as an origin gets it.
type Forwarded struct {
	Method, Target, Host string
	Fields               field.List
}

// Explain sends the bytes of one request through the door and the journey. Without fetch nothing is asked of
// the origin: the journey ends where it would be.
func (e *Edge) Explain(raw []byte, peer netip.AddrPort, tls, fetch bool) (*Explained, error) {
	req := new(http1.Request)
	x := &Exchange{Req: req, Peer: peer, TLS: tls, Carrier: nobody{}, Started: time.Now()}
	x.dry = !fetch
	rd := http1.NewReader(bytes.NewReader(raw), http1.DefaultLimits())
	if err := rd.ReadRequest(req); err != nil && !errors.As(err, &x.Refusal) {
		return nil, err
	}
	e.Serve(x)
	out := &Explained{Body: -1, Status: x.Res.Status, Fields: x.Res.AllFields()}
	if x.Out.Origin != "" {
		if x.dry {
			x.query(forWhom(x))
		}
		out.Forward = &Forwarded{string(x.ask.Method), string(x.ask.Target), string(x.ask.Host), x.ask.Fields}
	}
	if fetch {
		out.Body = int64(len(x.Res.Bytes))
		if x.Res.Stream != nil && !x.Res.NoBody {
			n, err := x.Res.Stream.WriteTo(io.Discard)
			out.Body = n
			e.Finish(x, n, err)
		} else {
			e.Finish(x, out.Body, nil)
		}
	}
	out.Outcome = x.Out
	return out, nil
}

// forWhom is the purpose that stepFetch would choose.
func forWhom(x *Exchange) purpose {
	if x.lookups > 0 && !x.look.Raw {
		return forAll
	}
	return forOne
}
