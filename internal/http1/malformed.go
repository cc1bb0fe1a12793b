package http1

import (
	"errors"
	"slices"
	"strconv"
)

// Malformed is a message that cannot be taken: the words of RFC 9112 and 9110, or a limit, forbid it. The
// connection it came on has no known message boundary any more and must be closed.
type Malformed struct {
	Status int    // to be answered: 400, 413, 414, 417, 431, 501, 505; 502 for a response
	Reason string // one of the words in Reasons
	Detail string // for operators; at most a short quoted excerpt, never a field's value or a query
}

func (m *Malformed) Error() string {
	what := "cannot read request: "
	if m.Status == statusBadGateway {
		what = "cannot read response: "
	}
	if m.Detail == "" {
		return what + m.Reason
	}
	return what + m.Reason + ": " + m.Detail
}

// Errors of use, not of the peer.
var (
	// ErrBodyUnread refuses to read a head where the body before it has not been consumed whole.
	ErrBodyUnread = errors.New("cannot read head: the body before it is not finished")
	errSource     = errors.New("cannot read: the source returned an impossible count")
)

const statusBadGateway = 502

// The reasons. Each stands in Reasons with its status and section.
const (
	BadRequestLine        = "bad-request-line"
	BadStatusLine         = "bad-status-line"
	BadMethod             = "bad-method"
	MethodTooLong         = "method-too-long"
	BadTarget             = "bad-target"
	BadTargetForm         = "bad-target-form"
	TargetTooLong         = "target-too-long"
	BadVersion            = "bad-version"
	UnsupportedVersion    = "unsupported-version"
	BadLineEnd            = "bad-line-end"
	ControlByte           = "control-byte"
	BadFieldName          = "bad-field-name"
	SpaceBeforeColon      = "space-before-colon"
	FoldedLine            = "folded-line"
	FieldTooLarge         = "field-too-large"
	TooManyFields         = "too-many-fields"
	HeadTooLarge          = "head-too-large"
	MissingHost           = "missing-host"
	RepeatedHost          = "repeated-host"
	BadHost               = "bad-host"
	BadConnection         = "bad-connection"
	UnknownExpectation    = "unknown-expectation"
	BadContentLength      = "bad-content-length"
	RepeatedContentLength = "repeated-content-length"
	LengthAndEncoding     = "length-and-encoding"
	BadTransferEncoding   = "bad-transfer-encoding"
	UnknownCoding         = "unknown-coding"
	EncodingInHTTP10      = "encoding-in-http10"
	ContentOnConnect      = "content-on-connect"
	BadChunk              = "bad-chunk"
	BadChunkExtension     = "bad-chunk-extension"
	ChunkLineTooLong      = "chunk-line-too-long"
	ForbiddenTrailer      = "forbidden-trailer"
	BodyTooLarge          = "body-too-large"
)

// Reason describes one word of refusal.
type Reason struct {
	Word    string
	Status  int    // for requests; a response's is always 502
	Section string // of the RFC that demands or permits the refusal
	Meaning string
}

// Reasons lists every word that a Malformed can carry; reference pages are made from it.
func Reasons() []Reason { return slices.Clone(reasons[:]) }

func statusOf(word string) int {
	for i := range reasons {
		if reasons[i].Word == word {
			return reasons[i].Status
		}
	}
	return 400
}

