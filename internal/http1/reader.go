package http1

import "io"

// Reader reads the messages of one connection, one after the other. It is not safe for concurrent use.
//
// Bytes that were read but belong to no message yet stay in it ([Reader.Buffered]); while there are none,
// and after [Reader.Idle], it holds no buffer.
type Reader struct {
	src  io.Reader
	lazy LazySource // src, when it is one
	lim  Limits

	cur   []byte  // the buffer being read into; nil when none is needed
	r, w  int     // cur[r:w] is read and not consumed
	kept  []byte  // the head's buffer, once the body is read through another
	want  int     // size of the buffer that the next read may take
	first [1]byte // what Await read without a buffer
	await bool    // first is set and not in cur yet

	srcErr   error // came along with bytes; reported when they are used up
	failed   error // a fault after which no message boundary is known
	response bool
	at       progress
	note     noted
	body     Body
	memory   memory
}

// progress is how far the current head has been parsed. It is thrown away when the head moves in memory,
// which happens once per doubling of the buffer: parsing stays linear in the head's length however small
// the reads are.
type progress struct {
	line    int  // where the current line begins, in cur
	seen    int  // no line end in cur[line:seen], and no fault that shows before one
	section int  // where the field section begins, once the start line is behind
	fields  bool // the start line is behind
	empty   bool // the one empty line before a request has been skipped
}

// NewReader returns a Reader over src. It takes no buffer before the first read.
func NewReader(src io.Reader, lim Limits) *Reader {
	r := &Reader{lim: lim.orDefault()}
	r.Reset(src)
	return r
}

// Reset gives all buffers back and starts over with src, which may be nil to let go of a connection.
// Slices of earlier heads and trailers are no longer valid.
func (r *Reader) Reset(src io.Reader) {
	r.release()
	lazy, _ := src.(LazySource)
	*r = Reader{src: src, lazy: lazy, lim: r.lim, memory: r.memory}
	r.body.r = r
	r.body.limit = -1
}

// SetLimits changes the limits of the heads to come.
func (r *Reader) SetLimits(lim Limits) {
	r.lim = lim.orDefault()
	r.memory.forget() // it was judged by the old ones
}

// Buffered returns the bytes that were read but not consumed: a pipelined request, what a client sent
// ahead in a tunnel, or, after a response's body, the surplus that forbids to use the connection again.
// It is valid until the next call.
func (r *Reader) Buffered() []byte {
	if r.await {
		return r.first[:]
	}
	return r.cur[r.r:r.w]
}

// Body returns the body of the head just read. It is valid until the next head is read.
func (r *Reader) Body() *Body { return &r.body }

// Await blocks until a byte of the next message is there, and holds no buffer meanwhile: it reads one byte
// into the Reader itself (a LazySource is asked for more at once). It consumes nothing. An error of the
// source, a deadline for instance, leaves the Reader as it was.
func (r *Reader) Await() error {
	if err := r.begin(); err != nil {
		return err
	}
	if len(r.Buffered()) > 0 {
		return nil
	}
	r.Idle()
	if r.lazy != nil {
		r.want = smallBuffer
		return r.read()
	}
	n, err := r.readSome(r.first[:])
	r.await = n > 0
	return err
}

// Idle gives the buffers back that hold nothing unread. Call it when an exchange is over: the slices of
// its head are no longer valid. In the middle of a body it does nothing.
func (r *Reader) Idle() {
	if !r.body.over() {
		return
	}
	r.note = noted{} // it points into the head's buffer, and would keep it from being freed
	if r.kept != nil {
		give(r.kept)
		r.kept = nil
	}
	if r.r == r.w && r.cur != nil {
		give(r.cur)
		r.cur, r.r, r.w = nil, 0, 0
	}
}

func (r *Reader) release() {
	r.memory.forget()
	if room := r.memory.section[:cap(r.memory.section)]; poison && len(room) > 0 {
		overwrite(room) // as give does
	}
	if r.kept != nil {
		give(r.kept)
	}
	if r.cur != nil {
		give(r.cur)
	}
	r.kept, r.cur, r.r, r.w = nil, nil, 0, 0
}

// ReadRequest reads one head into q. It blocks until the head is whole, refused (*Malformed, as soon as an
// offence is certain) or the source fails: io.EOF when it ends before a request began, io.ErrUnexpectedEOF
// inside of one. After any other error of the source the call may be repeated and goes on with what is
// buffered. After a refusal every call returns it again.
func (r *Reader) ReadRequest(q *Request) error {
	if err := r.begin(); err != nil {
		return err
	}
	r.response = false
	for {
		*q = Request{Fields: q.Fields[:0]}
		r.restart()
		for {
			done, bad := r.scanRequest(q)
			if bad != nil {
				return r.fail(bad)
			}
			if done {
				r.body.start(q.Framing, q.Length)
				return nil
			}
			moved, err := r.more()
			if err != nil {
				return r.cut(err)
			}
			if moved {
				break
			}
		}
	}
}

// ReadResponse reads one head into p, as ReadRequest does; method is the request's, which decides whether
// a body follows. Interim responses (1xx) are returned as responses of their own.
func (r *Reader) ReadResponse(p *Response, method []byte) error {
	if err := r.begin(); err != nil {
		return err
	}
	r.response = true
	for {
		*p = Response{Fields: p.Fields[:0]}
		r.restart()
		for {
			done, bad := r.scanResponse(p, method)
			if bad != nil {
				return r.fail(bad)
			}
			if done {
				r.body.start(p.Framing, p.Length)
				return nil
			}
			moved, err := r.more()
			if err != nil {
				return r.cut(err)
			}
			if moved {
				break
			}
		}
	}
}

// begin makes the Reader ready for a head.
func (r *Reader) begin() error {
	if r.failed != nil {
		return r.failed
	}
	if !r.body.over() {
		return ErrBodyUnread
	}
	if r.kept != nil {
		give(r.kept)
		r.kept = nil
	}
	return nil
}

func (r *Reader) restart() {
	if r.await {
		r.cur = take(smallBuffer)
		r.cur[0] = r.first[0]
		r.r, r.w, r.await = 0, 1, false
	}
	r.at = progress{line: r.r, seen: r.r}
	r.note = noted{request: !r.response}
}

// fail makes a refusal final.
func (r *Reader) fail(bad *Malformed) error {
	if r.response {
		bad.Status = statusBadGateway
	}
	r.failed = bad
	return bad
}

// cut tells an end between messages from one inside. The empty line that some clients send after a body
// (RFC 9112 §2.2) begins no message.
func (r *Reader) cut(err error) error {
	if err != io.EOF {
		return err
	}
	if rest := r.Buffered(); len(rest) == 0 || !r.response && string(rest) == "\r\n" {
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}
