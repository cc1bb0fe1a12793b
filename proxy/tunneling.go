package proxy

import (
	"bytes"
	"net"
	"time"

	"github.com/tzero-edge/tzero/proxy/tunnel"
)

// connect relays the 101 and runs the tunnel until either end closes or a limit ends it.
func (x *Exchange) connect(slot *tunnel.Slot) {
	res := x.answer
	switched := Response{Status: 101}
	x.gen.Clients.EndToEnd(&switched.Fields, res.Fields)
	switched.Fields.Add([]byte("Connection"), []byte("Upgrade"))
	switched.Fields.Add([]byte("Upgrade"), bytes.Clone(res.Fields.Get("Upgrade")))
	x.Res.Status = 101
	opt := tunnel.Options{Route: x.Out.Route, Target: res.Target, Protocol: string(res.Fields.Get("Upgrade"))}
	early := bytes.Clone(res.Buffered)
	originConn := res.Conn
	x.keepOutcome()
	x.Out.FirstByte = time.Since(x.Started)
	err := x.Carrier.TakeOver(&switched, func(client net.Conn, ahead []byte) {
		x.letGo(nil)
		in, out, why := slot.Run(client, ahead, originConn, early, opt)
		x.Out.BytesIn, x.Out.BytesOut = in, out
		x.note(StateTunnel, Reason(why.String()), "")
	})
	if err != nil {
		originConn.Close()
		x.Out.Aborted, x.Out.Fault, x.Out.Err = true, FaultClient, err.Error()
	}
}

// keepOutcome copies what the outcome points to: the request's and the answer's buffers serve others while the tunnel lasts.
func (x *Exchange) keepOutcome() {
	o := &x.Out
	for _, b := range [...]*[]byte{&o.RequestID, &o.Method, &o.Host, &o.Target, &o.UserAgent, &o.Referer} {
		*b = x.keepBytes(*b)
	}
}