var reasons = [...]Reason{
	{BadRequestLine, 400, "RFC 9112 §3", "The first line is not method SP target SP version, with exactly one SP between the parts, after at most one empty line."},
	{BadStatusLine, 502, "RFC 9112 §4", "The response's first line is not version SP three digits from 100 to 599 SP reason."},
	{BadMethod, 400, "RFC 9110 §9.1", "The method is not a token."},
	{MethodTooLong, 501, "RFC 9112 §3", "The method has more than 32 characters."},
	{BadTarget, 400, "RFC 9112 §3.2", "The target has a byte that no URI has unescaped: a control, a space, a fragment, a quote, a byte beyond ASCII; or an escape that is none."},
	{BadTargetForm, 400, "RFC 9112 §3.2", "The target's form does not fit the method, or its scheme is not http or https."},
	{TargetTooLong, 414, "RFC 9112 §3", "The first line is longer than the limit."},
	{BadVersion, 400, "RFC 9112 §2.3", "The version is not HTTP/ digit . digit."},
	{UnsupportedVersion, 505, "RFC 9110 §15.6.6", "The version is neither 1.0 nor 1.1."},
	{BadLineEnd, 400, "RFC 9112 §2.2", "A LF without CR, or a CR without LF."},
	{ControlByte, 400, "RFC 9110 §5.5", "NUL or another control byte."},
	{BadFieldName, 400, "RFC 9112 §5", "The field's name is empty or no token, or its colon is missing."},
	{SpaceBeforeColon, 400, "RFC 9112 §5.1", "Whitespace between a field's name and its colon."},
	{FoldedLine, 400, "RFC 9112 §5.2", "A line that begins with whitespace: obsolete folding, or space before the first field (§2.2)."},
	{FieldTooLarge, 431, "RFC 6585 §5", "One field line is longer than the limit."},
	{TooManyFields, 431, "RFC 6585 §5", "More field lines than the limit."},
	{HeadTooLarge, 431, "RFC 6585 §5", "The head, or the trailer section, is longer than the limit."},
	{MissingHost, 400, "RFC 9112 §3.2", "HTTP/1.1 without Host."},
	{RepeatedHost, 400, "RFC 9112 §3.2", "More than one Host line."},
	{BadHost, 400, "RFC 9112 §3.2", "Host, or the target's authority, does not name a host: empty, user information, a bad port, a character that no host name has."},
	{BadConnection, 400, "RFC 9110 §7.6.1", "A connection option is not a token."},
	{UnknownExpectation, 417, "RFC 9110 §10.1.1", "An expectation other than a single 100-continue."},
	{BadContentLength, 400, "RFC 9112 §6.3", "Content-Length is not digits only, or too large."},
	{RepeatedContentLength, 400, "RFC 9112 §6.3", "More than one Content-Length line, equal ones included."},
	{LengthAndEncoding, 400, "RFC 9112 §6.1", "Both Content-Length and Transfer-Encoding."},
	{BadTransferEncoding, 400, "RFC 9112 §6.1", "Transfer-Encoding that is not the one word chunked and does not end with it, names it twice or gives it parameters."},
	{UnknownCoding, 501, "RFC 9112 §6.1", "Another transfer coding before chunked."},
	{EncodingInHTTP10, 400, "RFC 9112 §6.1", "Transfer-Encoding in an HTTP/1.0 message."},
	{ContentOnConnect, 400, "RFC 9110 §9.3.6", "CONNECT with Content-Length or Transfer-Encoding."},
	{BadChunk, 400, "RFC 9112 §7.1", "A chunk's size is not 1 to 16 hex digits below 2^63, or its data does not end with CRLF."},
	{BadChunkExtension, 400, "RFC 9112 §7.1.1", "A chunk extension that is not ;name or ;name=value."},
	{ChunkLineTooLong, 400, "RFC 9112 §7.1.1", "One chunk line, or all chunk extensions of a body together, exceed their bound."},
	{ForbiddenTrailer, 400, "RFC 9110 §6.5.1", "A trailer field that frames or routes the message."},
	{BodyTooLarge, 413, "RFC 9110 §15.5.14", "The body is larger than the route permits."},
}

func malformed(reason, detail string) *Malformed {
	return &Malformed{Status: statusOf(reason), Reason: reason, Detail: detail}
}

// malformedAt names the offending byte and where it stands, and nothing around it.
func malformedAt(reason, what string, c byte, at int) *Malformed {
	return malformed(reason, what+": byte 0x"+strconv.FormatUint(uint64(c), 16)+" at offset "+strconv.Itoa(at))
}

// excerpt quotes the beginning of b, escaped to printable ASCII.
func excerpt(b []byte) string {
	const most = 40
	if len(b) > most {
		return strconv.QuoteToASCII(string(b[:most])) + "…"
	}
	return strconv.QuoteToASCII(string(b))
}
