// Package http1 reads HTTP/1.0 and HTTP/1.1 messages strictly: heads, bodies, trailers. It is the gateway's
// door towards clients and towards origins, and it decides what a message is before anything else looks
// at it. It also holds the few functions that write messages in one clean form.
//
// RFC 9112 and RFC 9110 are the judge. Whatever they call malformed is refused, and so is what they leave to
// the recipient's taste wherever two recipients of different taste could disagree on where a message
// ends, whom it is for or what it asks. Nothing is repaired: a message is taken as it came, or not at all.
//
// # Refusals
//
// A refusal is a [*Malformed] with one of these words (see [Reasons]). The status is the one for requests; a
// response that is refused is always answered with 502.
//
//	bad-request-line          400  RFC 9112 §3
//	bad-status-line           502  RFC 9112 §4
//	bad-method                400  RFC 9110 §9.1
//	method-too-long           501  RFC 9112 §3
//	bad-target                400  RFC 9112 §3.2
//	bad-target-form           400  RFC 9112 §3.2
//	target-too-long           414  RFC 9112 §3
//	bad-version               400  RFC 9112 §2.3
//	unsupported-version       505  RFC 9110 §15.6.6
//	bad-line-end              400  RFC 9112 §2.2
//	control-byte              400  RFC 9110 §5.5
//	bad-field-name            400  RFC 9112 §5
//	space-before-colon        400  RFC 9112 §5.1
//	folded-line               400  RFC 9112 §5.2
//	field-too-large           431  RFC 6585 §5
//	too-many-fields           431  RFC 6585 §5
//	head-too-large            431  RFC 6585 §5
//	missing-host              400  RFC 9112 §3.2
//	repeated-host             400  RFC 9112 §3.2
//	bad-host                  400  RFC 9112 §3.2
//	bad-connection            400  RFC 9110 §7.6.1
//	unknown-expectation       417  RFC 9110 §10.1.1
//	bad-content-length        400  RFC 9112 §6.3
//	repeated-content-length   400  RFC 9112 §6.3
//	length-and-encoding       400  RFC 9112 §6.1
//	bad-transfer-encoding     400  RFC 9112 §6.1
//	unknown-coding            501  RFC 9112 §6.1
//	encoding-in-http10        400  RFC 9112 §6.1
//	content-on-connect        400  RFC 9110 §9.3.6
//	bad-chunk                 400  RFC 9112 §7.1
//	bad-chunk-extension       400  RFC 9112 §7.1.1
//	chunk-line-too-long       400  RFC 9112 §7.1.1
//	forbidden-trailer         400  RFC 9110 §6.5.1
//	body-too-large            413  RFC 9110 §15.5.14
//
// # Choices
//
// Stricter than the RFCs demand, as they permit:
//
//   - Lines end with CRLF; a lone LF is refused although RFC 9112 §2.2 would let it pass. Folded lines are refused
//     in responses as well (§5.2 offers 502), and so is whitespace before a response field's colon (§5.1).
//   - A request line has exactly two single spaces (§3 would permit leniency). At most one empty line may come before it.
//   - The versions 1.0 and 1.1 only; HTTP/1.2 is answered with 505 instead of being read as 1.1 (RFC 9110 §2.5).
//   - One Content-Length line with digits only. Equal repeated values are refused, not folded (RFC 9112 §6.3),
//     in responses too. Leading zeros are digits.
//   - Transfer-Encoding is one line with the one word chunked, in any case of letters. Beside a
//     Content-Length it is refused, not preferred (§6.1, §6.3), in responses too.
//   - Hosts are names, IPv4 and IPv6 addresses as DNS and RFC 3986 know them: see [ValidHost].
//   - CONNECT with content framing, more than one Expect line, a connection option that is no token.
//   - Control bytes in values, which RFC 9110 §5.5 lets a recipient keep.
//   - "%00" and broken escapes in a path (RFC 3986 §7.3, §2.1).
//   - A 1xx or 204 response that announces a body is taken without one (RFC 9112 §6.3), and its connection is not
//     used again.
//
// More lenient than the letter, where refusing would break what browsers and servers really send and no two
// readers can disagree about the meaning:
//
//   - "[", "]", "^" and "|" in a path and, besides those, "\", "`", "{", "}" and a "%" that introduces no escape in a
//     query: browsers leave them unescaped, nginx passes them on. The bytes stay as they are.
//   - A Host that differs from an absolute-form target's authority is ignored, as RFC 9112 §3.2.2 demands.
//   - A status line may lack the space before an absent reason phrase (§4 permits parsing on whitespace).
//   - Whitespace inside a chunk extension where the grammar has BWS (RFC 9110 §5.6.3: a recipient must).
//   - Empty members in Connection (RFC 9110 §5.6.1.2).
//
// An Upgrade that is ill-formed, repeated or not named in Connection is ignored (RFC 9110 §7.8), as is
// 100-continue from HTTP/1.0 and without content. Trailer fields that frame or route a message are refused;
// others that have no business in a trailer section (RFC 9110 §6.5.1) are dropped.
//
// # Memory
//
// A [Reader] takes its buffers from pools when bytes arrive and gives them back on [Reader.Idle]; reading
// a head allocates nothing once the caller's field list has grown. A head is parsed once per byte however
// the bytes are cut into reads, and is bounded by [Limits]; a chunked body's framing has bounds of its own.
// Slices of a head stay valid while its body is read, since the body is read through another buffer.
package http1
