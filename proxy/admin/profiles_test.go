package admin

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
)

// socketClient asks through the unix socket of a state directory.
func socketClient(t *testing.T, dir string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", SocketPath(dir))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestProfiles(t *testing.T) {
	asked, plain := start(t, Config{Profiles: true}, deps()), start(t, Config{}, deps())
	check := func(c *http.Client, url string, status int, profile bool) {
		t.Helper()
		res, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		if res.StatusCode != status || bytes.HasPrefix(b.Bytes(), []byte{0x1f, 0x8b}) != profile { // profiles are in gzip
			t.Errorf("%s: %d, %d bytes", url, res.StatusCode, b.Len())
		}
	}
	inside := socketClient(t, asked.dir)
	check(inside, "http://tzero/profiles/cpu?seconds=1", 200, true)
	check(inside, "http://tzero/profiles/heap", 200, true)
	check(inside, "http://tzero/profiles/heap?gc=1", 200, true)
	check(inside, "http://tzero/readyz", 200, false)
	for _, bad := range []string{"0", "61", "x", "-1"} {
		check(inside, "http://tzero/profiles/cpu?seconds="+bad, 400, false)
	}
	for _, path := range []string{"/profiles/cpu?seconds=1", "/profiles/heap"} {
		check(socketClient(t, plain.dir), "http://tzero"+path, 404, false) // nobody asked for them
		check(http.DefaultClient, "http://"+asked.addr+path, 404, false)   // never over TCP
	}
}
