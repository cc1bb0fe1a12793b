package endurance_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tzero-edge/tzero/cmd/tzero/e2e/endurance"
	"github.com/tzero-edge/tzero/cmd/tzero/e2e/harness"
)

// transfers sends and fetches a gigabyte, with a declared length and in chunks: it arrives whole, the gateway's memory stays where
// it was, and others are served meanwhile.
func transfers(t *testing.T, report *endurance.Report) {
	g := start(t, "")
	bytes := harness.Size[int64](*full, 24<<20, 1<<30)
	sum := endurance.Checksum(bytes)
	quiet := g.others(t)
	<-time.After(harness.Size(*full, time.Second, 10*time.Second))
	before := quiet()
	noFailures(t, before)
	for _, c := range []struct {
		name string
		run  func() (string, error)
	}{
		{"upload, Content-Length", func() (string, error) { return g.upload(bytes, bytes) }},
		{"upload, chunked", func() (string, error) { return g.upload(bytes, -1) }},
		{"download, Content-Length", func() (string, error) { return g.download(bytes, "") }},
		{"download, chunked", func() (string, error) { return g.download(bytes, "&chunked=1") }},
	} {
		row := report.Row(c.name, "%d MiB through the gateway, others meanwhile", bytes>>20)
		busy := harness.Busy()
		idle := g.Memory(t)
		g.ForgetPeak(t)
		stop := g.others(t)
		began := time.Now()
		got, err := c.run()
		took := time.Since(began)
		during := stop()
		if err != nil || got != sum {
			t.Errorf("%s: checksum %s, want %s; %v", c.name, got, sum, err)
		}
		noFailures(t, during)
		after := g.Memory(t)
		if most := endurance.Bytes(64 << 20); after.Peak-idle.RSS > most {
			t.Errorf("%s: memory grew from %v to %v, by more than %v", c.name, idle.RSS, after.Peak, most)
		}
		row.Add("checksums equal; %.1f s, %.0f MiB/s", took.Seconds(), float64(bytes>>20)/took.Seconds())
		row.Memory(idle, after)
		row.Add("others: %s (before: %s)", during, before)
		row.Add("load average %s", busy)
	}
}

// upload sends content of a declared length, or -1 for chunks, and returns the checksum of what arrived at the origin.
func (r *rig) upload(bytes, length int64) (string, error) {
	req, err := http.NewRequest("POST", r.URL+"/upload", endurance.NewContent(bytes))
	if err != nil {
		return "", err
	}
	req.ContentLength = length
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		return "", fmt.Errorf("answered %d %q: %v", res.StatusCode, text, err)
	}
	count, sum, _ := strings.Cut(string(text), " ")
	if count != fmt.Sprint(bytes) {
		return sum, fmt.Errorf("%s of %d bytes arrived", count, bytes)
	}
	return sum, nil
}

// download returns the checksum of what arrived here.
func (r *rig) download(bytes int64, query string) (string, error) {
	res, err := http.Get(fmt.Sprintf("%s/download?of=%d%s", r.URL, bytes, query))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, res.Body, make([]byte, 256<<10))
	if err == nil && n != bytes {
		err = fmt.Errorf("%d of %d bytes arrived", n, bytes)
	}
	return hex.EncodeToString(sum.Sum(nil)), err
}

func noFailures(t *testing.T, l endurance.Latencies) {
	t.Helper()
	if l.Failed > 0 || l.Sent == 0 {
		t.Errorf("of others' %d requests %d failed: %s", l.Sent, l.Failed, l.First)
	}
}
