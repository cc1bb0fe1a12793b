package cache

import (
	"errors"
	"io"
	"time"

	"github.com/tzero-edge/tzero/cache/key"
	"github.com/tzero-edge/tzero/cache/rfc9111"
	"github.com/tzero-edge/tzero/internal/field"
)

// A whole of which the beginning or the end is held is completed (RFC 9111 §3.4): the origin is asked for the
// rest, on condition that the representation is still the same. Whatever it answers but exactly that rest of
// exactly that version is not used, and the whole is asked for.

// completable returns the longest part that can be completed with one range. A part without a strong validator
// can never be joined with anything; it is worth a try while it is fresh, since an origin that lets ranges be
// answers with the whole. The try costs a request at most once, as the whole then takes the part's place.
func (c *Cache) completable(q *Request, r *Result, now time.Time) (best Object) {
	full := q.withSuffix(r.record)
	hash := key.Hash(c.seed, full)
	for i := range maxParts {
		o := c.partAt(full, hash, i)
		if !o.Exists() || o.Complete() > c.limit(q) {
			continue
		}
		held, v := o.Held(), o.Version()
		switch {
		case held.Offset > 0 && held.End() < o.Complete():
		case best.Exists() && held.Length <= best.Held().Length:
		case q.facts.authorization && o.Traits()&rfc9111.TraitForAuthorized == 0:
		case v.Strong() || c.mayUse(q, o, now):
			best = o
		}
	}
	return best
}

// Completing reports whether the fetch is for what is missing of Part.
func (r *Result) Completing() bool { return r.Verdict == Miss && !r.Object.Exists() && r.Part.Exists() }

// missing is the piece that Part lacks.
func (r *Result) missing() rfc9111.Span {
	held, all := r.Part.Held(), r.Part.Complete()
	if held.Offset == 0 {
		return rfc9111.Span{Offset: held.Length, Length: all - held.Length}
	}
	return rfc9111.Span{Length: held.Offset}
}

// AppendConditions appends what the fetch of a Miss, or an Alone that is not Raw, says beside the request's
// own fields req without its conditions and range: a validation, the client's range, or what completes a part.
func (r *Result) AppendConditions(dst *field.List, req field.List) {
	switch {
	case r.Validating():
		r.Object.AppendValidators(dst)
	case r.Partial:
		for _, name := range [...]string{"Range", "If-Range"} {
			if v := req.Get(name); v != nil {
				dst.AddString(name, string(v))
			}
		}
	case r.Completing():
		dst.AddString("Range", string(rfc9111.AppendByteRange(nil, r.missing(), r.Part.Complete())))
		switch v := r.Part.Version(); {
		case !v.Strong():
		case len(v.ETag) > 0:
			dst.AddString("If-Range", string(v.ETag))
		default:
			dst.AddString("If-Range", string(r.Part.LastModifiedValue()))
		}
	}
}

// Complete makes the whole of Part and the origin's 206: what Begin is to be given in its place. false where it
// is not exactly what is missing; then Part is forgotten, and the whole is to be asked for.
func (c *Cache) Complete(r *Result, head Head, body Body, now time.Time) (Head, Body, bool) {
	part, missing := r.Part, r.missing()
	r.Part = Object{}
	old, news := part.Version(), rfc9111.VersionOf(head.Fields, now)
	held, complete, ok := rfc9111.PartOf(head.Fields, head.Length)
	if head.Status != 206 || !ok || held != missing || complete != part.Complete() || head.UntilClose || !old.Same(&news) ||
		string(part.Get("Content-Encoding")) != string(head.Fields.Get("Content-Encoding")) {
		c.dropParts(key.Hash(c.seed, part.Key()))
		return Head{}, nil, false
	}
	all := &joined{rest: body, left: missing.Length, before: part.Body()}
	if missing.Offset == 0 {
		all.before, all.after = nil, part.Body()
	}
	return Head{
		Status: 200, Fields: rfc9111.MergePart(part.Fields(nil), arrived(head.Fields, now)),
		Own: rfc9111.MergePart(part.Own(nil), head.Own), Length: complete,
	}, all, true
}

// joined is a body of which a piece is held already, before or after what arrives. Nothing follows what arrives
// unless that was exactly as long as announced and proven whole.
type joined struct {
	before []byte
	rest   Body
	left   int64 // of rest
	ended  bool
	after  []byte
}

func (j *joined) Read(p []byte) (n int, err error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(j.before) > 0:
		n = copy(p, j.before)
		j.before = j.before[n:]
		return n, nil
	case !j.ended:
		return j.readRest(p)
	case len(j.after) > 0:
		n = copy(p, j.after)
		j.after = j.after[n:]
		return n, nil
	}
	return 0, io.EOF
}

func (j *joined) readRest(p []byte) (int, error) {
	var probe [1]byte
	room := p[:min(int64(len(p)), j.left)]
	if j.left == 0 {
		room = probe[:]
	}
	n, err := j.rest.Read(room)
	if n > 0 && j.left == 0 {
		return 0, errLonger
	}
	j.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if j.left > 0 || !j.rest.Done() {
			return n, io.ErrUnexpectedEOF
		}
		j.ended, err = true, nil
	}
	return n, err
}

func (j *joined) Ready() bool  { return j.rest.Ready() }
func (j *joined) Done() bool   { return j.ended && len(j.after) == 0 }
func (j *joined) Close() error { return j.rest.Close() }

// Abort ends a Read that waits, where the rest can be ended.
func (j *joined) Abort() {
	if a, ok := j.rest.(Aborter); ok {
		a.Abort()
	}
}
