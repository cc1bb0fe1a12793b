package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tzero-edge/tzero/internal/field"
)

// hostClass orders host patterns: the more specific class goes first.
type hostClass uint8

const (
	hostExact hostClass = iota
	hostWild            // *.example.com
	hostAny
)

// hostPattern is a compiled host. name is lower-case; for hostWild it is ".example.com".
type hostPattern struct {
	class hostClass
	name  string
}

func (h hostPattern) String() string {
	switch h.class {
	case hostWild:
		return "*" + h.name
	case hostAny:
		return "*"
	}
	return h.name
}

// maxHost is the longest host that can equal a pattern: 253 bytes of DNS name.
const maxHost = 253

// parseHost compiles a host pattern. Ports are the listeners' business and are refused.
func parseHost(s string) (hostPattern, error) {
	if s == "" || s == "*" {
		return hostPattern{class: hostAny}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if strings.HasPrefix(name, "[") {
		a, err := netip.ParseAddr(strings.TrimSuffix(name[1:], "]"))
		if err != nil || !strings.HasSuffix(name, "]") || a.Zone() != "" || !a.Is6() {
			return hostPattern{}, fmt.Errorf("%q is not an IPv6 address in brackets; a port does not belong here", s)
		}
		return hostPattern{hostExact, "[" + a.String() + "]"}, nil
	}
	rest, wild := strings.CutPrefix(name, "*.")
	if err := checkName(rest); err != nil {
		return hostPattern{}, fmt.Errorf("%q is not a host name: %w", s, err)
	}
	if wild {
		return hostPattern{hostWild, "." + rest}, nil
	}
	return hostPattern{hostExact, rest}, nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxHost {
		return fmt.Errorf("its length must be 1 to %d", maxHost)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return errors.New("a label's length must be 1 to 63")
		}
		for i := 0; i < len(label); i++ {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			case c == '*':
				return errors.New("a wildcard stands for whole labels at the left, as in *.example.com")
			case c == ':':
				return errors.New("leave the port out; routes see every listener")
			case c == '/':
				return errors.New("leave scheme and path out")
			case c >= 0x80:
				return errors.New("write international names in their xn-- form")
			default:
				return fmt.Errorf("character %q is not allowed", c)
			}
		}
	}
	return nil
}

// normalHost returns host lower-cased, for which it may need buf, without port and without a trailing dot (both spell
// the same name). The result is empty when no pattern but "any" could match.
func normalHost(buf *[maxHost + 1]byte, host []byte) []byte {
	host = cutPort(host)
	if n := len(host); n > 0 && host[n-1] == '.' {
		host = host[:n-1]
	}
	if len(host) > maxHost {
		return nil
	}
	if !field.HasUpper(host) {
		return host
	}
	return field.AppendLower(buf[:0], host)
}

// cutPort removes ":port" from an authority. The colons of an IPv6 literal stand inside brackets.
func cutPort(host []byte) []byte {
	for i := len(host) - 1; i >= 0; i-- {
		switch c := host[i]; {
		case c == ':':
			return host[:i]
		case c < '0' || c > '9':
			return host
		}
	}
	return host
}
