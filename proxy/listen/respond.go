package listen

import (
	"io"

	"github.com/valyala/fasthttp"

	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
)

// handle answers the request that has walked its journey in the lane and is not the lane's to answer.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c, ok := ctx.Conn().(*conn)
	if !ok || c.x == nil {
		ctx.SetStatusCode(500)
		ctx.SetConnectionClose()
		return
	}
	if c.taken {
		ctx.SetConnectionClose()
		return
	}
	c.respond(ctx, &c.x.Res)
}

// respond gives fasthttp content of unknown length, to be sent in chunks, and keeps the field lines for Write.
func (c *conn) respond(ctx *fasthttp.RequestCtx, res *proxy.Response) {
	x := c.x
	x.block = res.AppendFields(x.block[:0])
	x.send = sender{c: c, ctx: ctx, body: res.Stream}
	r := &ctx.Response
	r.SetStatusCode(res.Status)
	if res.Status >= 400 {
		if text := proxy.StatusText(res.Status); text != "" {
			r.Header.SetStatusMessage([]byte(text)) // RFC 9110's words; fasthttp has those of RFC 2616
		}
	}
	if c.last {
		r.SetConnectionClose()
	}
	r.ImmediateHeaderFlush = res.Flush
	if len(res.Trailer) > 0 {
		_ = r.Header.AddTrailerBytes(res.Trailer) // names that no trailer may use are left out
	}
	r.SetBodyStream(&x.send, -1)
}

func appendStatusLine(b []byte, status int) []byte {
	text := proxy.StatusText(status)
	if text == "" {
		text = fasthttp.StatusMessage(status)
	}
	return http1.AppendStatusLine(b, status, text)
}

// sender is an answer's content on its way: it counts what was sent and closes the stream exactly once. In the
// lane it writes the frame, too; otherwise fasthttp pulls from it, and it adds the trailer section.
type sender struct {
	c     *conn
	ctx   *fasthttp.RequestCtx // nil in the lane
	body  proxy.Stream
	begun bool // in the lane: the head is out
	sent  int64

	failed error // the stream's, or of sending it
}

// begin sends the head, if it is not out, together with the first piece of content.
func (s *sender) begin(p []byte) error {
	s.begun = true
	x := s.c.x
	if len(p) <= inline {
		x.frame, p = append(x.frame, p...), nil
	}
	_, err := s.c.write(x.frame, p)
	return err
}

// Write sends a piece of content.
func (s *sender) Write(p []byte) (int, error) {
	if s.begun {
		return s.c.write(p, nil)
	}
	if err := s.begin(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *sender) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.sent += int64(n)
	if err == io.EOF {
		s.trailer()
	}
	return n, err
}

func (s *sender) WriteTo(w io.Writer) (int64, error) {
	n, err := s.body.WriteTo(w)
	s.sent += n
	if err == nil {
		s.trailer()
	}
	return n, err
}

// SupportsBodyWriteTo lets fasthttp use WriteTo for chunked content too.
func (s *sender) SupportsBodyWriteTo() bool { return true }

func (s *sender) trailer() {
	for _, f := range s.body.Trailer() {
		s.ctx.Response.Header.SetBytesKV(f.Name, f.Value)
	}
}

// Close is fasthttp's; the stream is closed in CloseWithError, which it calls next.
func (s *sender) Close() error { return nil }

// CloseWithError ends the stream; err is nil when everything was sent.
func (s *sender) CloseWithError(err error) error {
	s.failed = err
	s.settle(err)
	return nil
}

func (s *sender) settle(err error) {
	if s.body != nil {
		s.body.Close(err)
		s.body = nil
	}
}
