package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard decides who may do what over TCP. The unix socket needs none of it: the file's mode and the
// peer's user id decide there.
type guard struct {
	names     map[string]bool // allowed host names, lower case
	token     [sha256.Size]byte
	hasToken  bool
	openReads bool
	origins   *http.CrossOriginProtection
}

func newGuard(c Config) guard {
	g := guard{
		names:    map[string]bool{"localhost": true},
		hasToken: !c.Token.Empty(),
		token:    sha256.Sum256([]byte(c.Token.Reveal())),
		origins:  http.NewCrossOriginProtection(),
	}
	bind, _, _ := net.SplitHostPort(c.Address)
	g.openReads = c.PublicReads || loopback(bind)
	for _, h := range append([]string{bind}, c.Hosts...) {
		if h != "" {
			g.names[strings.ToLower(h)] = true
		}
	}
	return g
}

// probe reports the two paths that say one word each: load balancers ask them under any name.
func probe(path string) bool { return path == "/healthz" || path == "/readyz" }

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// outside wraps the handler for connections that anybody on the network can make.
func (g *guard) outside(next http.Handler) http.Handler {
	return secured(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if reads(r.Method) && probe(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		if !g.knows(r) {
			refuse(w, http.StatusMisdirectedRequest, "this host name is not one of the admin server's; name it in admin.hosts")
			return
		}
		if err := g.origins.Check(r); err != nil {
			refuse(w, http.StatusForbidden, "changes from another web site are refused")
			return
		}
		if g.permits(w, r) {
			next.ServeHTTP(w, r)
		}
	}))
}

// knows checks the Host field, so that a web page cannot reach this server through a name of its own
// that it lets resolve to this machine (DNS rebinding). An IP address as host name cannot be such a
// name, but only those on which the connection really came in are taken.
func (g *guard) knows(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(host, "."), "["), "]"))
	if g.names[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	ip = ip.Unmap()
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && (at.Addr().Unmap().WithZone("") == ip || ip.IsLoopback() && at.Addr().Unmap().IsLoopback())
}

// permits asks for the token where it is needed, and answers itself when it is missing or wrong.
func (g *guard) permits(w http.ResponseWriter, r *http.Request) bool {
	read := reads(r.Method)
	switch {
	case read && g.openReads:
		return true
	case !g.hasToken:
		refuse(w, http.StatusForbidden, "changes are made through the unix socket (tzero's subcommands do) or with a bearer token; set admin.token")
		return false
	case g.bearer(r), read && g.basic(r):
		return true
	}
	challenge := `Bearer realm="tzero"`
	if read {
		// Lets a browser ask for the token (as password, any user name) to show the dashboard.
		// Never enough for changes: browsers attach it to other sites' requests as well.
		w.Header().Add("WWW-Authenticate", `Basic realm="tzero: the token is the password"`)
	}
	w.Header().Add("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "the admin token is missing or wrong")
	return false
}

func (g *guard) bearer(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer") && g.matches(strings.TrimSpace(token))
}

func (g *guard) basic(r *http.Request) bool {
	_, password, ok := r.BasicAuth()
	return ok && g.matches(password)
}

// matches compares digests in constant time: not even the token's length shows.
func (g *guard) matches(token string) bool {
	digest := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(digest[:], g.token[:]) == 1
}

// secured sets what every answer carries. Everything shown is our own; nothing may be framed, cached
// or loaded by other sites.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		limit := int64(maxBody)
		if r.URL.Path == "/purge" || r.URL.Path == "/limits" {
			limit = maxList
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}
