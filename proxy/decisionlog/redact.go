package decisionlog

import (
	"bytes"
	"net/netip"
)

// privacy says how much of a visitor a line shows.
type privacy struct {
	address addressMode
	query   queryMode
}

type addressMode uint8

const (
	addressTruncated addressMode = iota
	addressFull
	addressNone
)

type queryMode uint8

const (
	queryRedacted queryMode = iota
	queryFull
	queryNone
)

func privacyOf(c Config) privacy {
	var p privacy
	switch c.Address {
	case "full":
		p.address = addressFull
	case "none":
		p.address = addressNone
	}
	switch c.Query {
	case "full":
		p.query = queryFull
	case "none":
		p.query = queryNone
	}
	return p
}

// client returns the address as it may be shown: /24 of IPv4, /48 of IPv6 (what a site usually has).
func (p privacy) client(a netip.Addr) (netip.Addr, bool) {
	if !a.IsValid() || p.address == addressNone {
		return a, false
	}
	a = a.Unmap().WithZone("")
	if p.address == addressFull {
		return a, true
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	cut, err := a.Prefix(bits)
	return cut.Addr(), err == nil
}

// splitTarget cuts a request target into path and query (without "?"). Of an absolute-form target
// only the path counts; the line has the host elsewhere.
func splitTarget(target []byte) (path, query []byte) {
	path = target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i+1:]
	}
	if len(path) == 0 || path[0] == '/' {
		return path, query
	}
	if i := bytes.Index(path, []byte("://")); i >= 0 {
		rest := path[i+3:]
		if slash := bytes.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:], query
		}
		return nil, query
	}
	return withoutUserinfo(path), query
}

// withoutUserinfo drops what stands before "@": "user:password@host" is no valid authority here,
// but the refusal of one must not publish the password.
func withoutUserinfo(authority []byte) []byte {
	return authority[bytes.LastIndexByte(authority, '@')+1:]
}

const (
	maxNames    = 32 // of query parameters in a line
	maxName     = 64
	maxBareName = 24 // a longer piece without "=" is taken for a value: some put tokens there
)

// query writes a query as the mode permits.
func (l *line) query(q []byte) {
	if l.privacy.query == queryFull {
		part(l, q, maxQuery)
		return
	}
	for n := 0; len(q) > 0; n++ {
		if n > 0 {
			l.raw("&")
		}
		if n == maxNames {
			l.raw("…")
			return
		}
		var pair []byte
		pair, q = q, nil
		if i := bytes.IndexByte(pair, '&'); i >= 0 {
			pair, q = pair[:i], pair[i+1:]
		}
		l.parameter(pair)
	}
}

func (l *line) parameter(pair []byte) {
	eq := bytes.IndexByte(pair, '=')
	switch {
	case eq >= 0:
		part(l, pair[:eq], maxName)
		l.raw("=*")
	case len(pair) > maxBareName:
		l.raw("*")
	default:
		part(l, pair, maxBareName)
	}
}

// url writes a URL without userinfo and fragment, its query as the mode permits.
func url[T string | []byte](l *line, u T) {
	u = u[:index(u, '#')]
	q := index(u, '?')
	head := u[:q]
	if n := authorityAt(head); n > 0 {
		part(l, head[:n], maxScheme)
		authority := head[n:]
		slash := index(authority, '/')
		part(l, afterLast(authority[:slash], '@'), maxHost)
		head = authority[slash:]
	}
	part(l, head, maxPath)
	if q < len(u) && l.privacy.query != queryNone {
		l.raw("?")
		l.query([]byte(u[q+1:]))
	}
}

// authorityAt returns where the authority of "scheme://authority/…" or "//authority/…" begins, or 0.
func authorityAt[T string | []byte](s T) int {
	i := index(s, ':') + 1
	if len(s) > 1 && s[0] == '/' && s[1] == '/' {
		i = 0
	}
	if i+1 < len(s) && s[i] == '/' && s[i+1] == '/' {
		return i + 2
	}
	return 0
}

// index returns the place of the first c, or s's length.
func index[T string | []byte](s T, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return len(s)
}

// afterLast returns what follows the last c, or s.
func afterLast[T string | []byte](s T, c byte) T {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == c {
			return s[i+1:]
		}
	}
	return s
}
