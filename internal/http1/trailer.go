package http1

import "github.com/tzero-edge/tzero/internal/field"

type verdict uint8

const (
	keepTrailer verdict = iota
	dropTrailer
	refuseTrailer
)

// judgeTrailer says what becomes of a trailer field (RFC 9110 §6.5.1). What frames or routes a message is an
// attack when it comes behind the body: refused. What else must be known before the content, or could be
// merged into a header section with effect, is dropped, as RFC 9112 §7.1.2 permits for any trailer.
func judgeTrailer(name []byte) verdict {
	for _, n := range framingFields {
		if field.EqualFold(name, n) {
			return refuseTrailer
		}
	}
	for _, n := range headOnlyFields {
		if field.EqualFold(name, n) {
			return dropTrailer
		}
	}
	for _, p := range headOnlyPrefixes {
		if len(name) >= len(p) && field.EqualFold(name[:len(p)], p) {
			return dropTrailer
		}
	}
	return keepTrailer
}

var framingFields = [...]string{"Transfer-Encoding", "Content-Length", "Host"}

// headOnlyFields: request modifiers, authentication, response control data, the content's form, and what
// concerns one connection only.
var headOnlyFields = [...]string{
	"Age", "Authorization", "Cache-Control", "CDN-Cache-Control", "Connection", "Cookie", "Date", "Expect", "Expires",
	"Forwarded", "Keep-Alive", "Location", "Max-Forwards", "Origin", "Pragma", "Range", "Retry-After", "Set-Cookie",
	"TE", "Trailer", "Upgrade", "Vary", "Via", "Warning", "WWW-Authenticate", "Clear-Site-Data",
	"Strict-Transport-Security", "Refresh",
}

var headOnlyPrefixes = [...]string{"Content-", "If-", "Proxy-", "Access-Control-", "X-Forwarded-", "Sec-"}
