package listen

import (
	"io"

	"github.com/valyala/fasthttp"

	"github.com/tzero-edge/tzero/internal/http1"
	"github.com/tzero-edge/tzero/proxy"
)

// handle serves the request that the door has let in.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c, ok := ctx.Conn().(*conn)
	if !ok || c.x == nil {
		ctx.SetStatusCode(500)
		ctx.SetConnectionClose()
		return
	}
	x := c.x
	s.handler.Serve(&x.Exchange)
	if c.taken {
		ctx.SetConnectionClose()
		return
	}
	if x.Body != nil && !x.body.Done() {
		// What is left of the content would have to be read before the next request. Its size is the
		// client's choice, so the connection ends instead.
		c.last, c.refused = true, true
	}
	if s.draining.Load() {
		c.last = true
	}
	c.respond(ctx, &x.Res)
}

// respond gives fasthttp the frame, status and length, and keeps the field lines for Write.
func (c *conn) respond(ctx *fasthttp.RequestCtx, res *proxy.Response) {
	x := c.x
	c.last = c.last || res.Close
	c.held.set(res.Object, res.Holds)
	x.block = http1.AppendFields(x.block[:0], res.Fields)
	x.send = sender{c: c, ctx: ctx}
	if res.Stream != nil && res.Length < 0 && x.req.Minor == 0 {
		c.respondUntilClose(ctx, res)
		return
	}
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
	switch {
	case res.NoBody:
		r.SkipBody = true
		if res.Length >= 0 && res.Status >= 200 && res.Status != 204 {
			x.block = http1.AppendContentLength(x.block, res.Length)
		}
		if res.Stream != nil {
			x.send.body = res.Stream
		}
	case res.Stream != nil:
		x.send.body = res.Stream
		r.ImmediateHeaderFlush = res.Flush
		if res.Length < 0 && len(res.Trailer) > 0 {
			_ = r.Header.AddTrailerBytes(res.Trailer) // names that no trailer may use are left out
		}
		r.SetBodyStream(&x.send, int(res.Length))
	default:
		x.send.bytes = len(res.Bytes)
		r.SetBodyRaw(res.Bytes)
	}
}

// respondUntilClose answers an HTTP/1.0 client with content of unknown length: it knows no chunks, so
// the end of the connection is the end of the content (RFC 9112 §6.3).
func (c *conn) respondUntilClose(ctx *fasthttp.RequestCtx, res *proxy.Response) {
	x := c.x
	c.last = true
	b := appendStatusLine(x.frame[:0], res.Status)
	b = append(b, x.block...)
	b = append(b, "Connection: close\r\n\r\n"...)
	x.frame = b
	x.send.body = res.Stream
	_, err := c.write(b)
	if err == nil && !res.NoBody {
		_, err = x.send.WriteTo(writerFunc(c.write))
	}
	x.send.settle(err)
	c.taken = true
	ctx.SetConnectionClose()
	if err == nil {
		c.finish(nil)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func appendStatusLine(b []byte, status int) []byte {
	text := proxy.StatusText(status)
	if text == "" {
		text = fasthttp.StatusMessage(status)
	}
	return http1.AppendStatusLine(b, status, text)
}

// sender is the content as fasthttp pulls it: it counts what was sent, adds the trailer section and
// closes the stream exactly once.
type sender struct {
	c     *conn
	ctx   *fasthttp.RequestCtx
	body  proxy.Stream
	bytes int
	sent  int64

	failed error // the stream's, or of sending it
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
	if err == nil && s.bytes > 0 {
		s.sent = int64(s.bytes)
		s.bytes = 0
	}
}
