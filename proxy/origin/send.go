package origin

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tzero-edge/tzero/internal/field"
)

// continueWait is how long a request that expects 100 (Continue) waits for the origin's word before
// its body is sent all the same (RFC 9110 §10.1.1).
const continueWait = time.Second

// sender streams a request's body to the origin while the response is awaited. It lives until the body
// is sent, the connection fails, or the exchange ends, whichever is first; stopSending joins it.
type sender struct {
	cn     *conn
	q      *Request
	f      framing
	held   []byte // the beginning of the body, read already
	idle   time.Duration
	first  time.Duration
	done   chan struct{}
	toldGo chan struct{} // the origin has said 100 (Continue), or has answered
	once   sync.Once
	stop   atomic.Bool
	ending atomic.Bool // nothing but the last write is left to do

	mu    sync.Mutex // calls into the request's owner
	final bool       // no more such calls

	// Settled when done is closed.
	consumed bool // something of the body was read
	whole    bool // all of the body, trailers included, was written
	err      error
}

func newSender(cn *conn, q *Request, f framing, held []byte, tm Timeouts) *sender {
	s := &sender{cn: cn, q: q, f: f, idle: tm.Idle.D(), first: tm.FirstByte.D(), done: make(chan struct{})}
	s.held = append(s.held, held...)
	if f.expect {
		s.toldGo = make(chan struct{})
	}
	return s
}

func (s *sender) run() {
	defer close(s.done)
	defer s.cn.uploaded()
	if s.f.expect && !s.waitForGo() {
		return
	}
	word := s.cn.word.Load()
	if err := s.body(); err != nil {
		if ce := (*clientError)(nil); errors.As(err, &ce) && !s.stop.Load() {
			s.err = ce.err
			s.cn.kill(word, RequestBody)
		}
		// After a failed write the origin's answer, or its absence, tells more.
	} else {
		s.whole = true
	}
	s.cn.headBy.CompareAndSwap(whileSending, s.cn.t.ps.clock.by(s.first))
}

// waitForGo waits for the origin's 100 (Continue), but not for ever: it may not know about
// expectations. false: there was a final answer instead.
func (s *sender) waitForGo() bool {
	timer := time.NewTimer(continueWait)
	defer timer.Stop()
	select {
	case <-s.toldGo:
	case <-timer.C:
	}
	granted := false
	s.exclusively(func() {
		granted = true
		if s.q.OnContinue != nil {
			s.q.OnContinue()
		}
	})
	return granted
}

// clientError marks what went wrong on the client's side.
type clientError struct{ err error }

func (e *clientError) Error() string { return e.err.Error() }

var errShort = errors.New("the body ended before its declared length")

func (s *sender) body() error {
	pool := &s.cn.t.ps.buffers
	buf := pool.piece()
	defer pool.givePiece(buf)
	src := io.Reader(s.q.Body)
	var sent int64
	for {
		room := (*buf)[chunkRoom : len(*buf)-2]
		if !s.f.chunked {
			room = room[:min(int64(len(room)), s.f.length-sent)]
		}
		n, err := s.next(src, room)
		if s.stop.Load() {
			return io.ErrClosedPipe
		}
		if sent += int64(n); !s.f.chunked && sent == s.f.length {
			s.ending.Store(true)
		}
		if n > 0 {
			if werr := s.piece(*buf, n); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return s.finish(sent)
		}
		if err != nil {
			return &clientError{err}
		}
		if !s.f.chunked && sent >= s.f.length {
			return s.finish(sent)
		}
	}
}

func (s *sender) next(src io.Reader, p []byte) (int, error) {
	if len(s.held) > 0 {
		n := copy(p, s.held)
		s.held = s.held[n:]
		return n, nil
	}
	s.consumed = true
	return src.Read(p)
}

// piece writes n bytes of body, which stand at chunkRoom in buf, in one write.
func (s *sender) piece(buf []byte, n int) error {
	if !s.f.chunked {
		return s.write(buf[chunkRoom : chunkRoom+n])
	}
	var hex [chunkRoom]byte
	h := append(strconv.AppendInt(hex[:0], int64(n), 16), '\r', '\n')
	from := chunkRoom - len(h)
	copy(buf[from:], h)
	end := chunkRoom + n
	buf[end], buf[end+1] = '\r', '\n'
	return s.write(buf[from : end+2])
}

func (s *sender) finish(sent int64) error {
	if !s.f.chunked {
		if sent < s.f.length {
			return &clientError{errShort}
		}
		return nil
	}
	var trailer field.List
	if s.q.Trailer != nil {
		trailer = s.q.Trailer()
	}
	s.ending.Store(true)
	return s.write(appendTrailer(nil, trailer))
}

func (s *sender) write(p []byte) error {
	s.cn.writeBy.Store(s.cn.t.ps.clock.by(s.idle))
	_, err := s.cn.nc.Write(p)
	s.cn.writeBy.Store(0)
	return err
}

// proceed is the origin's 100 (Continue). It is a method of a nil sender too: an origin may say so
// unasked, and then it means nothing.
func (s *sender) proceed() {
	if s != nil && s.toldGo != nil {
		s.once.Do(func() { close(s.toldGo) })
	}
}

// exclusively calls into the request's owner, unless the final answer is out.
func (s *sender) exclusively(f func()) {
	if s == nil {
		f()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.final {
		f()
	}
}

// answered is called when the final answer is here. A body that the origin has not asked for yet is
// not sent any more, nor the rest of one that it has refused.
func (s *sender) answered(refused bool) {
	s.mu.Lock()
	s.final = true
	s.mu.Unlock()
	s.proceed()
	if refused && !s.ended() && !s.ending.Load() {
		s.halt()
	}
}

func (s *sender) ended() bool { return closed(s.done) }

// halt makes the sender come to its end soon: it interrupts a write that the origin does not take and
// a read that the client does not feed.
func (s *sender) halt() {
	if s.stop.Swap(true) {
		return
	}
	s.proceed()
	s.cn.nc.SetWriteDeadline(time.Unix(1, 0))
	if s.q.StopBody != nil {
		s.q.StopBody()
	}
}

func (s *sender) failure() error {
	<-s.done
	return s.err
}

// sent reports whether the whole request is out.
func (c *conn) sent() bool {
	s := c.sender
	return !c.unsent && (s == nil || s.ended() && s.whole && !s.stop.Load())
}

// stopSending ends the sender and waits for it; true when it has consumed any of the request's body.
func (c *conn) stopSending() (consumed bool) {
	s := c.sender
	if s == nil {
		return false
	}
	s.mu.Lock()
	s.final = true
	s.mu.Unlock()
	if !s.ended() && !s.soon() {
		s.halt()
	}
	<-s.done
	return s.consumed
}

// lastWriteWait is what an answer may be ahead of the sender's last write.
const lastWriteWait = 100 * time.Millisecond

// soon waits for a sender that has only its last write to return from: an origin that took all of the
// request can answer before this goroutine has run again, and then the connection is as good as any.
func (s *sender) soon() bool {
	if !s.ending.Load() {
		return false
	}
	timer := time.NewTimer(lastWriteWait)
	defer timer.Stop()
	select {
	case <-s.done:
		return true
	case <-timer.C:
		return false
	}
}
