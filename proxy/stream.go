package proxy

import (
	"errors"
	"io"
	"sync"

	"github.com/tzero-edge/tzero/cache"
	"github.com/tzero-edge/tzero/internal/field"
	"github.com/tzero-edge/tzero/proxy/encode"
	"github.com/tzero-edge/tzero/proxy/origin"
)

// stream is an answer's content on its way to the client: the origin's own body, or a reader of a fill, or
// bytes in memory, in one or several pieces, encoded in passing where the client asked for that.
type stream struct {
	gen    *Generation
	body   *origin.Response // one of these four
	fill   *cache.Reader
	bytes  []byte
	pieces [][]byte       // with bytes absent: those of a multipart answer
	enc    *encode.Writer // nil: as it is
	out    redirect       // where enc writes
	sent   counter        // what went to the client
	failed error          // the source's failure, not the client's

	gone <-chan struct{} // closed when the client has gone away; nil where the source knows by itself
}

// redirect is a destination that is known later than the encoder.
type redirect struct{ w io.Writer }

func (r *redirect) Write(p []byte) (int, error) { return r.w.Write(p) }

// encode compresses the content in passing. It reports false where that is not to be had just now.
func (s *stream) encode(coding encode.Coding) bool {
	s.enc = s.gen.Encoder.Writer(coding, &s.out)
	return s.enc != nil
}

// WriteTo sends everything to w as it arrives. An encoder flushes whenever the source pauses.
func (s *stream) WriteTo(w io.Writer) (int64, error) {
	s.sent = counter{w: w}
	if s.gone != nil && s.body != nil {
		defer s.whileWanted()()
	}
	var err error
	if s.enc == nil {
		err = s.copyTo(&s.sent)
	} else {
		err = s.encodeTo(&s.sent)
	}
	if err != nil && s.sent.err == nil {
		s.failed = err
	}
	s.sent.w = nil
	return s.sent.n, err
}

// whileWanted ends the origin's answer when its client goes away, until the function that it returns is called. Nothing is
// written to a stream that is silent, so that nothing else would notice.
func (s *stream) whileWanted() (stop func()) {
	over, gone, body := make(chan struct{}), s.gone, &s.body.Body
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-gone:
			body.Abort()
		case <-over:
		}
	})
	return func() { close(over); watch.Wait() }
}

func (s *stream) copyTo(w io.Writer) (err error) {
	switch {
	case s.fill != nil:
		_, err = s.fill.WriteTo(w)
	case s.body != nil:
		_, err = s.body.Body.WriteTo(w)
	case s.pieces != nil:
		for _, p := range s.pieces {
			if _, err = w.Write(p); err != nil {
				break
			}
		}
	default:
		_, err = w.Write(s.bytes)
	}
	return err
}

func (s *stream) encodeTo(w io.Writer) error {
	enc := s.enc
	s.enc, s.out.w = nil, w
	var err error
	switch {
	case s.fill != nil:
		_, err = enc.CopyFrom(arriving{s.fill})
	case s.body != nil:
		_, err = enc.CopyFrom(&s.body.Body)
	default:
		_, err = enc.Write(s.bytes)
	}
	if err != nil {
		enc.Abort()
		return err
	}
	return enc.Close()
}

// arriving is a fill's reader for the encoder, which cannot know whether more is about to come.
type arriving struct{ *cache.Reader }

func (arriving) Ready() bool { return false }

// counter counts what was written and remembers that it was the writing that failed.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

var errPull = errors.New("cannot read an answer's content piecewise: it is written to its destination")

// Read exists because fasthttp takes only readers; it uses WriteTo.
func (s *stream) Read([]byte) (int, error) { return 0, errPull }

// Trailer returns the origin's trailer section once the content has ended.
func (s *stream) Trailer() field.List {
	if s.body == nil {
		return nil
	}
	t := s.body.Body.Trailer()
	if len(t) == 0 {
		return nil
	}
	var out field.List
	s.gen.Clients.Trailers(&out, t)
	return out
}

// Close lets the source go: the origin's connection, or the place at the fill.
func (s *stream) Close(error) {
	if s.enc != nil {
		s.enc.Abort()
		s.enc = nil
	}
	if s.fill != nil {
		s.fill.Close()
		s.fill = nil
	}
	if s.body != nil {
		_ = s.body.Close()
		s.body = nil
	}
}

// fault says whose fault it was that the answer did not arrive whole.
func (s *stream) fault() Fault {
	var e *origin.Error
	switch {
	case s.failed == nil, errors.Is(s.failed, cache.ErrGone):
		return FaultClient
	case errors.As(s.failed, &e) && e.Source() == origin.SourceClient:
		return FaultClient // it is the client's going away that ended the origin's answer
	}
	return FaultOrigin
}
