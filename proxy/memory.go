package proxy

import (
	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/headers"
)

// Memory is what a connection knows of its requests' fields, for those that repeat them. Nothing in it depends on
// anything but a field section and what it was read by. The zero value knows nothing.
type Memory struct {
	received headers.Received

	section uint32 // http1.Request.Section of the request that what follows was found in; 0: of none
	by      *headers.Policy
	found   cache.Findings
	encoder *encode.Encoder // that chose coding; nil: none has
	coding  encode.Coding
}

// Forget lets go of what is remembered; its room is kept.
func (m *Memory) Forget() {
	m.received.Forget()
	*m = Memory{received: m.received}
}

// memory is the connection's, readied for this request's fields; nil where it has none, or cannot tell whether they are
// repeated.
func (x *Exchange) memory() *Memory {
	m, section, by := x.Before, x.Req.Section, x.gen.Clients
	if m == nil || section == 0 {
		return nil
	}
	if m.section != section || m.by != by {
		m.section, m.by, m.encoder = section, by, nil
		m.found = cache.Findings{}
	}
	return m
}

// negotiate chooses the content coding for this client.
func (x *Exchange) negotiate() encode.Coding {
	e, m := x.gen.Encoder, x.memory()
	if m == nil {
		return e.Negotiate(x.Req.Fields)
	}
	if m.encoder != e {
		m.encoder, m.coding = e, e.Negotiate(x.Req.Fields)
	}
	return m.coding
}
