package http1

import (
	"strings"
	"testing"
)

var hosts = []string{
	"a", "example.com", "EXAMPLE.com:80", "a.b.", "a.b.:1", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[2001:DB8::1]:443", "[::ffff:1.2.3.4]",
	"xn--bcher-kva.example", "under_score.internal", "1", "-a", strings.Repeat("a", 63) + ".com",
}

var notHosts = []string{
	"", ":", ":80", ".", "..", ".a", "a..b", "a..", "a:", "a:0", "a:00080", "a:65536", "a:+1", "a:1 ", "a:1:2", "a b", " a", "a ", "a\t", "u@a", "u:p@a",
	"a/b", "a?b", "a#b", "a\\b", "a%2e", "%61", "a,b", "a;b", "a'b", "a\"", "a<", "a!", "a~b", "a&b", "a=b", "a*b", "*", "a\x00", "a\x7f", "\xc3\xa9", "[", "]",
	"[]", "[::1", "::1]", "::1", "[::1]x", "[::1]:", "[::1]:x", "[::1]80", "[::1%lo]", "[::1%25lo]", "[v1.a]", "[1.2.3.4]", "[::1]]", "[[::1]]", "a[::1]", "http://a",
	strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 128) + "a",
}

func TestValidHost(t *testing.T) {
	for _, h := range hosts {
		if !ValidHost([]byte(h)) {
			t.Errorf("%q refused", h)
		}
	}
	for _, h := range notHosts {
		if ValidHost([]byte(h)) {
			t.Errorf("%q accepted", h)
		}
	}
}
